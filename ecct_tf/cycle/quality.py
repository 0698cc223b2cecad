"""Quality after a cycle: through the devices' files, and of the cloud's version in force."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cloud.version_files import StoredCloud
from cloud.vocabulary import Vocabulary
from ecct_tf.config import CodecName, Tier
from ecct_tf.data import Candidates, Dataset, Split
from ecct_tf.errors import DataError
from ecct_tf.federated.cohort import ServerState
from ecct_tf.federated.crossing import shared_as_received
from ecct_tf.wire import DownlinkFile
from mobile_export.device import DeviceFleet, ReceivedDownlink

__all__ = ["check_numbers", "cloud_scores", "edge_scores"]

Array = npt.NDArray[np.float32]


def edge_scores(
    fleets: Mapping[Tier, DeviceFleet],
    servers: Mapping[Tier, ServerState],
    *,
    candidates: Candidates,
    split: Split,
    downlinks: DownlinkFile,
    codec: CodecName,
    receives: bool = True,
) -> Array:
    """Logits of `candidates` from the devices' own files: `[rows, 1 + negatives] float32`.

    Each device scores as it would before its next round: with the newest downlink and, where it
    receives them, the newest shared weights, and with a history of all that came before the tested
    interaction, whose time is that of the request. Its state on disk does not change.

    Args:
      fleets: the devices, by tier.
      servers: the shared weights, by tier.
      candidates: one row for each tested interaction.
      split: for the histories.
      downlinks: what the cloud published.
      codec: of the shared weights.
      receives: whether devices receive shared weights before their next round; else they have
        their own.
    """
    rows_of: dict[int, list[int]] = {}
    for row, user in enumerate(candidates.users.tolist()):
        rows_of.setdefault(user, []).append(row)
    scores = np.zeros(candidates.items.shape, np.float32)
    for tier, fleet in fleets.items():
        model, shared = fleet.model, np.asarray(servers[tier].shared, np.float32)
        received = shared_as_received(shared, codec) if len(shared) else shared
        for device in fleet:
            user = device.state.user
            downlink = ReceivedDownlink.read(downlinks, user)
            state = model.receive(device.state, downlink)
            if receives:
                state = model.with_weights(state, received)
            for row in rows_of.get(user, []):
                position = int(candidates.positions[row])
                asked = dataclasses.replace(
                    state,
                    history=split.before(user, position),
                    times=split.times_before(user, position),
                    # What came of interactions is read in training alone.
                    context=np.zeros((0, 0), np.int32),
                )
                now = split.time_of(user, position)
                scores[row] = model.score(asked, candidates.items[row], now=now)
    return scores


def cloud_scores(stored: StoredCloud, candidates: Candidates) -> Array:
    """Logits of `candidates` from a version, with the uplinks that it knows fused in."""
    return stored.recommender().scores(
        candidates.users,
        candidates.items,
        knowledge=stored.knowledge,
        round_number=stored.round_number,
    )


def check_numbers(stored: StoredCloud, dataset: Dataset) -> None:
    """Refuses a version whose users or items have other numbers than the data's.

    Raises:
      DataError: when they have.
    """
    if stored.vocabulary != Vocabulary(dataset.user_tokens, dataset.item_tokens):
        raise DataError(
            "the version in force has other users or items than the data, so that numbers of "
            "one mean nothing to the other; start the cycles again in another --out"
        )
