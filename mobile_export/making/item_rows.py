"""Rows of the item table in a graph: quantised, and read by `tf.gather` as dense ones are.

The converter would fold a dense `int8 * scale` constant back to float32; rows that are gathered
first stay small. Each kind of rows answers `tf.gather`, so that the feature code of `ecct_tf.edge`
runs over it unchanged.
"""

from collections.abc import Callable, Sequence
from typing import Any, Union

import numpy as np
import tensorflow as tf

__all__ = ["CodedRows", "CopiedRows", "HalfRows", "ScaledRows", "Side", "ZeroRows"]


class ScaledRows(tf.experimental.ExtensionType):
    """Sections side by side, each with a scale in each row.

    Attributes:
      values: `[n, D] int8`, or two of them in a byte, `[n, D / 2] int8`.
      scales: `[n, S] int16`, float16 bits.
      widths: of the S sections.
      packed: whether two values are in a byte.
    """

    values: tf.Tensor
    scales: tf.Tensor
    widths: tuple[int, ...]
    packed: bool


class CodedRows(tf.experimental.ExtensionType):
    """Sections side by side in product codes.

    Attributes:
      codes: `[n, G] uint8`.
      books: `[G * K, size] int16`, float16 bits: the codebooks one below the other.
      widths: of the sections, each padded to whole groups.
    """

    codes: tf.Tensor
    books: tf.Tensor
    widths: tuple[int, ...]


class CopiedRows(tf.experimental.ExtensionType):
    """Columns of other rows.

    Attributes:
      parts: the rows.
      start: the first column.
      width: columns.
    """

    parts: tuple[Union[ScaledRows, CodedRows], ...]  # noqa: UP007  # ExtensionType knows no `|`.
    start: int
    width: int


class Side(tf.experimental.ExtensionType):
    """Rows that lie side by side."""

    parts: tuple[Union[ScaledRows, CodedRows, CopiedRows], ...]  # noqa: UP007  # Likewise.
    width: int

    @property
    def shape(self) -> tf.TensorShape:
        """Of the decoded rows."""
        return tf.TensorShape([None, self.width])


class ZeroRows(tf.experimental.ExtensionType):
    """A bias that is zero for every item: nothing is stored."""

    unused: tuple[tf.Tensor, ...] = ()


class HalfRows(tf.experimental.ExtensionType):
    """One float16 value a row, as int16 bits: `[n]`."""

    bits: tf.Tensor


def _from_bits(bits: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.bitcast(bits, tf.float16), tf.float32)


def _answers(kind: Any) -> Callable[[Callable[[Any, tf.Tensor], tf.Tensor]], Any]:
    """Makes a function of rows and indices what `tf.gather` does with rows of `kind`."""

    def register(read: Callable[[Any, tf.Tensor], tf.Tensor]) -> Any:
        @tf.experimental.dispatch_for_api(tf.gather, {"params": kind})
        def gather(
            params: Any,
            indices: tf.Tensor,
            validate_indices: Any = None,
            axis: Any = None,
            batch_dims: int = 0,
            name: str | None = None,
        ) -> tf.Tensor:
            # Rows only, as `ecct_tf.edge` asks for them.
            del validate_indices, axis, batch_dims, name
            return read(params, indices)

        return gather

    return register


@_answers(HalfRows)
def _halves(rows: HalfRows, indices: tf.Tensor) -> tf.Tensor:
    return _from_bits(tf.gather(rows.bits, indices))


@_answers(ZeroRows)
def _zeros(rows: ZeroRows, indices: tf.Tensor) -> tf.Tensor:
    del rows, indices
    return tf.zeros([])


@_answers(Side)
def _side(rows: Side, indices: tf.Tensor) -> tf.Tensor:
    return _beside([_decoded(part, indices) for part in rows.parts])


def _beside(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


def _decoded(rows: ScaledRows | CodedRows | CopiedRows, indices: tf.Tensor) -> tf.Tensor:
    if isinstance(rows, CodedRows):
        return _looked_up(rows, indices)
    if isinstance(rows, CopiedRows):
        # The same operators as for the rows that are copied: the converter keeps them once.
        whole = _beside([_decoded(part, indices) for part in rows.parts])
        return whole[..., rows.start : rows.start + rows.width]
    return _scaled(rows, indices)


def _scaled(rows: ScaledRows, indices: tf.Tensor) -> tf.Tensor:
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


def _looked_up(rows: CodedRows, indices: tf.Tensor) -> tf.Tensor:
    groups, (entries, size) = int(rows.codes.shape[1]), rows.books.shape
    # The book of group g begins at row g * K.
    starts = tf.range(groups) * (int(entries) // groups)
    place = tf.cast(tf.gather(rows.codes, indices), tf.int32) + starts
    values = _from_bits(tf.gather(rows.books, place))
    lead = tf.shape(indices)
    values = tf.reshape(values, tf.concat([lead, [groups * int(size)]], axis=0))
    return _without_padding(values, rows.widths, int(size))


def _without_padding(values: tf.Tensor, widths: Sequence[int], size: int) -> tf.Tensor:
    parts, start, place = [], 0, 0
    for width in widths:
        # Columns that follow each other without padding in between are cut at once.
        place += width
        if width % size:
            parts.append(values[..., start:place])
            start = place = place - width % size + size
    if not parts:
        return values
    if start < place:
        parts.append(values[..., start:place])
    return _beside(parts)
