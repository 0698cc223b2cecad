"""What the cloud recommender reads: fixed arrays made from the cloud's view once."""

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.user_states import UserStates
from ecct_tf.data import (
    CentralizedTable,
    CloudView,
    EncodedColumn,
    Kind,
    OlderInteractions,
)
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import Block

__all__ = [
    "CloudPositions",
    "attribute_moments",
    "category_matrix",
    "category_names",
    "item_attributes",
    "no_positions",
    "tail_length",
    "tail_lengths",
    "training_positions",
    "user_state",
    "user_states",
]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_STATE_DECAYS = (1.0, 0.9, 0.6)
# As many interactions at the usual place as an item's mean place begins with.
_USUAL = 5.0


def attribute_moments(
    view: CloudView, *, places: bool = False, added: npt.NDArray[np.float64] | None = None
) -> tuple[Array, Array]:
    """Mean and scale, `[a] float32` each, by which item attributes are standardised."""
    known = _raw_attributes(view, places=places, added=added)[1:]
    return known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6)


def item_attributes(
    view: CloudView,
    *,
    places: bool = False,
    moments: tuple[Array, Array] | None = None,
    added: npt.NDArray[np.float64] | None = None,
) -> Array:
    """`[items + 1, a] float32`, standardised: log popularity, numeric columns, log place.

    Args:
      view: the cloud's side of the data.
      places: whether the place of an item in histories is among them, as the last.
      moments: mean and scale, `[a] float32` each; by default those of the view.
      added: `[items + 1]`, how often each item came up beside the view.
    """
    mean, scale = moments or attribute_moments(view, places=places, added=added)
    scaled: Array = (_raw_attributes(view, places=places, added=added) - mean) / scale
    scaled[0] = 0.0
    return scaled


def _raw_attributes(
    view: CloudView, *, places: bool, added: npt.NDArray[np.float64] | None = None
) -> Array:
    known = view.item_counts.astype(np.float64)
    counts = known if added is None else known + added
    columns = [np.log1p(counts).astype(np.float32)]
    columns += [column.values for column in _columns(view.items, Kind.NUMERIC)]
    if places:
        columns.append(_mean_places(view.older, known))
    stacked: Array = np.stack(columns, axis=1).astype(np.float32)
    return stacked


def _mean_places(older: OlderInteractions, counts: npt.NDArray[np.float64]) -> Array:
    """`[items + 1]`: mean of `log(1 + interactions before it)` in the histories with an item.

    Of an item with few interactions it is near the mean of all interactions.
    """
    sizes = np.diff(older.offsets)
    before = np.arange(len(older.items)) - np.repeat(older.offsets[:-1], sizes)
    logs = np.log1p(before.astype(np.float32))
    total = np.bincount(older.items, weights=logs, minlength=len(counts))
    usual = float(logs.mean(dtype=np.float64)) if len(logs) else 0.0
    found: Array = ((total + _USUAL * usual) / (counts + _USUAL)).astype(np.float32)
    return found


def category_names(table: CentralizedTable) -> tuple[str, ...]:
    """`column=value` for each column of `category_matrix`, in its order."""
    return tuple(
        f"{column.column.name}={value}"
        for column in _categorical(table)
        for value in column.vocabulary
    )


def category_matrix(
    table: CentralizedTable, *, rows: int, names: tuple[str, ...] | None = None
) -> Array:
    """`[rows, c] float32`: all categorical columns as unit-length multi-hot rows; c may be 0.

    Args:
      table: the columns; a table without any does not know its number of rows.
      rows: that number.
      names: what the columns must be, as `category_names` gave them of another table. A value
        that is not among them counts as unknown, one that the table lacks as absent.
    """
    parts = [
        column.values
        if column.column.kind is Kind.MULTI_CATEGORICAL
        else np.eye(len(column.vocabulary) + 1, dtype=np.float32)[column.values][:, 1:]
        for column in _categorical(table)
    ]
    joined = np.concatenate([np.zeros((rows, 0), np.float32), *parts], axis=1).astype(np.float32)
    if names is not None:
        places = {name: place for place, name in enumerate(category_names(table))}
        present = [index for index, name in enumerate(names) if name in places]
        chosen = np.zeros((rows, len(names)), np.float32)
        chosen[:, present] = joined[:, [places[names[index]] for index in present]]
        joined = chosen
    norms = np.linalg.norm(joined, axis=1, keepdims=True)
    unit: Array = joined / np.maximum(norms, 1.0)
    return unit


def user_states(
    blocks: tuple[Block, ...],
    items: Ids,
    *,
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    centralized: Array,
) -> Array:
    """The user tower's inputs after the histories of k users: `[k, s] float32`.

    Args:
      blocks: whose source embeddings are pooled, each at three recency decays.
      items: `[m] int32`, of all users, each history oldest first.
      starts: `[k]`, where each history begins.
      sizes: `[k]`, how long each is.
      centralized: `[k, u] float32`, the users' centralized columns, possibly none.
    """
    ranks = sum(block.source.shape[1] for block in blocks)
    width = (len(_STATE_DECAYS) + 1) * ranks + 1 + centralized.shape[1]
    states = np.empty((len(sizes), width), np.float32)
    # Those of one length together: each is a product of its own, whose bits do not change.
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        read = items[starts[rows][:, None] + np.arange(size)]
        states[rows] = _states_of(blocks, read, centralized[rows])
    return states


