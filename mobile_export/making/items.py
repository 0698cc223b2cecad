"""The item table inside an exported file: exact, int8 or int4 rows behind a gather.

The converter would fold a dense `int8 * scale` constant back to float32; rows that are
gathered first stay small. Every kind of rows answers `tf.gather`, so that the feature
code of `ecct_tf.edge` runs over it unchanged.

Scales are float16, one for each row and section (an item-to-item block, the attributes,
the cloud embedding), kept as int16 bits. For a table that crossed the wire as int8 the
encoding is therefore the one that was transmitted, and `trainable-int8` is exact.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.knowledge import ItemTable

__all__ = ["ItemStore", "TableEncoding", "exact_encoding"]

TableEncoding = Literal["float32", "int8", "int4"]

Array = npt.NDArray[np.float32]

_STEPS = {"int8": 127.0, "int4": 7.0}
_FLOAT16_MAX = 65504.0
# The smallest normal float16, as in the int8 codec.
_SMALLEST_SCALE = 2.0**-14


class _Rows(tf.experimental.ExtensionType):
    """Quantised rows: `values` `[n, D]` or packed `[n, D / 2]` int8, `scales` `[n, S]` int16."""

    values: tf.Tensor
    scales: tf.Tensor
    widths: tuple[int, ...]
    packed: bool


class _Side(tf.experimental.ExtensionType):
    """Quantised rows that lie side by side."""

    parts: tuple[_Rows, ...]

    @property
    def shape(self) -> tf.TensorShape:
        """Of the decoded rows."""
        return tf.TensorShape([None, sum(sum(rows.widths) for rows in self.parts)])


class _Zeros(tf.experimental.ExtensionType):
    """A bias that is zero for every item: nothing is stored."""

    unused: tuple[tf.Tensor, ...] = ()


class _Halves(tf.experimental.ExtensionType):
    """One float16 value a row, as int16 bits: `[n]`."""

    bits: tf.Tensor


def _from_bits(bits: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.bitcast(bits, tf.float16), tf.float32)


@tf.experimental.dispatch_for_api(tf.gather, {"params": _Halves})
def _gather_halves(
    params: _Halves,
    indices: tf.Tensor,
    validate_indices: Any = None,
    axis: Any = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> tf.Tensor:
    del validate_indices, axis, batch_dims, name  # Rows only, as `ecct_tf.edge` asks for them.
    return _from_bits(tf.gather(params.bits, indices))


@tf.experimental.dispatch_for_api(tf.gather, {"params": _Zeros})
def _gather_zeros(
    params: _Zeros,
    indices: tf.Tensor,
    validate_indices: Any = None,
    axis: Any = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> tf.Tensor:
    del params, indices, validate_indices, axis, batch_dims, name
    return tf.zeros([])


@tf.experimental.dispatch_for_api(tf.gather, {"params": _Side})
def _gather_side(
    params: _Side,
    indices: tf.Tensor,
    validate_indices: Any = None,
    axis: Any = None,
    batch_dims: int = 0,
    name: str | None = None,
) -> tf.Tensor:
    del validate_indices, axis, batch_dims, name
    parts = [_decode(rows, indices) for rows in params.parts]
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


def _decode(rows: _Rows, indices: tf.Tensor) -> tf.Tensor:
    width = sum(rows.widths)
    values = tf.cast(tf.gather(rows.values, indices), tf.float32)
    if rows.packed:
        high = tf.floor(values * (1.0 / 16.0))
        values = tf.concat([values - 16.0 * high - 8.0, high], axis=-1)[..., :width]
    scales = _from_bits(tf.gather(rows.scales, indices))
    if len(rows.widths) > 1:
        # Spreads each section's scale over its columns; one term a column, hence exact.
        spread = np.repeat(np.eye(len(rows.widths), dtype=np.float32), rows.widths, axis=1)
        lead = tf.shape(indices)
        flat = tf.matmul(tf.reshape(scales, [-1, len(rows.widths)]), spread)
        scales = tf.reshape(flat, tf.concat([lead, [width]], axis=0))
    return values * scales


@dataclasses.dataclass(frozen=True)
class _Encoded:
    """What `_Rows` is made from, as arrays."""

    values: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float16]
    widths: tuple[int, ...]
    packed: bool

    def tensors(self) -> _Rows:
        return _Rows(
            tf.constant(self.values),
            tf.constant(self.scales.view(np.int16)),
            self.widths,
            self.packed,
        )

    def decoded(self) -> Array:
        values = self.values.astype(np.float32)
        if self.packed:
            high = np.floor(values / 16.0)
            values = np.concatenate([values - 16.0 * high - 8.0, high], axis=1)
        scales = np.repeat(self.scales.astype(np.float32), self.widths, axis=1)
        found: Array = values[:, : sum(self.widths)] * scales
        return found


@dataclasses.dataclass(frozen=True)
class ItemStore:
    """The item table of one file.

    Attributes:
      table: the table as devices received it.
      encoding: how the file keeps it.
    """

    table: ItemTable
    encoding: TableEncoding

    @property
    def rows(self) -> int:
        """Rows, the padding row 0 included."""
        return self.table.num_items + 1

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Widths of the item-to-item blocks."""
        return tuple(block.source.shape[1] for block in self.table.blocks)

    def tensors(self) -> ItemTensors:
        """What `ecct_tf.edge` reads; to be called while a graph is traced."""
        dense = ItemTensors(*(tf.constant(array) for array in item_tensors(self.table)))
        if self.encoding == "float32":
            return dense
        source, target, attributes, cloud = (
            _Side(tuple(part.tensors() for part in parts)) for parts in self._encoded()
        )
        bias: _Zeros | _Halves = _Zeros()
        if self.table.bias.any():
            bias = _Halves(tf.constant(_halves(self.table.bias).view(np.int16)))
        return dense._replace(
            source=source, target=target, attributes=attributes, cloud=cloud, bias=bias
        )

    def decoded(self) -> ItemTensors:
        """The table as the file reads it, dequantised, as arrays: the reference of parity."""
        dense = ItemTensors(*(np.asarray(array) for array in item_tensors(self.table)))
        if self.encoding == "float32":
            return dense
        source, target, attributes, cloud = (
            np.concatenate([part.decoded() for part in parts], axis=1) for parts in self._encoded()
        )
        return dense._replace(
            source=source,
            target=target,
            attributes=attributes,
            cloud=cloud,
            bias=_halves(self.table.bias).astype(np.float32),
        )

    def _encoded(self) -> tuple[list[_Encoded], ...]:
        """Source, target, attributes, cloud.

        Blocks whose source is their target lie apart from the others: both sides then have
        the same bytes, which the file keeps once.
        """
        blocks = self.table.blocks
        starts = [
            index
            for index, block in enumerate(blocks)
            if index == 0 or block.is_symmetric != blocks[index - 1].is_symmetric
        ]
        runs = [
            blocks[start:end] for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True)
        ]
        return (
            [self._encode([block.source for block in run]) for run in runs],
            [self._encode([block.target for block in run]) for run in runs],
            [self._encode([self.table.attributes])],
            [self._encode([self.table.cloud])],
        )

    def _encode(self, sections: Sequence[Array]) -> _Encoded:
        steps = _STEPS[self.encoding]
        sections = [section for section in sections if section.shape[1]]
        values = [np.zeros((self.rows, 0), np.int8)]
        scales = [np.zeros((self.rows, 0), np.float16)]
        for section in sections:
            peak = np.abs(section).max(axis=1, keepdims=True)
            scale = np.clip(peak / np.float32(steps), _SMALLEST_SCALE, _FLOAT16_MAX)
            rounded = scale.astype(np.float16)
            quantised = np.rint(section / rounded.astype(np.float32))
            values.append(np.clip(quantised, -steps, steps).astype(np.int8))
            scales.append(rounded)
        joined = np.concatenate(values, axis=1)
        packed = self.encoding == "int4"
        return _Encoded(
            _pack(joined) if packed else joined,
            np.concatenate(scales, axis=1),
            tuple(section.shape[1] for section in sections),
            packed,
        )


def exact_encoding(table: ItemTable) -> TableEncoding:
    """`int8` for a table that crossed the wire as int8, which a file keeps as it is, or float32."""
    kept = ItemStore(table, "int8").decoded()
    return "int8" if all(map(np.array_equal, kept, item_tensors(table))) else "float32"


def _pack(values: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Two values of -7..7 in a byte: the first half of a row low, the second half high."""
    even = np.pad(values, [(0, 0), (0, values.shape[1] % 2)])
    low, high = np.split(even.astype(np.int16), 2, axis=1)
    packed: npt.NDArray[np.int8] = (16 * high + low + 8).astype(np.int8)
    return packed


def _halves(values: Array) -> npt.NDArray[np.float16]:
    return np.clip(values, -_FLOAT16_MAX, _FLOAT16_MAX).astype(np.float16)
