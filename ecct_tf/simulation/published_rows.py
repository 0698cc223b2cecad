"""The rows that the devices of a run hold, in the files in which a cloud publishes them."""

from pathlib import Path

import numpy as np

from ecct_tf.config import RunConfig
from ecct_tf.data.held_items import HeldItems
from ecct_tf.files import write_bytes
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_files import item_table_file
from ecct_tf.wire import digest_of
from ecct_tf.wire.item_rows import ItemRows, ItemRowsFile, shared_rows
from mobile_export.contract.held import HeldRoom

__all__ = ["ROWS_OF_USERS", "SHARED_ROWS", "published_rows", "room_of", "write_rows"]

SHARED_ROWS, ROWS_OF_USERS = "item-rows-shared.ecir", "item-rows-users.ecir"


def room_of(config: RunConfig) -> HeldRoom:
    """The room for rows that files of a run have whose devices hold candidates."""
    return HeldRoom.of(config.exchange.candidates, history_length=config.features.history_length)


def published_rows(config: RunConfig, table: ItemTable) -> ItemRows:
    """All rows of a table as they cross, the padding row included.

    Args:
      config: of the run.
      table: as devices receive it.
    """
    file = item_table_file(table, table.form or config.exchange.codec)
    items = np.arange(table.num_items + 1)
    return ItemRows.cut(file, items, table_sha256=digest_of(file.to_bytes()))


def write_rows(config: RunConfig, table: ItemTable, held: HeldItems, out: Path) -> None:
    """Writes what devices of exported files fetch: shared rows, and those of each user.

    Args:
      config: of the run.
      table: as devices receive it.
      held: the items whose rows each device holds.
      out: the folder of the exported files.
    """
    file = item_table_file(table, table.form or config.exchange.codec)
    digest = digest_of(file.to_bytes())
    shared = shared_rows(file, held.shared, table_sha256=digest)
    users = np.arange(len(held.own), dtype=np.int32)
    own = ItemRowsFile.build(file, table_sha256=digest, users=users, own=held.own)
    write_bytes(out / SHARED_ROWS, shared.to_bytes())
    write_bytes(out / ROWS_OF_USERS, own.to_bytes())