def _states_of(blocks: tuple[Block, ...], items: Ids, own: Array) -> Array:
    """`[k, s]` of histories of one length, `[k, n]`."""
    users, size = items.shape
    powers = _powers(1 << max(size - 1, 0).bit_length())
    pooled = [
        (power[None, len(power) - size :] @ source)[:, 0]
        for source in (block.source[items] for block in blocks)
        for power in powers
    ]
    length = np.full((users, 1), np.log1p(size) - 4.0, np.float32)
    scale = np.float32(1.0 / np.sqrt(1.0 + size))
    means = [scale * pooled[index * len(_STATE_DECAYS)] for index in range(len(blocks))]
    return np.concatenate([*pooled, *means, length, own], axis=1).astype(np.float32)


def user_state(blocks: tuple[Block, ...], history: Ids, centralized: Array) -> Array:
    """The user tower's input after one history: `[s] float32`; arguments as of `user_states`."""
    return _states_of(blocks, history[None], centralized[None])[0]


@functools.lru_cache(maxsize=64)
def _powers(length: int) -> tuple[Array, ...]:
    """`[length] float32` of each recency decay: of the newest interaction, which is last, 1."""
    ages = np.arange(length - 1, -1, -1)
    return tuple((decay**ages).astype(np.float32) for decay in _STATE_DECAYS)


@dataclasses.dataclass(frozen=True)
class CloudPositions:
    """Positions of the cloud's own view to learn from.

    Attributes:
      users: `[n] int32`.
      states: `[m, s]`, the user tower's inputs; positions of a user may have one in common.
      seen_from: `[n] int64`, which of them is the input before the position.
      items: `[n] int32`, the item that came next.
    """

    users: Ids
    states: npt.NDArray[Any] | UserStates
    seen_from: npt.NDArray[np.int64]
    items: Ids

    def states_before(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """The user tower's inputs before the positions `rows` `[k]`: `[k, s]`."""
        found: npt.NDArray[Any] = self.states[self.seen_from[rows]]
        return found


def training_positions(
    view: CloudView, blocks: tuple[Block, ...], centralized: Array, *, tail: float
) -> CloudPositions:
    """The newest `tail` of each older history as targets, all seen from before the tail.

    The gap is on purpose: at serving, too, the cloud knows nothing of what a device did
    lately. A model trained on the very next item would lean on what it will not have.
    """
    sizes = np.diff(view.older.offsets)
    tails = tail_lengths(sizes, tail)
    users = np.flatnonzero(tails)
    if not len(users):
        raise ConfigError(
            "the cloud has no positions to learn from: expected cloud.tail above 0 and a user "
            f"with two or more older interactions, got cloud.tail={tail} and at most "
            f"{int(sizes.max(initial=0))} of a user"
        )

    def before(rows: npt.NDArray[np.int64]) -> Array:
        whose = users[rows]
        return user_states(
            blocks,
            view.older.items,
            starts=view.older.offsets[whose],
            sizes=(sizes - tails)[whose],
            centralized=centralized[whose],
        )

    return CloudPositions(
        users=np.repeat(users.astype(np.int32), tails[users]),
        states=UserStates(before, length=len(users)),
        seen_from=np.repeat(np.arange(len(users)), tails[users]),
        items=view.older.items[_in_tails(view.older.offsets, tails)],
    )


def _in_tails(
    offsets: npt.NDArray[np.int64], tails: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """`[m] bool`, which of all older interactions are among the newest `tails` of their user."""
    sizes = np.diff(offsets)
    after = np.repeat(offsets[1:], sizes) - np.arange(offsets[-1])
    found: npt.NDArray[np.bool_] = after <= np.repeat(tails, sizes)
    return found


def no_positions(states: npt.NDArray[Any] | UserStates) -> CloudPositions:
    """Those of a view without interactions, which leaves labels to learn from to nobody.

    Args:
      states: `[users, s]`, of all users.
    """
    nobody = np.zeros(0, np.int32)
    return CloudPositions(nobody, states[:0], nobody.astype(np.int64), nobody)


def tail_length(length: int, tail: float) -> int:
    """How many of `length` interactions form the tail; at least one stays before it."""
    return max(0, min(length - 1, int(np.ceil(tail * length))))


def tail_lengths(lengths: npt.NDArray[np.int64], tail: float) -> npt.NDArray[np.int64]:
    """`tail_length` of many: `[n] int64`.

    >>> tail_lengths(np.array([0, 1, 2, 9]), 0.3).tolist()
    [0, 0, 1, 3]
    """
    wanted = np.ceil(tail * lengths).astype(np.int64)
    return np.maximum(0, np.minimum(lengths - 1, wanted))


def _categorical(table: CentralizedTable) -> list[EncodedColumn]:
    return _columns(table, Kind.MULTI_CATEGORICAL) + _columns(table, Kind.CATEGORICAL)


def _columns(table: CentralizedTable, kind: Kind) -> list[EncodedColumn]:
    return [column for column in table.columns if column.column.kind is kind]
