"""Dot products of a history's items with candidates, for each item-to-item block."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ecct_tf import fixed_order

__all__ = ["HistoryProducts", "block_rows"]


@functools.singledispatch
def block_rows(rows: tf.Tensor, indices: tf.Tensor, sizes: Sequence[int]) -> list[tf.Tensor]:
    """Rows of a table whose blocks lie side by side, block by block: `[..., d] float32` each.

    Args:
      rows: `[n, D] float32`; other kinds of rows register how they are read.
      indices: `[...] int32`.
      sizes: widths of the blocks, D in all.
    """
    found = tf.gather(rows, indices)
    if len(sizes) == 1:
        return [found]
    ends = np.cumsum(sizes)
    return [found[..., end - size : end] for size, end in zip(sizes, ends, strict=True)]


@dataclasses.dataclass(frozen=True)
class HistoryProducts:
    """The dot products of a history with K candidates.

    Attributes:
      sources: of each block `[..., L, d] float32`.
      targets: of each block `[..., K, d] float32`.
      mask: `[..., L] float32`, 0 for empty slots, whose products are zero.
      pool_first: whether histories are pooled before they meet candidates, which costs less where
        one has many; last bits differ.
    """

    sources: Sequence[tf.Tensor]
    targets: Sequence[tf.Tensor]
    mask: tf.Tensor
    pool_first: bool = False

    @functools.cached_property
    def slots(self) -> list[tf.Tensor]:
        """By slot, of each block `[..., K, L] float32`."""
        mask = tf.expand_dims(self.mask, -1)
        return [
            fixed_order.matmul(target, source * mask, transpose_b=True)
            for source, target in zip(self.sources, self.targets, strict=True)
        ]

    def pooled(self, weights: tf.Tensor) -> list[tf.Tensor]:
        """Sums over the slots, `[..., K, m] float32` of each block, some of them side by side.

        Args:
          weights: of the slots, `[..., L, m] float32`, or `[L, m]` for all histories.
        """
        if self.pool_first:
            rows = tf.linalg.matrix_transpose(weights) * tf.expand_dims(self.mask, -2)
            # Many candidates are best read as columns, and turned once for all blocks.
            columns = [
                tf.matmul(tf.matmul(rows, source), target, transpose_b=True)
                for source, target in zip(self.sources, self.targets, strict=True)
            ]
            return [tf.linalg.matrix_transpose(tf.concat(columns, axis=-2))]
        if weights.shape.rank == 2:
            return [_flat_product(block, weights) for block in self.slots]
        return [fixed_order.matmul(block, weights) for block in self.slots]


def _flat_product(tensor: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """`[..., n] x [n, m]` as one flat matrix product, whatever the leading axes."""
    if tensor.shape.rank == 2:
        return fixed_order.matmul(tensor, matrix)
    flat = fixed_order.matmul(tf.reshape(tensor, [-1, matrix.shape[0]]), matrix)
    return tf.reshape(flat, tf.concat([tf.shape(tensor)[:-1], [matrix.shape[1]]], axis=0))
