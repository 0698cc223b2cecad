"""The rows of items that a device holds, where its file does not hold the whole item table.

They are those that the cloud chose for its user, which a newer choice replaces, and of those items
of a request that the user touched the newest ones, as many as there is room for. A device asks for
no row, so it never names an item.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError, DeviceError
from ecct_tf.wire.item_rows import ItemRows
from mobile_export.contract.held import HeldRoom
from mobile_export.device.given import kept

__all__ = ["DeviceRows", "PlacedRows", "begin_rows", "placed", "usable_part"]

Ids = npt.NDArray[np.int32]

_ID_BYTES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class DeviceRows:
    """Rows of a device. A value: whatever changes them makes new ones.

    Attributes:
      table_sha256: of the item table that they are of, in hexadecimal.
      items: `[n] int32`, whose they are, ascending; 0, the padding row, first.
      rows: `[n, W] uint8`, as published.
      chosen: `[n] bool`, whether the cloud chose it; the others were touched.
    """

    table_sha256: str
    items: Ids
    rows: npt.NDArray[np.uint8]
    chosen: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        try:
            known = ItemRows(self.table_sha256, self.items, self.rows)
        except CodecError as error:
            raise DeviceError(f"rows of a device: {error}") from error
        if not len(known.items) or known.items[0] or len(self.chosen) != len(known.items):
            raise DeviceError(
                "rows of a device: expected the padding row first, and whether each was chosen, "
                f"got the items {known.items[:3].tolist()}… and {len(self.chosen)} such values; "
                "give the shared rows of a publication too"
            )
        object.__setattr__(self, "items", kept(known.items, np.int32))
        object.__setattr__(self, "rows", kept(known.rows, np.uint8))
        object.__setattr__(self, "chosen", kept(self.chosen, np.bool_))

    @property
    def known(self) -> ItemRows:
        """All of them, touched ones too."""
        return ItemRows(self.table_sha256, self.items, self.rows)

    @property
    def pool(self) -> Ids:
        """`[h] int32`: the items that the cloud chose, from which negatives are drawn."""
        found: Ids = self.items[self.chosen & (self.items > 0)]
        return found

    @property
    def num_bytes(self) -> int:
        """Of the rows with their items' numbers."""
        return len(self.items) * (_ID_BYTES + self.rows.shape[1])

    def with_chosen(self, rows: ItemRows, *, history: Ids, room: HeldRoom) -> "DeviceRows":
        """With what the cloud chose now instead of what it chose before.

        What was chosen before and touched since counts as touched. Rows of another item table are
        dropped: their numbers mean nothing to the new one.
        """
        touched = self.known.of(history) if self.table_sha256 == rows.table_sha256 else None
        return _with_touched(begin_rows(rows, room=room), touched, history=history, room=room)

    def with_touched(self, rows: ItemRows, *, history: Ids, room: HeldRoom) -> "DeviceRows":
        """With those of `rows` whose items are in `history`, the newest as far as there is room.

        Raises:
          DeviceError: they are of another item table.
        """
        _check_table(self.table_sha256, rows)
        own = dataclasses.replace(
            self,
            items=self.items[self.chosen],
            rows=self.rows[self.chosen],
            chosen=self.chosen[self.chosen],
        )
        return _with_touched(own, self.known.joined(rows).of(history), history=history, room=room)


def begin_rows(rows: ItemRows, *, room: HeldRoom) -> DeviceRows:
    """The rows of a device that has only what the cloud chose.

    Raises:
      DeviceError: they are more than the file has room for, or lack the padding row.
    """
    if len(rows.items) > 1 + room.chosen:
        raise DeviceError(
            f"rows of a device: the file has room for {room.chosen} that the cloud chose, got "
            f"{len(rows.items) - 1}; export it again with the settings of the publication"
        )
    return DeviceRows(rows.table_sha256, rows.items, rows.rows, np.ones(len(rows.items), np.bool_))


def _with_touched(
    chosen: DeviceRows, touched: ItemRows | None, *, history: Ids, room: HeldRoom
) -> DeviceRows:
    if touched is None:
        return chosen
    # The newest first, each once.
    backwards = history[::-1]
    newest = backwards[np.sort(np.unique(backwards, return_index=True)[1])]
    newest = newest[np.isin(newest, touched.items) & ~np.isin(newest, chosen.items)]
    both = chosen.known.joined(touched.of(newest[: room.touched]))
    return DeviceRows(both.table_sha256, both.items, both.rows, np.isin(both.items, chosen.items))


def _check_table(table_sha256: str, rows: ItemRows) -> None:
    if rows.table_sha256 != table_sha256:
        raise DeviceError(
            f"rows of items: expected those of item table {table_sha256[:16]}…, got those of "
            f"{rows.table_sha256[:16]}…; fetch the file that was exported with the new table, and "
            "let it adopt the device"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedRows:
    """Rows as a file takes them.

    Attributes:
      items: `[n] int32`, ascending.
      array: `[R, 4 + W] int8`, the input `item_rows`; items stand in it in their order.
    """

    items: Ids
    array: npt.NDArray[np.int8]

    def places(self, ids: npt.ArrayLike) -> Ids:
        """Where in the input `ids` stand, `[...] int32`; 0, the padding row, for unknown ones."""
        asked = np.asarray(ids, np.int32)
        found = np.minimum(np.searchsorted(self.items, asked), len(self.items) - 1)
        places: Ids = np.where(self.items[found] == asked, found, 0).astype(np.int32)
        return places

    def given(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Inputs of a signature with places instead of items, and with the rows."""
        named = ("history", "candidates", "queries")
        placed = {name: self.places(inputs[name]) for name in named if name in inputs}
        return {**inputs, **placed, "item_rows": self.array}


def placed(rows: ItemRows, *, room: HeldRoom) -> PlacedRows:
    """`rows` as a file with `room` takes them.

    Raises:
      DeviceError: there are more.
    """
    count = len(rows.items)
    if count > room.rows:
        raise DeviceError(f"rows of items: expected at most {room.rows}, got {count}")
    array = np.zeros((room.rows, _ID_BYTES + rows.row_bytes), np.int8)
    array[:count, :_ID_BYTES] = rows.items.astype("<i4")[:, None].view(np.int8)
    array[:count, _ID_BYTES:] = rows.rows.view(np.int8)
    return PlacedRows(rows.items, array)


def usable_part(history: Ids, *, num_older: int, rows: DeviceRows) -> npt.NDArray[np.bool_]:
    """`[n] bool`: the interactions that a device can use.

    A recent one of an item without a row is neither history nor a sample. Of the older ones the
    cloud sent the rows of the newest, and no others are looked at.
    """
    known: npt.NDArray[np.bool_] = np.isin(history, rows.items)
    known[:num_older] = True
    return known
