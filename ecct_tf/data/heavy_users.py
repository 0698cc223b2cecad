"""Users who touched so much of the catalogue that too little is left to draw against."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.data.chunks import chunks_of
from ecct_tf.data.split import Split
from ecct_tf.errors import ConfigError, DataError

__all__ = ["distinct_counts", "refuse_heavy_users", "touched_counts", "without_heavy_users"]

_SHOWN = 3


def touched_counts(split: Split) -> dict[int, int]:
    """How many different items each user of the split touched, in all parts together."""
    counts = distinct_counts(split, np.diff(split.offsets))
    return dict(zip(split.users.tolist(), counts[split.users].tolist(), strict=True))


def distinct_counts(split: Split, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`[num_users] int64`: different items among the oldest `lengths` `[num_users]` of each user.

    Computed for many users at once, a bounded number of interactions at a time.
    """
    found = np.zeros(split.num_users, np.int64)
    stride = split.num_items + 1
    for users in chunks_of(np.cumsum(lengths)):
        sizes = lengths[users]
        owners = np.repeat(np.arange(len(sizes)), sizes)
        begins = split.offsets[:-1][users] - (np.cumsum(sizes) - sizes)
        items = split.items[np.arange(len(owners)) + np.repeat(begins, sizes)]
        keys = np.unique(owners * stride + items)
        found[users] = np.bincount(keys // stride, minlength=len(sizes))
    return found


def without_heavy_users(split: Split, *, max_item_share: float) -> Split:
    """The split without users who touched more than `max_item_share` of all items.

    Like users with too few interactions, they do not take part: nobody trains on their
    interactions or is tested with them. `Split.heavy_users` names them.

    Args:
      split: any.
      max_item_share: in (0, 1]; 1 leaves nobody out.

    Raises:
      ConfigError: the share is out of range.
      DataError: no user would be left.
    """
    if not 0 < max_item_share <= 1:
        raise ConfigError(f"data.max_item_share: expected a number in (0, 1], got {max_item_share}")
    most = max_item_share * split.num_items + 1e-9
    touched = distinct_counts(split, np.diff(split.offsets))
    heavy = split.users[touched[split.users] > most].astype(np.int32)
    if not len(heavy):
        return split
    kept = np.setdiff1d(split.users, heavy).astype(np.int32)
    if not len(kept):
        raise DataError(
            f"data.max_item_share: each of the {len(heavy)} users touched more than "
            f"{max_item_share:g} of the {split.num_items} items, which leaves nobody. Raise it."
        )
    taking_part = np.zeros(split.num_users, np.bool_)
    taking_part[kept] = True
    return dataclasses.replace(
        split,
        recent_counts=np.where(taking_part, split.recent_counts, 0),
        validation_counts=np.where(taking_part, split.validation_counts, 0),
        test_counts=np.where(taking_part, split.test_counts, 0),
        users=kept,
        heavy_users=heavy,
    )


def refuse_heavy_users(
    counts: Mapping[int, int],
    *,
    num_items: int,
    needed: int,
    what: str,
    user_tokens: Sequence[str] | None = None,
) -> None:
    """Raises `DataError` if a user left fewer than `needed` items untouched.

    Args:
      counts: different items that each user touched.
      num_items: items that there are.
      needed: items that must be left.
      what: what they are needed for, with the setting that asks for them.
      user_tokens: original ids by number; without them users are numbers.
    """
    heavy = {user: count for user, count in counts.items() if num_items - count < needed}
    if not heavy:
        return
    heaviest = sorted(heavy, key=lambda user: (-heavy[user], user))
    names = ", ".join(
        f"{_name(user, user_tokens)} touched {heavy[user]} (leaves {num_items - heavy[user]})"
        for user in heaviest[:_SHOWN]
    )
    more = ", …" if len(heavy) > _SHOWN else ""
    ways = []
    fewest = num_items - max(heavy.values())
    if needed > 1 and fewest:
        ways.append(f"lower {what.split('=')[0]} to {fewest} or less")
    share = math.floor(1000 * (num_items - needed) / num_items) / 1000
    light = sum(count <= share * num_items for count in counts.values())
    if light:
        ways.append(
            f"leave out the users who touched more than a share of the items, "
            f"data.max_item_share={share:g} ({len(counts) - light} of {len(counts)} users)"
        )
    ways.append("bring a larger catalogue")
    raise DataError(
        f"{len(heavy)} of {len(counts)} users touched so many of the {num_items} items that "
        f"fewer than the {needed} are left which {what} asks for: {names}{more}. Ways out: "
        f"{'; or '.join(ways)}."
    )


def _name(user: int, tokens: Sequence[str] | None) -> str:
    return f"user {user}" if tokens is None else f"user {tokens[user]!r}"
