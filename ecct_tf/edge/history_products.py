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

    def pooled(self, *weights: tf.Tensor) -> list[list[tf.Tensor]]:
        """Sums over the slots: for each of `weights`, of each block `[..., K, m] float32`.

        Where histories are pooled first, the sums of all blocks lie side by side in one tensor.

        Args:
          *weights: of the slots, `[..., m, L] float32`, or `[m, L]` for all histories.
        """
        if self.pool_first:
            return self._pooled_first(weights)
        return [[_weighed(block, each) for block in self.slots] for each in weights]

    def _pooled_first(self, weights: Sequence[tf.Tensor]) -> list[list[tf.Tensor]]:
        # All in one product for each block. Many candidates are best read as columns, and turned
        # once for all blocks.
        rows = tf.concat([each * tf.expand_dims(self.mask, -2) for each in weights], axis=-2)
        columns = [
            tf.matmul(tf.matmul(rows, source), target, transpose_b=True)
            for source, target in zip(self.sources, self.targets, strict=True)
        ]
        ends = np.cumsum([int(each.shape[-2]) for each in weights])
        return [
            [
                tf.linalg.matrix_transpose(
                    tf.concat([block[..., start:end, :] for block in columns], -2)
                )
            ]
            for start, end in zip([0, *ends], ends, strict=False)
        ]


def _weighed(products: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Sums `[..., K, m]` over the slots of `[..., K, L]`, weighed by `[..., m, L]`."""
    if weights.shape.rank == 2:
        return _flat_product(products, tf.transpose(weights))
    return fixed_order.matmul(products, weights, transpose_b=True)


def _flat_product(tensor: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """`[..., n] x [n, m]` as one flat matrix product, whatever the leading axes."""
    if tensor.shape.rank == 2:
        return fixed_order.matmul(tensor, matrix)
    flat = fixed_order.matmul(tf.reshape(tensor, [-1, matrix.shape[0]]), matrix)
    return tf.reshape(flat, tf.concat([tf.shape(tensor)[:-1], [matrix.shape[1]]], axis=0))
