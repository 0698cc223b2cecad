"""Rows of some items as a file: what devices fetch that do not hold the whole item table.

One file has the rows that all devices share; others have, for users whose numbers are neighbours,
the rows of each beside those. A row is the one that the file of the item table has. All numbers
are little-endian:

| offset | type | field |
|---|---|---|
| 0 | 4 bytes | `ECIR` |
| 4 | uint16 | format, 1 |
| 6 | uint16 | 0 |
| 8 | 32 bytes | SHA-256 of the item table that the rows are of: its file's last 32 bytes |
| 40 | uint32 | bytes of one row |
| 44 | uint32 | n, number of rows |
| 48 | uint32 | u, number of users; 0 in the file of what all devices share |
| 52 | uint32 | k, largest number of rows of a user |
| 56 | n int32 | items of the rows, ascending |
| then | n rows | one after the other |
| then | u int32 | users, ascending |
| then | u times k int32 | items of each user, ascending, then 0 where there are fewer |
| end - 32 | 32 bytes | SHA-256 of all before it |

Item 0 is the padding row, which the shared file has. `ItemRowsFile.only` cuts out what one device
fetches: a row that several users have is in the file once.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError
from ecct_tf.wire.item_table import ItemTableFile
from ecct_tf.wire.sealed import DIGEST_BYTES, seal, unseal
from ecct_tf.wire.whole_numbers import LARGEST_UINT32, check_whole

__all__ = ["ItemRows", "ItemRowsFile", "shared_rows"]

Ids = npt.NDArray[np.int32]
Rows = npt.NDArray[np.uint8]

_MAGIC, _FORMAT = b"ECIR", 1
_HEAD = struct.Struct(f"<4sHxx{DIGEST_BYTES}sIIII")
_WHAT = "item rows"


@dataclasses.dataclass(frozen=True, eq=False)
class ItemRows:
    """Rows of some items of one item table.

    Attributes:
      table_sha256: of that table's file, in hexadecimal.
      items: `[n] int32`, ascending, each once.
      rows: `[n, W] uint8`, as the file of the table has them.

    Example:
      >>> rows = ItemRows("ab" * 32, np.array([2, 5]), np.array([[1], [7]], np.uint8))
      >>> rows.of([5]).rows.tolist(), rows.of([4]).items.tolist()
      ([[7]], [])
    """

    table_sha256: str
    items: Ids
    rows: Rows

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", np.ascontiguousarray(self.items, np.int32))
        object.__setattr__(self, "rows", np.ascontiguousarray(self.rows, np.uint8))
        if (
            self.items.ndim != 1
            or self.rows.ndim != 2
            or len(self.rows) != len(self.items)
            or (np.diff(self.items) <= 0).any()
            or (self.items < 0).any()
        ):
            raise CodecError(
                f"{_WHAT}: expected items in ascending order, each with its row, got "
                f"{self.items.shape} items and rows {self.rows.shape}; fetch them again"
            )

    @property
    def row_bytes(self) -> int:
        """W, bytes of one row."""
        return int(self.rows.shape[1])

    def of(self, items: npt.ArrayLike) -> ItemRows:
        """The rows of those of `items` that there are."""
        chosen = np.isin(self.items, items)
        return dataclasses.replace(self, items=self.items[chosen], rows=self.rows[chosen])

    def joined(self, other: ItemRows) -> ItemRows:
        """These rows and those of `other`, each item once.

        Raises:
          CodecError: they are of different item tables.
        """
        if (other.table_sha256, other.row_bytes) != (self.table_sha256, self.row_bytes):
            raise CodecError(
                f"{_WHAT}: expected rows of {self.row_bytes} B of item table "
                f"{self.table_sha256[:16]}…, got {other.row_bytes} B of "
                f"{other.table_sha256[:16]}…; fetch those of one publication"
            )
        new = ~np.isin(other.items, self.items)
        items = np.concatenate([self.items, other.items[new]])
        order = np.argsort(items, kind="stable")
        rows = np.concatenate([self.rows, other.rows[new]])
        return dataclasses.replace(self, items=items[order], rows=rows[order])

    @classmethod
    def cut(cls, table: ItemTableFile, items: npt.ArrayLike, *, table_sha256: str) -> ItemRows:
        """Rows of `items` of a table.

        Args:
          table: the whole.
          items: in 0..number of items; each is taken once.
          table_sha256: that the file of the table ends with, in hexadecimal.
        """
        chosen = np.unique(np.asarray(items, np.int32))
        size = table.rows.dtype.itemsize
        rows = np.ascontiguousarray(table.rows[chosen]).view(np.uint8).reshape(len(chosen), size)
        return cls(table_sha256, chosen, rows)


@dataclasses.dataclass(frozen=True, eq=False)
class ItemRowsFile:
    """The content of a file.

    Attributes:
      rows: of all items that it has.
      users: `[u] int32`, ascending; none where all devices share the rows.
      own: `[u, k] int32`, items of each user, ascending, then 0 where there are fewer.
    """

    rows: ItemRows
    users: Ids = dataclasses.field(default_factory=lambda: np.zeros(0, np.int32))
    own: Ids = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.int32))

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", np.ascontiguousarray(self.users, np.int32))
        object.__setattr__(self, "own", np.ascontiguousarray(self.own, np.int32))
        sizes = {"number of rows": len(self.rows.items), "number of users": len(self.users)}
        for name, size in sizes.items():
            check_whole(size, name, what=_WHAT, most=LARGEST_UINT32)
        listed = self.own[self.own > 0]
        if (
            self.own.ndim != 2
            or len(self.own) != len(self.users)
            or (np.diff(self.users) <= 0).any()
            or not np.isin(listed, self.rows.items).all()
        ):
            raise CodecError(
                f"{_WHAT}: expected users in ascending order, each with items whose rows the file "
                f"has, got {len(self.users)} users and items {self.own.shape}; publish again"
            )

    @classmethod
    def build(
        cls, table: ItemTableFile, *, table_sha256: str, users: Ids, own: Ids
    ) -> ItemRowsFile:
        """A file of users' rows; arguments as the attributes and as for `ItemRows.cut`."""
        rows = ItemRows.cut(table, own[own > 0], table_sha256=table_sha256)
        return cls(rows, users, own)

    def of(self, user: int) -> ItemRows:
        """The rows of a user.

        Raises:
          CodecError: the file has none for the user.
        """
        own = self.own[self._place(user)]
        return self.rows.of(own[own > 0])

    def only(self, user: int) -> ItemRowsFile:
        """A file with the rows of `user` alone, for one device; raises as `of`."""
        own = self.own[self._place(user)]
        own = own[own > 0]
        return ItemRowsFile(self.rows.of(own), np.array([user], np.int32), own[None])

    def _place(self, user: int) -> int:
        check_whole(user, "user", what=_WHAT)
        place = int(np.searchsorted(self.users, user))
        if place == len(self.users) or self.users[place] != user:
            raise CodecError(
                f"{_WHAT}: there are none for user {user} among {len(self.users)} users; a new "
                "user takes the shared ones alone"
            )
        return place

    def to_bytes(self) -> bytes:
        """The file; equal content gives equal bytes."""
        head = _HEAD.pack(
            _MAGIC,
            _FORMAT,
            bytes.fromhex(self.rows.table_sha256),
            self.rows.row_bytes,
            len(self.rows.items),
            len(self.users),
            self.own.shape[1],
        )
        ids = (self.users, self.own)
        tail = b"".join(part.astype("<i4").tobytes() for part in ids)
        items = self.rows.items.astype("<i4").tobytes()
        return seal(b"".join([head, items, self.rows.rows.tobytes(), tail]))

    @classmethod
    def from_bytes(cls, content: bytes) -> ItemRowsFile:
        """Reads a file.

        Raises:
          CodecError: it is damaged, of another kind, or not laid out as it says.
        """
        body = unseal(content, magic=_MAGIC, format_number=_FORMAT, what=_WHAT)
        try:
            _, _, table, size, count, users, most = _HEAD.unpack_from(body)
            if any(body[6:8]):
                raise ValueError("bytes 6 and 7 are in use, by a later version")
            if len(body) != _HEAD.size + count * (4 + size) + 4 * users * (1 + most):
                raise ValueError(f"{count} rows of {size} B and {users} users in {len(body)} B")
            place = _HEAD.size
            items = np.frombuffer(body, "<i4", count=count, offset=place)
            place += items.nbytes
            rows = np.frombuffer(body, np.uint8, count=count * size, offset=place)
            place += rows.nbytes
            numbers = np.frombuffer(body, "<i4", count=users * (1 + most), offset=place)
        except (struct.error, ValueError) as error:
            raise CodecError(
                f"{_WHAT}: expected the layout of format {_FORMAT}: {error}; write it with "
                "ItemRowsFile"
            ) from error
        return cls(
            ItemRows(table.hex(), items, rows.reshape(count, size)),
            numbers[:users],
            numbers[users:].reshape(users, most),
        )

    @classmethod
    def of_users(cls, files: Sequence[ItemRowsFile], user: int) -> ItemRows:
        """The rows of a user in whichever of several files has them; raises as `of`."""
        found = next((file for file in files if user in file.users), files[0])
        return found.of(user)


def shared_rows(table: ItemTableFile, items: npt.ArrayLike, *, table_sha256: str) -> ItemRowsFile:
    """The file of what all devices share: rows of `items`, and the padding row."""
    listed = np.concatenate([[0], np.asarray(items, np.int32)])
    return ItemRowsFile(ItemRows.cut(table, listed, table_sha256=table_sha256))
