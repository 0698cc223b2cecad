"""The item table: the frozen item side that the cloud publishes once to every device.

A row describes one item: item-to-item embeddings in *blocks* (what the item says as
part of a history, and what it says as a candidate), numeric attributes, and the cloud
model's item embedding and bias, with which a device completes its downlink into
`h_c` and `z_c` for any item it likes, without telling the cloud which.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import CodecName
from ecct_tf.errors import DataError
from ecct_tf.knowledge.codecs import build_codec

__all__ = ["Block", "ItemTable"]

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Block:
    """One kind of item-to-item knowledge: score(i -> j) = `source[i] · target[j]`.

    Attributes:
      name: what it measures.
      source: `[items + 1, d] float32`, the item as part of a history; row 0 is padding.
      target: `[items + 1, d] float32`, the item as candidate.
    """

    name: str
    source: Array
    target: Array

    def __post_init__(self) -> None:
        if self.source.shape != self.target.shape or self.source.ndim != 2:
            raise DataError(
                f"block {self.name!r}: expected source and target of one shape [items + 1, d], "
                f"got {self.source.shape} and {self.target.shape}"
            )

    @property
    def is_symmetric(self) -> bool:
        """Whether source and target are one array, which then crosses the wire once."""
        return self.source is self.target


def _symmetric(name: str, embeddings: Array) -> Block:
    return Block(name, embeddings, embeddings)


@dataclasses.dataclass(frozen=True)
class ItemTable:
    """What every device holds of the items.

    Attributes:
      blocks: item-to-item blocks.
      attributes: `[items + 1, a] float32`, standardised numbers (log popularity first).
      cloud: `[items + 1, d_c] float32`, the cloud model's item embeddings.
      bias: `[items + 1] float32`, the cloud model's item logits.
      feature_mean: `[F] float32`, what to subtract from a device's interaction features.
      feature_scale: `[F] float32`, what to multiply them by then.
      logit_mean: what to subtract from `z_c` where it is an input of an edge model.
      logit_scale: what to multiply it by then.
      row_dim: d_c of a cloud whose score is no product, which sends rows instead; `cloud` then has
        no columns and `bias` is zero. 0 for any other.
      counts_newest: whether the last attribute is popularity among the newest interactions of
        devices (`ecct_tf.knowledge.recent_popularity`). A device that learns from one of them reads
        it without its own.
      form: in which it crossed the wire (`exchange.item_table`); empty before, and where that is
        the codec of all that crosses.
    """

    blocks: tuple[Block, ...]
    attributes: Array
    cloud: Array
    bias: Array
    feature_mean: Array
    feature_scale: Array
    logit_mean: float = 0.0
    logit_scale: float = 1.0
    row_dim: int = 0
    counts_newest: bool = False
    form: str = ""

    def __post_init__(self) -> None:
        rows = self.cloud.shape[0]
        named = {
            "attributes": self.attributes,
            "bias": self.bias,
            **{f"block {block.name!r}": block.source for block in self.blocks},
        }
        for name, array in named.items():
            if array.shape[0] != rows:
                raise DataError(f"item table: {name} has {array.shape[0]} rows, cloud has {rows}")
        if self.row_dim and self.cloud.shape[1]:
            raise DataError(
                f"item table: expected no cloud embeddings of items where rows of {self.row_dim} "
                f"numbers are sent, got {self.cloud.shape[1]} columns"
            )
        if self.feature_mean.shape != self.feature_scale.shape or self.feature_mean.ndim != 1:
            raise DataError(
                "item table: expected feature_mean and feature_scale of one shape [F], "
                f"got {self.feature_mean.shape} and {self.feature_scale.shape}"
            )
        finite = {
            **named,
            **{f"block {block.name!r} (target)": block.target for block in self.blocks},
            "cloud": self.cloud,
            "feature_mean": self.feature_mean,
            "feature_scale": self.feature_scale,
            "logit_mean and logit_scale": np.array([self.logit_mean, self.logit_scale]),
        }
        for name, array in finite.items():
            if not np.isfinite(array).all():
                raise DataError(f"item table: {name} holds NaN or infinite values")

    @property
    def cloud_dim(self) -> int:
        """d_c, width of `h_c`."""
        return self.row_dim or int(self.cloud.shape[1])

    @property
    def cloud_copies(self) -> tuple[tuple[int, Block | None], ...]:
        """The cloud's embedding as columns side by side: how many, and the block of a copy.

        A factorised cloud may embed an item by the targets of blocks and more: those columns are
        read from the block, and need not be written twice. None stands for columns of its own.
        """
        width, names = int(self.cloud.shape[1]), [block.name for block in self.blocks]
        blocks = [block for block in self.blocks if names.count(block.name) == 1]
        parts: list[tuple[int, Block | None]] = []
        place = 0
        while place < width:
            block = next((each for each in blocks if self._is_copied(each, place)), None)
            if block is not None:
                parts.append((block.target.shape[1], block))
            elif parts and parts[-1][1] is None:
                parts[-1] = (parts[-1][0] + 1, None)
            else:
                parts.append((1, None))
            place += parts[-1][0] if block is not None else 1
        return tuple(parts)

    def _is_copied(self, block: Block, place: int) -> bool:
        columns = slice(place, place + block.target.shape[1])
        found, target = self.cloud[:, columns], block.target
        return 0 < target.shape[1] == found.shape[1] and all(
            np.array_equal(found[rows], target[rows]) for rows in (slice(64), slice(64, None))
        )

    @property
    def num_items(self) -> int:
        """Number of items, the padding row not counted."""
        return int(self.cloud.shape[0]) - 1

    def transmitted(self, codec: CodecName) -> "ItemTable":
        """The table as devices read it after it crossed the wire through `codec`.

        `ecct_tf.knowledge.table_files.transmit` does so in any form.
        """
        coder = build_codec(codec)

        def cross(array: Array) -> Array:
            decoded: Array = np.asarray(
                coder.decode(coder.encode(tf.constant(array)), array.shape[1])
            )
            return decoded

        return dataclasses.replace(
            self,
            blocks=tuple(
                _symmetric(block.name, cross(block.source))
                if block.is_symmetric
                else Block(block.name, cross(block.source), cross(block.target))
                for block in self.blocks
            ),
            attributes=cross(self.attributes),
            cloud=cross(self.cloud),
            bias=self.bias.astype(np.float16).astype(np.float32),
        )

    def encoded_bytes(self, codec: CodecName) -> int:
        """Bytes of the table as published once to each device."""
        coder = build_codec(codec)
        arrays = [self.attributes, self.cloud]
        for block in self.blocks:
            arrays.append(block.source)
            if not block.is_symmetric:
                arrays.append(block.target)
        rows = self.num_items
        feature_bytes = 4 * (2 * self.feature_mean.size + 2)
        bias_bytes = rows * 2
        return (
            feature_bytes
            + bias_bytes
            + sum(coder.encoded_bytes(rows, array.shape[1]) for array in arrays)
        )
