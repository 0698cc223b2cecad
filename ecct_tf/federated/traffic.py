"""Bytes that a round moves, as encoded."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from ecct_tf.federated.cohort import Cohort
from ecct_tf.federated.device_work import Stage
from ecct_tf.knowledge import build_codec

__all__ = ["RoundBytes", "RoundTraffic"]

Ids = npt.NDArray[np.int64]


class RoundBytes(TypedDict):
    """The byte counts of a `RoundReport`."""

    downlink_bytes: int
    uplink_bytes: int
    weights_bytes: int
    weights_up_bytes: int
    item_table_bytes: int


class RoundTraffic:
    """Counts what crosses between the devices of all cohorts and the cloud."""

    def __init__(
        self,
        cohorts: tuple[Cohort, ...],
        *,
        table_bytes: int,
        own_bytes: npt.NDArray[np.int64] | None = None,
        sent_bytes: Sequence[int] | None = None,
    ) -> None:
        """Prepares the counts of each device.

        Args:
          cohorts: all of a process; they exchange payloads of one specification.
          table_bytes: size on the wire of what all devices fetch of the item table.
          own_bytes: `[users] int64`, of what the device of each user fetches beside it; None for
            nothing.
          sent_bytes: by cohort, of the shared weights that a device gets in a round; None for those
            of the codec of the weights.
        """
        self._work = cohorts[0].work
        self._cohorts = cohorts
        sizes = [len(cohort) for cohort in cohorts]
        self._users = np.concatenate(
            [
                np.bincount(cohort.devices.outlines.owners, minlength=len(cohort))
                for cohort in cohorts
            ]
        )
        encoded = [_encoded(cohort, cohort.work.shared_size) for cohort in cohorts]
        self._weights_up = np.repeat(encoded, sizes)
        self._weights_down = np.repeat(encoded if sent_bytes is None else sent_bytes, sizes)
        starts = [0 if cohort.start is None else len(cohort.start) for cohort in cohorts]
        self._fetched = table_bytes + np.repeat(
            [_encoded(cohort, size) for cohort, size in zip(cohorts, starts, strict=True)], sizes
        )
        if own_bytes is not None:
            self._fetched = self._fetched + np.concatenate(
                [
                    np.bincount(
                        cohort.devices.outlines.owners,
                        weights=own_bytes[cohort.devices.outlines.users],
                        minlength=len(cohort),
                    ).astype(np.int64)
                    for cohort in cohorts
                ]
            )

    def __call__(
        self,
        stage: Stage,
        participants: Ids,
        answering: Ids,
        *,
        fetched: npt.NDArray[np.bool_],
        receiving: npt.NDArray[np.bool_] | None = None,
        sends_weights: bool = True,
        silent: int = 0,
    ) -> RoundBytes:
        """Counts a round.

        Args:
          stage: of the exchange.
          participants: devices that get a downlink.
          answering: those of them that finish the round.
          fetched: `[devices] bool`, which have the item table and their starting weights.
          receiving: `[participants] bool`, which get the shared weights; None for all.
          sends_weights: whether those that finish send their change of the shared weights.
          silent: users of answering devices of whom no uplink is sent.
        """
        work = self._work.in_stage(stage)
        weights_up = int(self._weights_up[answering].sum()) if sends_weights else 0
        down = participants if receiving is None else participants[receiving]
        return {
            "downlink_bytes": int(self._users[participants].sum()) * work.downlink_bytes,
            "uplink_bytes": (int(self._users[answering].sum()) - silent) * work.uplink_bytes
            + self._sum_bytes(stage, answering),
            "weights_bytes": int(self._weights_down[down].sum()) + weights_up,
            "weights_up_bytes": weights_up,
            "item_table_bytes": int(self._fetched[participants[~fetched[participants]]].sum()),
        }

    def _sum_bytes(self, stage: Stage, answering: Ids) -> int:
        """Of sums over the devices of each cohort, of which each sends a whole vector."""
        found = 0
        for cohort in self._cohorts:
            sums = cohort.work.in_stage(stage).sums
            if sums is not None:
                found += int(cohort.holds(answering).sum()) * sums.encoded_bytes(len(cohort))
        return found


def _encoded(cohort: Cohort, size: int) -> int:
    """Bytes of `size` weights of a device, in one direction."""
    coder = build_codec(cohort.work.weights_codec)
    return coder.encoded_bytes(1, size) if size else 0
