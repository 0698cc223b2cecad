"""What is left out of a data set on purpose, and the count of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecct_tf.data.files_schema import Filters
from ecct_tf.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FilterCount", "apply_filters"]


@dataclass(frozen=True)
class FilterCount:
    """What one rule removed.

    Attributes:
      rule: the rule, in words.
      rows: interactions that it removed.
      users: users that lost their last interaction by it.
      items: items that lost their last interaction by it.
    """

    rule: str
    rows: int
    users: int
    items: int

    @property
    def told(self) -> str:
        """The rule and what it cost, for a message."""
        word = "interaction" if self.rows == 1 else "interactions"
        return f"{self.rule}: {self.rows:,} {word} left out"


def apply_filters(
    frame: pd.DataFrame, filters: Filters, *, min_rating: float | None
) -> tuple[pd.DataFrame, tuple[FilterCount, ...]]:
    """Applies the rules in order: rating, duplicates, then the minima of users and items.

    The minima are applied by turns until both hold, since an item that is removed shortens
    its users' histories.

    Args:
      frame: columns `user`, `item`, oldest first, and `rating` if there is a `min_rating`.
      filters: the rules; duplicates that are to be refused were refused before.
      min_rating: lowest rating that is kept.

    Returns:
      The rows that are left, in their order, and one count for each rule that is switched on.

    Raises:
      DataError: no row is left.
    """
    counts: list[FilterCount] = []

    def keep(rule: str, mask: pd.Series) -> None:
        nonlocal frame
        kept = frame[mask]
        users = frame["user"].nunique() - kept["user"].nunique()
        items = frame["item"].nunique() - kept["item"].nunique()
        before = next((count for count in counts if count.rule == rule), None)
        removed = FilterCount(rule, len(frame) - len(kept), users, items)
        if before is None:
            counts.append(removed)
        else:
            counts[counts.index(before)] = FilterCount(
                rule, before.rows + removed.rows, before.users + users, before.items + items
            )
        frame = kept

    if min_rating is not None:
        keep(f"rating below {min_rating:g}", frame["rating"] >= min_rating)
    if filters.duplicates in ("keep_first", "keep_last"):
        which = "first" if filters.duplicates == "keep_first" else "last"
        repeated = frame.duplicated(["user", "item"], keep=which)
        keep(f"repeated item of a user ({filters.duplicates})", ~repeated)
    minima = (
        ("user", filters.min_user_interactions),
        ("item", filters.min_item_interactions),
    )
    rows = -1
    while rows != len(frame):
        rows = len(frame)
        for name, least in minima:
            if least > 0:
                sizes = frame.groupby(name, observed=True)[name].transform("size")
                keep(f"{name} with fewer than {least} interactions", sizes >= least)
    if frame.empty:
        told = "; ".join(f"{count.rule}: {count.rows}" for count in counts)
        raise DataError(
            f"the filters left no interaction, expected at least one. Rows removed: {told}. Lower "
            "min_rating or the minima in filters."
        )
    return frame, tuple(counts)
