"""Users in groups: by how active they were, and those of whom little is known."""

import dataclasses

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import ConfigError, DataError

__all__ = ["UserGroup", "activity_groups", "activity_places", "cold_group"]


@dataclasses.dataclass(frozen=True, eq=False)
class UserGroup:
    """Rows of users with a similar number of training interactions.

    Attributes:
      kind: `activity` or `cold`.
      fewest: training interactions of the least active of them; None where there are none.
      most: of the most active one; None where there are none.
      num_users: how many users they are.
      rows: `[rows] bool`, whether a row is one of theirs.
    """

    kind: str
    fewest: int | None
    most: int | None
    num_users: int
    rows: npt.NDArray[np.bool_]


def activity_places(interactions: npt.ArrayLike, *, groups: int) -> npt.NDArray[np.int64]:
    """`[users] int64`: the group of each user, from 0, by quantiles of `interactions`.

    A user on a border belongs below it; equally active users stay together, so that a group
    may be empty.

    Args:
      interactions: `[users] int`, one entry per user.
      groups: how many.

    >>> activity_places([5, 1, 2, 9, 2, 7], groups=3).tolist()
    [1, 0, 0, 2, 0, 2]
    """
    if groups < 1:
        raise ConfigError(f"groups: expected at least 1, received {groups}. Usual: 3.")
    counts = np.asarray(interactions, np.float64)
    borders = np.quantile(counts, np.arange(1, groups) / groups)
    return np.searchsorted(borders, counts, side="left").astype(np.int64)


def activity_groups(
    interactions: npt.ArrayLike, *, users: npt.ArrayLike, groups: int = 3
) -> tuple[UserGroup, ...]:
    """The rows by activity of their users, the least active first; empty groups are left out.

    Args:
      interactions: `[rows] int`, training interactions of the row's user.
      users: `[rows]`, whose row it is.
      groups: how many, with about equally many users each.

    >>> [(each.fewest, each.most, each.num_users)
    ...  for each in activity_groups([4, 4, 8, 9], users=[1, 1, 2, 3], groups=3)]
    [(4, 4, 1), (8, 8, 1), (9, 9, 1)]
    """
    counts, first, owner = _by_user(interactions, users)
    places = activity_places(counts[first], groups=groups)
    return tuple(
        _group("activity", (places == number)[owner], counts, owner) for number in np.unique(places)
    )


def cold_group(interactions: npt.ArrayLike, *, users: npt.ArrayLike, most: int) -> UserGroup:
    """The rows of users with at most `most` training interactions; may be none.

    >>> group = cold_group([4, 8], users=[1, 2], most=5)
    >>> group.num_users, group.rows.tolist()
    (1, [True, False])
    """
    counts, _, owner = _by_user(interactions, users)
    return _group("cold", counts <= most, counts, owner)


def _by_user(
    interactions: npt.ArrayLike, users: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`[rows]` interactions, `[users]` the first row of each user, `[rows]` the row's user."""
    counts, owners = np.asarray(interactions, np.int64), np.asarray(users)
    if counts.ndim != 1 or not counts.size or owners.shape != counts.shape:
        raise DataError(
            "interactions: expected a non-empty vector with one entry per row of users, received "
            f"shapes {counts.shape} and {owners.shape}. Repeat a user's number for each row."
        )
    _, first, owner = np.unique(owners, return_index=True, return_inverse=True)
    if (counts != counts[first][owner]).any():
        row = int(np.argmax(counts != counts[first][owner]))
        raise DataError(
            f"interactions: expected one number for each user, received {counts[row]} and "
            f"{counts[first][owner][row]} for user {owners[row]}. Count training interactions."
        )
    return counts, first.astype(np.int64), owner.astype(np.int64)


def _group(
    kind: str,
    rows: npt.NDArray[np.bool_],
    counts: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
) -> UserGroup:
    if not rows.any():
        return UserGroup(kind, None, None, 0, rows)
    mine = counts[rows]
    return UserGroup(kind, int(mine.min()), int(mine.max()), len(np.unique(owner[rows])), rows)
