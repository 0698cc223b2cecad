"""The item table and its file form: encoded by a codec, and read back as devices read it."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import CodecName
from ecct_tf.errors import CodecError
from ecct_tf.knowledge.codecs import build_codec
from ecct_tf.knowledge.item_table import Block, ItemTable
from ecct_tf.wire import ItemTableFile, Section

__all__ = ["item_table_file", "read_item_table_file"]

Array = npt.NDArray[np.float32]


def item_table_file(table: ItemTable, codec: CodecName) -> ItemTableFile:
    """`table` as it crosses the wire; equal tables give equal bytes."""
    coder = build_codec(codec)
    sections = []

    def add(kind: str, name: str, array: Array) -> None:
        encoded = tuple(np.asarray(part) for part in coder.encode(tf.constant(array)))
        sections.append((Section(kind, name, array.shape[1]), encoded))

    for block in table.blocks:
        if block.is_symmetric:
            add("both", block.name, block.source)
        else:
            add("source", block.name, block.source)
            add("target", block.name, block.target)
    add("attributes", "", table.attributes)
    add("cloud", "", table.cloud)
    return ItemTableFile.build(
        codec=codec,
        sections=tuple(sections),
        bias=table.bias.astype(np.float16),
        feature_mean=table.feature_mean,
        feature_scale=table.feature_scale,
        logit_mean=table.logit_mean,
        logit_scale=table.logit_scale,
    )


def read_item_table_file(file: ItemTableFile) -> ItemTable:
    """The table that `item_table_file` was given, as `ItemTable.transmitted` makes it.

    Raises:
      CodecError: when its sections do not make an item table.
    """
    blocks: list[Block] = []
    source: Array | None = None
    single: dict[str, Array] = {}
    for index, section in enumerate(file.sections):
        values = file.decoded(index)
        if section.kind == "source":
            source = values
        elif section.kind == "target" and source is not None:
            blocks.append(Block(section.name, source, values))
            source = None
        elif section.kind == "both":
            blocks.append(Block(section.name, values, values))
        else:
            single[section.kind] = values
    if source is not None or set(single) != {"attributes", "cloud"}:
        raise CodecError(
            "item table: expected pairs of source and target, attributes and a cloud embedding, "
            f"got the sections {[(each.kind, each.name) for each in file.sections]}"
        )
    return ItemTable(
        blocks=tuple(blocks),
        attributes=single["attributes"],
        cloud=single["cloud"],
        bias=file.bias,
        feature_mean=file.feature_mean,
        feature_scale=file.feature_scale,
        logit_mean=file.logit_mean,
        logit_scale=file.logit_scale,
    )
