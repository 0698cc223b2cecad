"""Quality after a cycle: through the devices' files, and of the cloud's version in force."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

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
from mobile_export.device import DeviceFleet, DeviceModel, DeviceState, ReceivedDownlink

__all__ = ["check_numbers", "cloud_scores", "edge_scores", "edge_target_logits"]

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
    scores = np.zeros(candidates.items.shape, np.float32)
    requests = _requests(
        fleets,
        servers,
        candidates=candidates,
        split=split,
        downlinks=downlinks,
        codec=codec,
        receives=receives,
    )
    for request in requests:
        row = request.row
        scores[row] = request.model.score(request.state, candidates.items[row], now=request.now)
    return scores


def edge_target_logits(
    fleets: Mapping[Tier, DeviceFleet],
    servers: Mapping[Tier, ServerState],
    *,
    tested: Candidates,
    split: Split,
    downlinks: DownlinkFile,
    codec: CodecName,
    receives: bool = True,
) -> tuple[Array, dict[str, Array]]:
    """Logits of the tested items alone, from the devices' own files.

    Args:
      fleets: as for `edge_scores`.
      servers: likewise.
      tested: one row for each tested interaction, whose first item counts.
      split: as for `edge_scores`.
      downlinks: likewise.
      codec: likewise.
      receives: likewise.

    Returns:
      `[rows] float32`, by which devices rank, and `[rows] float32` of each further target by its
      name, of the trained weights.
    """
    ranking = np.zeros(len(tested.items), np.float32)
    targets: dict[str, Array] = {}
    requests = _requests(
        fleets,
        servers,
        candidates=tested,
        split=split,
        downlinks=downlinks,
        codec=codec,
        receives=receives,
    )
    for request in requests:
        row, own = request.row, tested.items[request.row, :1]
        ranking[row] = request.model.score(request.state, own, now=request.now)[0]
        told = request.model.target_logits(request.state, own, now=request.now)
        for name, logits in told.items():
            targets.setdefault(name, np.zeros_like(ranking))[row] = logits[0]
    return ranking, targets


class _Request(NamedTuple):
    """A tested interaction's row, and who is asked for it, as of when."""

    row: int
    model: DeviceModel
    state: DeviceState
    now: int


def _requests(
    fleets: Mapping[Tier, DeviceFleet],
    servers: Mapping[Tier, ServerState],
    *,
    candidates: Candidates,
    split: Split,
    downlinks: DownlinkFile,
    codec: CodecName,
    receives: bool,
) -> Iterator[_Request]:
    rows_of: dict[int, list[int]] = {}
    for row, user in enumerate(candidates.users.tolist()):
        rows_of.setdefault(user, []).append(row)
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
                yield _Request(row, model, asked, split.time_of(user, position))


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
