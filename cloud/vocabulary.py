"""Which number stands for which user and item: it never changes once it was given.

Devices hold item tables and uplinks name users and items by number, so a later version of
the cloud may add numbers at the end and nothing else.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data import CentralizedTable, CloudView, EncodedColumn, Kind, OlderInteractions
from ecct_tf.errors import DataError

__all__ = ["Vocabulary", "renumber"]

Ids = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Original ids by number.

    Attributes:
      users: user u is `users[u]`.
      items: item k is `items[k - 1]`; 0 is padding.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("users", "items"):
            tokens = getattr(self, name)
            if len(set(tokens)) != len(tokens):
                raise DataError(f"vocabulary: expected {name} without repetition")

    def extended(self, other: "Vocabulary") -> "Vocabulary":
        """This vocabulary, then what only `other` knows, in its order.

        >>> Vocabulary(("u",), ("b",)).extended(Vocabulary(("u",), ("a", "b"))).items
        ('b', 'a')
        """
        return Vocabulary(
            tuple(dict.fromkeys((*self.users, *other.users))),
            tuple(dict.fromkeys((*self.items, *other.items))),
        )


def renumber(view: CloudView, own: Vocabulary, target: Vocabulary) -> CloudView:
    """`view` in the numbers of `target`, which knows all users and items of `own`.

    Who and what `own` does not know has no interactions there, no category, a vector of zeros and,
    in a numeric column, the mean of the others.

    Raises:
      DataError: `own` is not the view's vocabulary, or `target` lacks some of it.
    """
    if (len(own.users), len(own.items)) != (view.num_users, view.num_items):
        raise DataError(
            f"expected a vocabulary of {view.num_users} users and {view.num_items} items, got "
            f"{len(own.users)} and {len(own.items)}; it belongs to another view"
        )
    users = _places(own.users, target.users, what="users")
    items = np.concatenate([[0], 1 + _places(own.items, target.items, what="items")])
    source = np.full(len(target.users), -1, np.int64)
    source[users] = np.arange(len(users))
    offsets = view.older.offsets
    counts = np.where(source < 0, 0, np.diff(offsets)[source])
    ends = np.cumsum(counts)
    # Each place as far behind its user's first as in `view`.
    order = np.arange(int(ends[-1]) if len(ends) else 0)
    order += np.repeat(offsets[np.maximum(source, 0)] - (ends - counts), counts)
    return CloudView(
        num_users=len(target.users),
        num_items=len(target.items),
        older=OlderInteractions(
            items=items[view.older.items[order]].astype(np.int32),
            offsets=np.concatenate([[0], ends]),
            timestamps=view.older.timestamps[order],
        ),
        items=_moved(view.items, items, rows=len(target.items) + 1, padding=True),
        users=_moved(view.users, users, rows=len(target.users), padding=False),
    )


def _places(tokens: Sequence[str], target: Sequence[str], *, what: str) -> Ids:
    place = {token: number for number, token in enumerate(target)}
    unknown = [token for token in tokens if token not in place]
    if unknown:
        raise DataError(
            f"the target vocabulary lacks {len(unknown)} {what}, the first {unknown[0]!r}; "
            "extend it first"
        )
    return np.array([place[token] for token in tokens], np.int64)


def _moved(table: CentralizedTable, places: Ids, *, rows: int, padding: bool) -> CentralizedTable:
    def move(column: EncodedColumn) -> EncodedColumn:
        values: npt.NDArray[Any] = np.zeros((rows, *column.values.shape[1:]), column.values.dtype)
        if column.column.kind is Kind.NUMERIC:
            values[int(padding) :] = column.values[int(padding) :].mean()
        values[places] = column.values
        return dataclasses.replace(column, values=values)

    return CentralizedTable(table.schema, tuple(move(column) for column in table.columns))
