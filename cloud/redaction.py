"""A view and a version of the cloud without what they know of single users.

The users' numbers stay, since devices, uplinks and later versions go by them: whose number it was
counts as somebody of whom nothing is known. Weights that were trained with such a user stay as
they are until a job trains them from scratch.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cloud.columns import StoredColumns
from cloud.features import user_state
from cloud.uplink_log import ForgetNote
from cloud.uplink_log.forgetting import nothing_noted
from cloud.version_files import StoredCloud
from cloud.vocabulary import Vocabulary
from ecct_tf.data import CentralizedTable, CloudView, EncodedColumn, Kind, OlderInteractions

__all__ = ["note_of_users", "redacted", "with_tombstones", "without_users"]

Array = npt.NDArray[np.float32]

_OPTIMIZER = "optimizer/"


def with_tombstones(vocabulary: Vocabulary, tombstones: Mapping[int, str]) -> Vocabulary:
    """The vocabulary with other ids for the users at some places.

    >>> with_tombstones(Vocabulary(("u", "w"), ("i",)), {1: "erased-07"}).users
    ('u', 'erased-07')
    """
    users = tuple(tombstones.get(place, token) for place, token in enumerate(vocabulary.users))
    return Vocabulary(users, vocabulary.items)


def without_users(view: CloudView, users: Sequence[int]) -> CloudView:
    """The view without the interactions and columns of `users`."""
    if not users:
        return view
    return dataclasses.replace(
        view, older=_older(view.older, users), users=_columns(view.users, users)
    )


def note_of_users(users: Sequence[int]) -> ForgetNote:
    """A note that all of `users` is to be forgotten, for `cloud.retraining.forgetting`."""
    return dataclasses.replace(nothing_noted(), users=tuple(users))


def redacted(
    stored: StoredCloud, tombstones: Mapping[int, str], *, tables: Mapping[str, str] | None
) -> StoredCloud:
    """A version without what it holds of the users at some places, uplinks not counted.

    Args:
      stored: the version.
      tombstones: what stands in the place of each id, by the user's number.
      tables: by the name of a variable, whose rows it has, where the cloud is one's own.
    """
    users = sorted(tombstones)
    states, columns = np.array(stored.states), stored.columns
    if columns is None:
        space = stored.space
        nobody = user_state(
            (space.preference, space.sequence),
            np.zeros(0, np.int32),
            np.zeros(len(space.user_categories), np.float32),
        )
        states[users] = nobody
    else:
        columns = StoredColumns(columns.items, _columns(columns.users, users))
    return dataclasses.replace(
        stored,
        states=states,
        columns=columns,
        older=_older(stored.older, users),
        snapshot=_snapshot(stored.snapshot, users, tables or {}),
        vocabulary=with_tombstones(stored.vocabulary, tombstones),
    )


def _older(older: OlderInteractions, users: Sequence[int]) -> OlderInteractions:
    counts = np.diff(older.offsets)
    owners = np.repeat(np.arange(len(counts)), counts)
    kept = ~np.isin(owners, users)
    counts[list(users)] = 0
    return OlderInteractions(
        items=older.items[kept],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        timestamps=older.timestamps[kept],
    )


def _columns(table: CentralizedTable, users: Sequence[int]) -> CentralizedTable:
    def emptied(column: EncodedColumn) -> EncodedColumn:
        values = column.values.copy()
        values[list(users)] = 0
        if column.column.kind is Kind.NUMERIC:
            others = np.delete(column.values, list(users), axis=0)
            values[list(users)] = others.mean() if len(others) else 0
        return dataclasses.replace(column, values=values)

    return CentralizedTable(table.schema, tuple(emptied(each) for each in table.columns))


def _snapshot(
    snapshot: Mapping[str, Array], users: Sequence[int], tables: Mapping[str, str]
) -> dict[str, Array]:
    """Rows that are of one user each become the mean of the others, their slots zero."""
    found = dict(snapshot)
    shapes = set()
    for name, whose in tables.items():
        if whose == "user" and name in found:
            rows = found[name].copy()
            rows[list(users)] = np.delete(rows, list(users), axis=0).mean(axis=0)
            found[name] = rows
            shapes.add(rows.shape)
    for name, rows in snapshot.items():
        if name.startswith(_OPTIMIZER) and rows.shape in shapes:
            found[name] = rows.copy()
            found[name][list(users)] = 0
    return found
