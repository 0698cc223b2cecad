"""The item table as tensors: made once for a table, or of the rows that are read alone.

At a million items the arrays of a table are a gigabyte. So whoever computes with a whole table
shares one set of tensors, and whoever reads few rows has these alone.
"""

import dataclasses
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.knowledge.item_table import Block, ItemTable

__all__ = ["ItemTensors", "item_tensors", "laid_out", "read_rows", "table_tensors"]

Ids = npt.NDArray[np.int32]


class ItemTensors(NamedTuple):
    """The item table as tensors, blocks side by side (sizes of the blocks kept apart).

    Attributes:
      source: `[items + 1, D] float32`.
      target: `[items + 1, D] float32`.
      attributes: `[items + 1, a] float32`.
      cloud: `[items + 1, d_c] float32`.
      bias: `[items + 1] float32`.
      feature_mean: `[F] float32`.
      feature_scale: `[F] float32`.
      logit_mean: `[] float32`.
      logit_scale: `[] float32`.
    """

    source: tf.Tensor
    target: tf.Tensor
    attributes: tf.Tensor
    cloud: tf.Tensor
    bias: tf.Tensor
    feature_mean: tf.Tensor
    feature_scale: tf.Tensor
    logit_mean: tf.Tensor
    logit_scale: tf.Tensor


# By the identity of a living table.
_made: dict[int, ItemTensors] = {}


def item_tensors(table: ItemTable) -> ItemTensors:
    """Lays the blocks of `table` side by side, as arrays of NumPy.

    Of a table that has tensors (`table_tensors`) the arrays are theirs, not copies.
    """
    made = _made.get(id(table))
    return ItemTensors(*(_arrays(table) if made is None else map(np.asarray, made)))


def table_tensors(table: ItemTable) -> ItemTensors:
    """`item_tensors` as tensors, made when they are first asked for; they live with the table."""
    if id(table) not in _made:
        _keep(table, _constants(_arrays(table)))
    return _made[id(table)]


def laid_out(table: ItemTable) -> ItemTable:
    """An equal table whose large arrays are parts of its tensors, so that there is one copy.

    Args:
      table: nothing of it is kept.
    """
    tensors = _constants(_arrays(table))
    source, target, attributes, cloud, bias = (np.asarray(part) for part in tensors[:5])
    blocks, start = [], 0
    for block in table.blocks:
        columns = slice(start, start + block.source.shape[1])
        first = source[:, columns]
        second = first if block.is_symmetric else target[:, columns]
        blocks.append(Block(block.name, first, second))
        start = columns.stop
    made = dataclasses.replace(
        table, blocks=tuple(blocks), attributes=attributes, cloud=cloud, bias=bias
    )
    _keep(made, tensors)
    return made


def read_rows(table: ItemTable, *items: Ids) -> tuple[ItemTensors, tuple[Ids, ...]]:
    """The rows of `table` that `items` have, as tensors, and where each of them is.

    Args:
      table: of which only these rows are copied.
      *items: `[...] int32` each.

    Returns:
      Tensors with a row for each item that comes up and, in front, for padding; and the numbers
      of rows, `[...] int32`, in the places of `items`.

    Example:
      >>> block = Block("even", np.eye(9, dtype=np.float32), np.eye(9, dtype=np.float32))
      >>> one, none = np.ones(9, np.float32), np.zeros((9, 0), np.float32)
      >>> table = ItemTable((block,), none, none, one, one, one)
      >>> tensors, (places,) = read_rows(table, np.array([7, 0, 4, 7], np.int32))
      >>> tensors.source.shape.as_list(), places.tolist()
      ([3, 9], [2, 0, 1, 2])
    """
    numbers = np.unique(np.concatenate([[0], *(part.ravel() for part in items)]))
    places = tuple(np.searchsorted(numbers, part).astype(np.int32) for part in items)
    return _constants(_arrays(table, numbers)), places


def _arrays(
    table: ItemTable, rows: npt.NDArray[np.integer[Any]] | None = None
) -> Iterator[npt.NDArray[np.float32]]:
    """What `ItemTensors` says, of all rows or of some, one after the other.

    Whoever makes tensors of them has a single one twice.
    """
    chosen: Any = slice(None) if rows is None else rows
    yield np.concatenate([block.source[chosen] for block in table.blocks], axis=1)
    yield np.concatenate([block.target[chosen] for block in table.blocks], axis=1)
    for array in (table.attributes, table.cloud, table.bias):
        yield array[chosen]
    yield table.feature_mean
    yield table.feature_scale
    yield np.asarray(table.logit_mean, np.float32)
    yield np.asarray(table.logit_scale, np.float32)


def _constants(arrays: Iterable[npt.NDArray[np.float32]]) -> ItemTensors:
    # Also where a graph is being made, whose tensors would not outlive it.
    with tf.init_scope():
        return ItemTensors(*map(tf.constant, arrays))


def _keep(table: ItemTable, tensors: ItemTensors) -> None:
    _made[id(table)] = tensors
    weakref.finalize(table, _made.pop, id(table), None)
