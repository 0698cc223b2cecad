"""The item table and its file form: encoded, and read back as devices read it.

A table is written by one of the codecs of all that crosses, or in a form that is for tables alone
(`ecct_tf.knowledge.table_codecs`), in which columns of the cloud embedding that are a block's
target are not written again.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import CODECS, CodecName
from ecct_tf.config.table_names import table_form
from ecct_tf.errors import CodecError
from ecct_tf.knowledge.codecs import build_codec
from ecct_tf.knowledge.item_table import Block, ItemTable
from ecct_tf.knowledge.table_codecs import EncodedRows, build_table_codec
from ecct_tf.wire import ItemTableFile, Section
from ecct_tf.wire.compressed import compressed

__all__ = [
    "Transmitted",
    "item_table_file",
    "read_item_table_file",
    "row_bytes",
    "table_bytes",
    "transmit",
]

Array = npt.NDArray[np.float32]


class Transmitted(NamedTuple):
    """A table after it crossed the wire.

    Attributes:
      table: as devices read it.
      num_bytes: that each device fetches once: of the file as gzip sends it, or of all rows where
        a device gets single ones.
    """

    table: ItemTable
    num_bytes: int


def transmit(
    table: ItemTable, form: str | None, codec: CodecName, *, whole: bool = True
) -> Transmitted:
    """What devices make of `table`, and what it costs them.

    Args:
      table: as the cloud has it.
      form: of the table, as configured.
      codec: of all that crosses.
      whole: whether devices get all of its rows.

    Raises:
      ConfigError: nothing has the name of the form, or it does not work.
    """
    chosen = table_form(form, codec=codec, num_items=table.num_items, whole=whole)
    told = "" if form != chosen and codec == chosen else chosen
    if not whole and chosen in CODECS:
        crossed = dataclasses.replace(table.transmitted(chosen), form=told)
        return Transmitted(crossed, table.encoded_bytes(chosen))
    file = item_table_file(table, chosen)
    read = read_item_table_file(file)
    crossed = dataclasses.replace(
        read, row_dim=table.row_dim, counts_newest=table.counts_newest, form=told
    )
    return Transmitted(crossed, len(compressed(file.to_bytes())) if whole else _payload_bytes(file))


def table_bytes(table: ItemTable, codec: CodecName) -> int:
    """Bytes of all rows of a table that crossed, uncompressed; `codec` where it has no form.

    Raises:
      ConfigError: nothing has the name of its form.
    """
    chosen = table.form or codec
    if chosen in CODECS:
        return table.encoded_bytes(chosen)
    return _payload_bytes(item_table_file(table, chosen))


def row_bytes(table: ItemTable, codec: CodecName) -> int:
    """Bytes of one row of a table that crossed, without what all rows need.

    Raises:
      ConfigError: nothing has the name of its form.
    """
    chosen = table.form or codec
    if chosen not in CODECS:
        return int(item_table_file(table, chosen).rows.dtype.itemsize)
    moments = 4 * (2 * table.feature_mean.size + 2)
    return (table.encoded_bytes(chosen) - moments) // table.num_items


def item_table_file(table: ItemTable, form: str) -> ItemTableFile:
    """`table` as it crosses the wire; equal tables give equal bytes.

    Args:
      table: as the cloud or as devices have it.
      form: one of `CODECS`, or the name of another form.

    Raises:
      ConfigError: nothing has the name, or it does not work.
    """
    write = _plain_section if form in CODECS else _named_section
    sections = []
    for block in table.blocks:
        if block.is_symmetric:
            sections.append(write(form, "both", block.name, block.source))
        else:
            sections.append(write(form, "source", block.name, block.source))
            sections.append(write(form, "target", block.name, block.target))
    sections.append(write(form, "attributes", "", table.attributes))
    if form in CODECS or not table.cloud.shape[1]:
        sections.append(write(form, "cloud", "", table.cloud))
    else:
        place, nothing = 0, np.zeros((len(table.bias), 0), np.uint8)
        for width, block_or_none in table.cloud_copies:
            if block_or_none is None:
                columns = table.cloud[:, place : place + width]
                sections.append(write(form, "cloud", "", columns))
            else:
                section = Section("copy", block_or_none.name, width, row_bytes=0)
                sections.append((section, (nothing,)))
            place += width
    return ItemTableFile.build(
        codec=form,
        sections=tuple(sections),
        bias=table.bias.astype(np.float16),
        feature_mean=table.feature_mean,
        feature_scale=table.feature_scale,
        logit_mean=table.logit_mean,
        logit_scale=table.logit_scale,
    )


_Written = tuple[Section, tuple[npt.NDArray[np.generic], ...]]


def _plain_section(codec: str, kind: str, name: str, values: Array) -> _Written:
    encoded = build_codec(codec).encode(tf.constant(values))
    return Section(kind, name, values.shape[1]), tuple(np.asarray(part) for part in encoded)


def _named_section(form: str, kind: str, name: str, values: Array) -> _Written:
    width = values.shape[1]
    encoded = EncodedRows(np.zeros((len(values), 0), np.uint8))
    if width:
        codec = build_table_codec(form).of(kind)
        encoded = codec.encode(np.ascontiguousarray(values))
    section = Section(kind, name, width, encoded.rows.shape[1], encoded.shared)
    return section, (encoded.rows,)


def _payload_bytes(file: ItemTableFile) -> int:
    """Bytes of a file in a named form, without padding row, names and digest, as for `CODECS`."""
    shared = sum(len(section.shared) for section in file.sections)
    moments = 4 * (2 * len(file.feature_mean) + 2)
    return (len(file.rows) - 1) * file.rows.dtype.itemsize + shared + moments


def read_item_table_file(file: ItemTableFile) -> ItemTable:
    """The table that `item_table_file` was given, as `transmit` makes it.

    Raises:
      CodecError: when its sections do not make an item table.
      ConfigError: nothing here has the name of its form.
    """
    blocks: list[Block] = []
    source: Array | None = None
    attributes: Array | None = None
    cloud: list[Array] = []
    sound = True
    for index, section in enumerate(file.sections):
        if section.kind == "copy":
            cloud.append(_copied(section, blocks))
            continue
        values = _decoded(file, index)
        if section.kind == "source":
            source = values
        elif section.kind == "target" and source is not None:
            blocks.append(Block(section.name, source, values))
            source = None
        elif section.kind == "both":
            blocks.append(Block(section.name, values, values))
        elif section.kind == "attributes":
            attributes = values
        elif section.kind == "cloud":
            cloud.append(values)
        else:
            sound = False
    if not sound or source is not None or attributes is None or not cloud:
        raise CodecError(
            "item table: expected pairs of source and target, attributes and a cloud embedding, "
            f"got the sections {[(each.kind, each.name) for each in file.sections]}"
        )
    return ItemTable(
        blocks=tuple(blocks),
        attributes=attributes,
        cloud=cloud[0] if len(cloud) == 1 else np.concatenate(cloud, axis=1),
        bias=file.bias,
        feature_mean=file.feature_mean,
        feature_scale=file.feature_scale,
        logit_mean=file.logit_mean,
        logit_scale=file.logit_scale,
        form=file.codec,
    )


def _decoded(file: ItemTableFile, index: int) -> Array:
    if not file.named:
        return file.decoded(index)
    section = file.sections[index]
    if not section.width:
        return np.zeros((len(file.rows), 0), np.float32)
    encoded = EncodedRows(np.ascontiguousarray(file.encoded(index)), section.shared)
    return build_table_codec(file.codec).of(section.kind).decode(encoded, section.width)


def _copied(section: Section, blocks: list[Block]) -> Array:
    found = next((block.target for block in blocks if block.name == section.name), None)
    if found is None or found.shape[1] != section.width:
        raise CodecError(
            f"item table: expected a block {section.name!r} of {section.width} values before the "
            f"cloud embedding that repeats it, got {[block.name for block in blocks]}"
        )
    return found
