"""The item table inside an exported file: exact, quantised or in product codes, behind a gather.

Scales are float16, one for each row and section (an item-to-item block, the attributes,
the cloud embedding), kept as int16 bits. For a table that crossed the wire as int8, int4 or
product codes the encoding is the one that was transmitted, and a file that keeps it so is exact.
Columns of the cloud embedding that are a block's target are read from there.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.knowledge import Block, ItemTable, build_table_codec
from ecct_tf.knowledge.product_codes import codebooks
from ecct_tf.knowledge.table_codecs import pack_int4, unpack_int4
from mobile_export.making.item_rows import (
    CodedRows,
    CopiedRows,
    HalfRows,
    ScaledRows,
    Side,
    ZeroRows,
)

__all__ = ["Constant", "ItemStore", "TableEncoding", "exact_encoding"]

TableEncoding = Literal["float32", "int8", "int4", "pq2", "pq4", "pq8", "lean"]

Array = npt.NDArray[np.float32]
Constant = Callable[[npt.NDArray[Any]], tf.Tensor]

_STEPS = {"int8": 127.0, "int4": 7.0}
_FLOAT16_MAX = 65504.0
# The smallest normal float16, as in the int8 codec.
_SMALLEST_SCALE = 2.0**-14


@dataclasses.dataclass(frozen=True, eq=False)
class _Scaled:
    """What `ScaledRows` is made from, as arrays."""

    values: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float16]
    widths: tuple[int, ...]
    packed: bool

    def rows(self, constant: Constant) -> ScaledRows:
        values = constant(self.values)
        scales = constant(self.scales.view(np.int16))
        return ScaledRows(values, scales, self.widths, self.packed)

    def decoded(self) -> Array:
        width = sum(self.widths)
        values = unpack_int4(self.values, width) if self.packed else self.values.astype(np.float32)
        scales = np.repeat(self.scales.astype(np.float32), self.widths, axis=1)
        found: Array = values * scales
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Coded:
    """What `CodedRows` is made from: `[n, G] uint8`, `[G, K, size] float16`, and the sections."""

    codes: npt.NDArray[np.uint8]
    books: npt.NDArray[np.float16]
    sections: tuple[Array, ...]

    def rows(self, constant: Constant) -> CodedRows:
        groups, entries, size = self.books.shape
        books = self.books.view(np.int16).reshape(groups * entries, size)
        widths = tuple(section.shape[1] for section in self.sections)
        return CodedRows(constant(self.codes), tf.constant(books), widths)

    def decoded(self) -> Array:
        return np.concatenate(self.sections, axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class _Copied:
    """Columns of the targets."""

    start: int
    width: int


_Encoded = _Scaled | _Coded


@dataclasses.dataclass(frozen=True, eq=False)
class _Sides:
    """The table, encoded."""

    source: list[_Encoded]
    target: list[_Encoded]
    attributes: list[_Encoded]
    cloud: list[_Encoded | _Copied]


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
            CopiedRows(target, part.start, part.width)
            if isinstance(part, _Copied)
            else part.rows(constant)
            for part in sides.cloud
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
        source, target, attributes = (
            np.concatenate([part.decoded() for part in parts], axis=1)
            for parts in (sides.source, sides.target, sides.attributes)
        )
        cloud = [
            target[:, part.start : part.start + part.width]
            if isinstance(part, _Copied)
            else part.decoded()
            for part in sides.cloud
        ]
        return dense._replace(
            source=source,
            target=target,
            attributes=attributes,
            cloud=np.concatenate(cloud, axis=1),
            bias=_halves(self.table.bias).astype(np.float32),
        )

    @functools.cached_property
    def _sides(self) -> _Sides:
        """The encoded sections.

        Blocks whose source is their target lie apart from the others: both sides then have
        the same bytes, which the file keeps once.
        """
        blocks = self.table.blocks
        starts = [
            index
            for index, block in enumerate(blocks)
            if index == 0
            or block.is_symmetric != blocks[index - 1].is_symmetric
            # Its groups may be longer than another's.
            or (block.is_symmetric and self.encoding == "lean")
        ]
        runs = [
            blocks[start:end] for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True)
        ]
        return _Sides(
            [self._encode([block.source for block in run], _kind(run, "source")) for run in runs],
            [self._encode([block.target for block in run], _kind(run, "target")) for run in runs],
            [self._encode([self.table.attributes], "attributes")],
            self._cloud(),
        )

    def _cloud(self) -> list[_Encoded | _Copied]:
        found: list[_Encoded | _Copied] = []
        names = [block.name for block in self.table.blocks]
        ends = dict(zip(names, np.cumsum(self.block_sizes), strict=True))
        place = 0
        for width, block in self.table.cloud_copies:
            if block is None:
                found.append(self._encode([self.table.cloud[:, place : place + width]], "cloud"))
            else:
                found.append(_Copied(int(ends[block.name]) - width, width))
            place += width
        return found or [self._encode([self.table.cloud], "cloud")]

    def _encode(self, sections: Sequence[Array], kind: str) -> _Encoded:
        sections = [section for section in sections if section.shape[1]]
        if self.encoding in _STEPS:
            return self._scale(sections)
        return self._code(sections, kind)

    def _scale(self, sections: Sequence[Array]) -> _Scaled:
        steps = _STEPS[self.encoding]
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
        return _Scaled(
            pack_int4(joined) if packed else joined,
            np.concatenate(scales, axis=1),
            tuple(section.shape[1] for section in sections),
            packed,
        )

    def _code(self, sections: Sequence[Array], kind: str) -> _Encoded:
        if not sections:
            nothing = np.zeros((self.rows, 0), np.int8)
            return _Scaled(nothing, nothing.astype(np.float16), (), packed=False)
        codec = build_table_codec(self.encoding).of(kind)
        encoded = [codec.encode(np.ascontiguousarray(section)) for section in sections]
        books = [codebooks(each) for each in encoded]
        entries = max(book.shape[1] for book in books)
        return _Coded(
            np.concatenate([each.rows for each in encoded], axis=1),
            np.concatenate(
                [np.pad(book, [(0, 0), (0, entries - book.shape[1]), (0, 0)]) for book in books]
            ),
            tuple(
                codec.decode(each, section.shape[1])
                for each, section in zip(encoded, sections, strict=True)
            ),
        )


def _kind(run: Sequence[Block], side: str) -> str:
    """Of the sections of `run`, blocks that are all symmetric or all not."""
    return "both" if run[0].is_symmetric else side


def exact_encoding(table: ItemTable) -> TableEncoding:
    """The form in which a table crossed, where a file keeps it as it is, or float32.

    Without a form of its own a table may have crossed as int8.
    """
    asked: Any = table.form if table.form in get_args(TableEncoding) else "int8"
    kept = ItemStore(table, asked).decoded()
    return asked if all(map(np.array_equal, kept, item_tensors(table))) else "float32"


def _halves(values: Array) -> npt.NDArray[np.float16]:
    return np.clip(values, -_FLOAT16_MAX, _FLOAT16_MAX).astype(np.float16)
