"""Rows of the item table in a graph: quantised, and read as dense ones are.

The converter would fold a dense `int8 * scale` constant back to float32; rows that are gathered
first stay small. Each kind of rows answers `tf.gather`, and blocks that lie side by side answer
`block_rows`, so that the feature code of `ecct_tf.edge` runs over it unchanged.
"""

from collections.abc import Callable, Sequence
from typing import Any, Union

import numpy as np
import tensorflow as tf

from ecct_tf.edge.history_products import block_rows

__all__ = ["CodedRows", "HalfRows", "ScaledRows", "Side", "ZeroRows"]


class ScaledRows(tf.experimental.ExtensionType):
    """Columns with a scale in each row.

    Attributes:
      values: `[n, D] int8`, or two of them in a byte, `[n, D / 2] int8`: sixteen times the high
        one plus the low one.
      scales: `[n, 1] int16`, float16 bits.
      width: D.
      packed: whether two values are in a byte.
    """

    values: tf.Tensor
    scales: tf.Tensor
    width: int
    packed: bool


class CodedRows(tf.experimental.ExtensionType):
    """Columns in product codes.

    Attributes:
      codes: `[n, G] uint8`.
      books: `[G * K, size]`, float32 or as int16 the bits of float16: the codebooks one below the
        other.
      width: of the columns, which are padded to whole groups.
    """

    codes: tf.Tensor
    books: tf.Tensor
    width: int


class Side(tf.experimental.ExtensionType):
    """Columns that lie side by side: a part for each block, where there are blocks."""

    parts: tuple[Union[ScaledRows, CodedRows], ...]  # noqa: UP007  # ExtensionType knows no `|`.
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
    parts = [_decoded(part, indices) for part in rows.parts]
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)


@block_rows.register
def _blocks(rows: Side, indices: tf.Tensor, sizes: Sequence[int]) -> list[tf.Tensor]:
    del sizes
    return [_decoded(part, indices) for part in rows.parts]


def _decoded(rows: ScaledRows | CodedRows, indices: tf.Tensor) -> tf.Tensor:
    return _looked_up(rows, indices) if isinstance(rows, CodedRows) else _scaled(rows, indices)


def _scaled(rows: ScaledRows, indices: tf.Tensor) -> tf.Tensor:
    values = tf.cast(tf.gather(rows.values, indices), tf.float32)
    if rows.packed:
        # The low value is -7 to 7: not half of 16, so that rounding finds the high one.
        high = tf.round(values * (1.0 / 16.0))
        values = tf.concat([values - 16.0 * high, high], axis=-1)[..., : rows.width]
    return values * _from_bits(tf.gather(rows.scales, indices))


def _looked_up(rows: CodedRows, indices: tf.Tensor) -> tf.Tensor:
    groups, (entries, size) = int(rows.codes.shape[1]), rows.books.shape
    # The book of group g begins at row g * K. Runtimes add float32 faster than int32.
    starts = np.arange(0, int(entries), int(entries) // groups, dtype=np.float32)
    codes = tf.cast(tf.gather(rows.codes, indices), tf.float32)
    place = tf.cast(codes + starts, tf.int32)
    found = tf.gather(rows.books, place)
    values = found if found.dtype == tf.float32 else _from_bits(found)
    padded = groups * int(size)
    values = tf.reshape(values, tf.concat([tf.shape(indices), [padded]], axis=0))
    return values if padded == rows.width else values[..., : rows.width]
