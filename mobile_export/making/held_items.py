"""Rows of items as an input of a file, instead of the whole table inside it.

A row is read as the cloud publishes it (`ecct_tf.wire.item_table`), and each of its sections is
decoded after it was gathered. So the file does not grow with the catalog, and a device that holds
a row computes with the numbers of the whole table.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ecct_tf.edge import ItemTensors
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_files import item_table_file
from ecct_tf.wire import ItemTableFile
from mobile_export.contract.held import HeldRoom

__all__ = ["ID_BYTES", "HeldItems", "HeldSide"]

# Before each row: the item whose it is, int32.
ID_BYTES = 4
_READABLE = ("int8", "float32")


class HeldSide(tf.experimental.ExtensionType):
    """Sections of rows side by side, which `tf.gather` reads decoded.

    Attributes:
      rows: `[R, 4 + W] int8`.
      starts: where in a row the values of each section begin.
      widths: of the sections.
      width: of all of them.
      scaled: whether values are int8 with a float16 scale behind them, else float32.
    """

    rows: tf.Tensor
    starts: tuple[int, ...]
    widths: tuple[int, ...]
    width: int
    scaled: bool

    @property
    def shape(self) -> tf.TensorShape:
        """Of the decoded rows."""
        return tf.TensorShape([None, self.width])


class HeldBias(tf.experimental.ExtensionType):
    """The items' bias, float16, the last two bytes of a row; `rows` as in `HeldSide`."""

    rows: tf.Tensor


@tf.experimental.dispatch_for_api(tf.gather, {"params": HeldSide})
def _side(
    params: HeldSide,
    indices: tf.Tensor,
    validate_indices: object = None,
    axis: object = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> tf.Tensor:
    # Rows only, as `ecct_tf.edge` asks for them.
    del validate_indices, axis, batch_dims, name
    found = tf.gather(params.rows, indices)
    parts = []
    for start, width in zip(params.starts, params.widths, strict=True):
        if params.scaled:
            values = tf.cast(found[..., start : start + width], tf.float32)
            parts.append(values * _half(found, start + width)[..., None])
        else:
            flat = found[..., start : start + 4 * width]
            lead = tf.shape(indices)
            shaped = tf.reshape(flat, tf.concat([lead, [width, 4]], axis=0))
            parts.append(tf.bitcast(shaped, tf.float32))
    if not parts:
        return tf.cast(found[..., :0], tf.float32)
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


@tf.experimental.dispatch_for_api(tf.gather, {"params": HeldBias})
def _bias(
    params: HeldBias,
    indices: tf.Tensor,
    validate_indices: object = None,
    axis: object = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> tf.Tensor:
    del validate_indices, axis, batch_dims, name
    return _half(tf.gather(params.rows, indices), int(params.rows.shape[1]) - 2)


def _half(rows: tf.Tensor, start: int) -> tf.Tensor:
    """The float16 number that begins at byte `start` of each row, as float32."""
    return tf.cast(tf.bitcast(rows[..., start : start + 2], tf.float16), tf.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class HeldItems:
    """The rows of one file that takes them as an input.

    Attributes:
      table: as the cloud published it, of which no row is in the file.
      codec: of its rows.
      room: how many rows a device has at most.

    Raises:
      ConfigError: the codec is one whose rows a file does not read.
    """

    table: ItemTable
    codec: str
    room: HeldRoom

    def __post_init__(self) -> None:
        if self.codec not in _READABLE:
            raise ConfigError(
                "exchange.item_table, exchange.codec: expected rows of items as int8 or float32 "
                f"where files take them as an input (exchange.items=candidates), got {self.codec}"
            )

    @property
    def rows(self) -> int:
        """R, the padding row 0 included."""
        return self.room.rows

    @property
    def encoding(self) -> str:
        """How rows are kept: as they crossed."""
        return self.codec

    @property
    def row_bytes(self) -> int:
        """W, bytes of a row on the wire."""
        return int(self.file.rows.dtype.itemsize)

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Widths of the item-to-item blocks."""
        return tuple(block.source.shape[1] for block in self.table.blocks)

    @functools.cached_property
    def file(self) -> ItemTableFile:
        """The table as it crosses the wire."""
        return item_table_file(self.table, self.codec)

    def tensors(self, given: tf.Tensor) -> ItemTensors:
        """What `ecct_tf.edge` reads; to be called while a graph is traced.

        Args:
          given: `[R, 4 + W] int8`.
        """
        table = self.table
        sides = [self._side(given, kinds) for kinds in _KINDS]
        moments = (table.feature_mean, table.feature_scale)
        means = (np.float32(table.logit_mean), np.float32(table.logit_scale))
        rest = [tf.constant(array) for array in (*moments, *means)]
        source, target, attributes, cloud = sides
        return ItemTensors(source, target, attributes, cloud, HeldBias(given), *rest)

    @staticmethod
    def numbers(given: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """The numbers of the items at `places`: `[...] int32`."""
        return tf.bitcast(tf.gather(given, places)[..., :ID_BYTES], tf.int32)

    def _side(self, given: tf.Tensor, kinds: tuple[str, ...]) -> HeldSide:
        fields: Mapping[str, Any] = self.file.rows.dtype.fields or {}
        starts, widths = [], []
        for index, section in enumerate(self.file.sections):
            if section.kind in kinds and section.width:
                starts.append(ID_BYTES + int(fields[f"values{index}"][1]))
                widths.append(section.width)
        scaled = self.codec == "int8"
        return HeldSide(given, tuple(starts), tuple(widths), sum(widths), scaled)


_KINDS = (("source", "both"), ("target", "both"), ("attributes",), ("cloud",))
