"""The item table inside an exported file: exact, quantised or in product codes, behind a gather.

Each section (an item-to-item block, the attributes, the cloud's own columns) is a table of its own,
so that no row has to be cut after it was read. Scales are float16, one for each row, kept as int16
bits. For a table that crossed the wire as int8, int4 or
product codes the encoding is the one that was transmitted, and a file that keeps it so is exact.
Columns of the cloud embedding that are a block's target are read from there.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.knowledge import Block, ItemTable, build_table_codec
from ecct_tf.knowledge.product_codes import codebooks
from ecct_tf.knowledge.table_codecs import pack_int4, unpack_int4
from mobile_export.making.item_rows import CodedRows, HalfRows, ScaledRows, Side, ZeroRows

__all__ = ["Constant", "ItemStore", "TableEncoding", "exact_encoding", "kept_as"]

TableEncoding = Literal["float32", "int8", "int4", "pq2", "pq4", "pq8", "fine", "lean"]

Array = npt.NDArray[np.float32]
Constant = Callable[[npt.NDArray[Any]], tf.Tensor]

_STEPS = {"int8": 127.0, "int4": 7.0}
# What `pack_int4` adds to the low value of a byte, and a file does without.
_LOW = 8
# Codebooks that take at most this part of their codes are kept as float32: phones convert float16
# number by number, which costs more than looking them up.
_BOOKS_SHARE = 20
_FLOAT16_MAX = 65504.0
# The smallest normal float16, as in the int8 codec.
_SMALLEST_SCALE = 2.0**-14


@dataclasses.dataclass(frozen=True, eq=False)
class _Scaled:
    """What `ScaledRows` is made from, as arrays."""

    values: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float16]
    width: int
    packed: bool

    def rows(self, constant: Constant) -> ScaledRows:
        values = constant(self.values)
        scales = constant(self.scales.view(np.int16))
        return ScaledRows(values, scales, self.width, self.packed)

    def decoded(self) -> Array:
        if self.packed:
            values = unpack_int4(self.values + np.int8(_LOW), self.width)
        else:
            values = self.values.astype(np.float32)
        found: Array = values * self.scales.astype(np.float32)
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Coded:
    """What `CodedRows` is made from: `[n, G] uint8`, `[G, K, size] float16`, and their values."""

    codes: npt.NDArray[np.uint8]
    books: npt.NDArray[np.float16]
    values: Array

    def rows(self, constant: Constant) -> CodedRows:
        groups, entries, size = self.books.shape
        books = self.books.reshape(groups * entries, size)
        wide = books.nbytes * _BOOKS_SHARE <= self.codes.nbytes
        kept = tf.constant(books.astype(np.float32) if wide else books.view(np.int16))
        return CodedRows(constant(self.codes), kept, self.values.shape[1])

    def decoded(self) -> Array:
        return self.values


_Encoded = _Scaled | _Coded


@dataclasses.dataclass(frozen=True, eq=False)
class _Sides:
    """The table, encoded; of columns of the cloud that are a block's targets, its number."""

    source: list[_Encoded]
    target: list[_Encoded]
    attributes: list[_Encoded]
    cloud: list[_Encoded | int]


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

    def tensors(self, constant: Constant = tf.constant) -> ItemTensors:
        """What `ecct_tf.edge` reads; to be called while a graph is traced.

        Args:
          constant: what makes a tensor of an array with a row for each item.
        """
        table = self.table
        if self.encoding != "float32":
            # The converter sorts constants by their numbered names: without a constant for each
            # part of a dense table, equal tables would not give files of the bytes of before.
            for _ in range(5):
                tf.constant(0.0)
        moments = item_tensors(table)[5:]
        if self.encoding == "float32":
            dense = [constant(array) for array in item_tensors(table)[:5]]
            return ItemTensors(*dense, *map(tf.constant, moments))
        rest = [tf.constant(array) for array in moments]
        sides = self._sides
        # The converter numbers constants as they are made: always in this order.
        source, target, attributes = (
            tuple(part.rows(constant) for part in parts)
            for parts in (sides.source, sides.target, sides.attributes)
        )
        cloud = tuple(
            target[part] if isinstance(part, int) else part.rows(constant) for part in sides.cloud
        )
        bias: ZeroRows | HalfRows = ZeroRows()
        if table.bias.any():
            bias = HalfRows(constant(_halves(table.bias).view(np.int16)))
        width = sum(self.block_sizes)
        return ItemTensors(
            Side(source, width),
            Side(target, width),
            Side(attributes, table.attributes.shape[1]),
            Side(cloud, table.cloud.shape[1]),
            bias,
            *rest,
        )

    def decoded(self) -> ItemTensors:
        """The table as the file reads it, dequantised, as arrays: the reference of parity."""
        dense = ItemTensors(*(np.asarray(array) for array in item_tensors(self.table)))
        if self.encoding == "float32":
            return dense
        sides = self._sides
        cloud = [sides.target[part] if isinstance(part, int) else part for part in sides.cloud]
        source, target, attributes, embedding = (
            np.concatenate([part.decoded() for part in parts], axis=1)
            for parts in (sides.source, sides.target, sides.attributes, cloud)
        )
        return dense._replace(
            source=source,
            target=target,
            attributes=attributes,
            cloud=embedding,
            bias=_halves(self.table.bias).astype(np.float32),
        )

    @functools.cached_property
    def _sides(self) -> _Sides:
        """The encoded sections; the file keeps equal ones once."""
        blocks = self.table.blocks
        return _Sides(
            [self._encode(block.source, _kind(block, "source")) for block in blocks],
            [self._encode(block.target, _kind(block, "target")) for block in blocks],
            [self._encode(self.table.attributes, "attributes")],
            self._cloud(),
        )

    def _cloud(self) -> list[_Encoded | int]:
        found: list[_Encoded | int] = []
        names = [block.name for block in self.table.blocks]
        place = 0
        for width, block in self.table.cloud_copies:
            columns = self.table.cloud[:, place : place + width]
            found.append(names.index(block.name) if block else self._encode(columns, "cloud"))
            place += width
        return found or [self._encode(self.table.cloud, "cloud")]

    def _encode(self, section: Array, kind: str) -> _Encoded:
        if self.encoding in _STEPS or not section.shape[1]:
            return self._scale(section)
        codec = build_table_codec(self.encoding).of(kind)
        encoded = codec.encode(np.ascontiguousarray(section))
        return _Coded(encoded.rows, codebooks(encoded), codec.decode(encoded, section.shape[1]))

    def _scale(self, section: Array) -> _Scaled:
        steps = _STEPS.get(self.encoding, 1.0)
        peak = np.abs(section).max(axis=1, keepdims=True, initial=0.0)
        scale = np.clip(peak / np.float32(steps), _SMALLEST_SCALE, _FLOAT16_MAX)
        scales = scale.astype(np.float16)
        rounded = np.rint(section / scales.astype(np.float32))
        values = np.clip(rounded, -steps, steps).astype(np.int8)
        packed = self.encoding == "int4"
        width = section.shape[1]
        # No columns have no scale.
        kept = pack_int4(values) - np.int8(_LOW) if packed else values
        return _Scaled(kept, scales[:, :width], width, packed)


def _kind(block: Block, side: str) -> str:
    """Of a section of `block`."""
    return "both" if block.is_symmetric else side


def kept_as(form: str) -> TableEncoding | None:
    """How a file keeps a table that crossed in a form of its own; None where it cannot.

    >>> kept_as("compact"), kept_as("fine"), kept_as("my_pkg.tables:ternary")
    ('int4', 'fine', None)
    """
    encoding: Any = "int4" if form == "compact" else form
    return encoding if encoding in get_args(TableEncoding) else None


def exact_encoding(table: ItemTable) -> TableEncoding:
    """The form in which a table crossed, where a file keeps it as it is, or float32.

    Without a form of its own a table may have crossed as int8.
    """
    asked: Any = kept_as(table.form) or "int8"
    kept = ItemStore(table, asked).decoded()
    return asked if all(map(np.array_equal, kept, item_tensors(table))) else "float32"


def _halves(values: Array) -> npt.NDArray[np.float16]:
    return np.clip(values, -_FLOAT16_MAX, _FLOAT16_MAX).astype(np.float16)
