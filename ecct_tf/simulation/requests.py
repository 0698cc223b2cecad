"""What is asked of the devices of a cohort when they are evaluated."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config import FeatureConfig
from ecct_tf.data import Candidates, Split
from ecct_tf.data.clock import request_readings
from ecct_tf.edge import pad_history
from ecct_tf.federated.cohort import Cohort

__all__ = ["Asked", "asked_of", "rows_by_user"]


class Asked(NamedTuple):
    """The tested interactions of a cohort's users, without the items to be scored.

    Attributes:
      rows: `[r] int64`, their rows among all.
      users: `[u] int32`, users of the cohort with such a row.
      place: `[r] int64`, whose of them each row is.
      owners: `[r] int64`, number of the device.
      profiles: `[r, columns] int32`.
      histories: `[r, L] int32`, what came before.
      clocks: `[r, W] float32`.
    """

    rows: npt.NDArray[np.int64]
    users: npt.NDArray[np.int32]
    place: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    profiles: npt.NDArray[np.int32]
    histories: npt.NDArray[np.int32]
    clocks: npt.NDArray[np.float32]


def asked_of(
    cohort: Cohort,
    rows_of: Mapping[int, Sequence[int]],
    candidates: Candidates,
    *,
    split: Split,
    features: FeatureConfig,
) -> Asked:
    """What is asked of a cohort.

    Args:
      cohort: whose users.
      rows_of: from `rows_by_user`.
      candidates: a row for each tested interaction; its items are not looked at.
      split: for histories and times.
      features: how they are read.
    """
    known = cohort.devices.outlines
    tested = np.isin(known.users, candidates.users)
    who, owner, profile = known.users[tested], known.owners[tested], known.profiles[tested]
    per_user = [rows_of[int(user)] for user in who]
    rows = np.array([row for mine in per_user for row in mine], np.int64)
    place = np.repeat(np.arange(len(who)), [len(mine) for mine in per_user])
    users, positions = candidates.users[rows], candidates.positions[rows]
    histories = np.zeros((len(rows), features.history_length), np.int32)
    for row, (user, position) in enumerate(zip(users.tolist(), positions.tolist(), strict=True)):
        histories[row] = pad_history(split.before(user, position), features.history_length)
    clocks = request_readings(split, users, positions, config=features)
    return Asked(rows, who, place, owner[place], profile[place], histories, clocks)


def rows_by_user(candidates: Candidates) -> dict[int, list[int]]:
    """The rows of each user that has some."""
    rows: dict[int, list[int]] = {}
    for row, user in enumerate(candidates.users.tolist()):
        rows.setdefault(user, []).append(row)
    return rows
