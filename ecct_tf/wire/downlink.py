"""Downlinks as a file: what the cloud tells each device, or each segment of users.

A header of 64 bytes, the keys in ascending order, one record a key, and the SHA-256 of all
before it. A file with one key is a file like any other: `DownlinkFile.only` cuts it out. All
numbers are little-endian:

| offset | type | field |
|---|---|---|
| 0 | 4 bytes | `ECDN` |
| 4 | uint16 | format, 1 |
| 6 | uint8 | codec: 0 float32, 1 float16, 2 int8, from 128 a custom one (`codec_codes`) |
| 7 | uint8 | keys: 0 users, 1 segments |
| 8 | int32 | cloud version |
| 12 | int32 | round, from which the queries were drawn |
| 16 | uint32 | d_c, width of the user embedding |
| 20 | uint32 | Q, queries |
| 24 | uint32 | n, number of keys |
| 28 | uint32 | 0 |
| 32 | 32 bytes | SHA-256 of the item table that the embeddings fit: its file's last 32 bytes |
| 64 | n int32 | keys, ascending |
| 64 + 4 n | n records | one for each key |
| end - 32 | 32 bytes | SHA-256 of all before it |

A record is the user embedding as its codec writes it (d_c float32, float16 or int8, or the bytes of
a custom codec's row), for int8 its scale (float16), then the queries (Q int32). Its length is
`ExchangeSpec.downlink_bytes`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CodecName, is_own_codec
from ecct_tf.errors import CodecError
from ecct_tf.wire.codec_codes import codec_code, codec_text, is_unknown, named_codec
from ecct_tf.wire.downlink_form import MAX_VALUES, DownlinkForm
from ecct_tf.wire.row_codec import decoded_rows
from ecct_tf.wire.sealed import DIGEST_BYTES, seal, unseal
from ecct_tf.wire.whole_numbers import LARGEST_UINT32, check_array, check_whole

__all__ = ["DownlinkFile", "DownlinkForm", "WireDownlink", "asked_in"]

Ids = npt.NDArray[np.int32]

_MAGIC, _FORMAT = b"ECDN", 1
_WAY_OUT = "fetch the file again"
_LARGEST_FLOAT16 = 65_504
_KEYS = ("users", "segments")
_HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("format", "<u2"),
        ("codec", "u1"),
        ("keys", "u1"),
        ("cloud_version", "<i4"),
        ("round_number", "<i4"),
        ("cloud_dim", "<u4"),
        ("queries", "<u4"),
        ("count", "<u4"),
        ("reserved", "<u4"),
        ("table", f"V{DIGEST_BYTES}"),
    ]
)


@dataclasses.dataclass(frozen=True)
class WireDownlink:
    """What one device reads.

    Attributes:
      cloud_version: that made it.
      round_number: to which its answer belongs.
      table_sha256: of the item table that it fits, in hexadecimal.
      user_embedding: `[d_c] float32`, decoded.
      queries: `[Q] int32`.
    """

    cloud_version: int
    round_number: int
    table_sha256: str
    user_embedding: npt.NDArray[np.float32]
    queries: Ids


@dataclasses.dataclass(frozen=True, eq=False)
class DownlinkFile:
    """The content of a file.

    Attributes:
      keys_are: `users`, or `segments`.
      cloud_version: that made it.
      round_number: from which the queries were drawn.
      table_sha256: of the item table that the embeddings fit, in hexadecimal.
      form: of the records.
      keys: `[n] int32`, ascending.
      records: `[n]` of `form.dtype`.
    """

    keys_are: Literal["users", "segments"]
    cloud_version: int
    round_number: int
    table_sha256: str
    form: DownlinkForm
    keys: Ids
    records: npt.NDArray[np.void]

    def __post_init__(self) -> None:
        for name in ("cloud_version", "round_number"):
            check_whole(getattr(self, name), name, what="downlinks", way_out=_WAY_OUT)
        check_whole(len(self.keys), "number of keys", what="downlinks", most=LARGEST_UINT32)
        check_array(self.keys, "key", what="downlinks", way_out=_WAY_OUT)
        check_array(self.records["queries"], "query", what="downlinks", way_out=_WAY_OUT)
        if len(self.table_sha256) != 2 * DIGEST_BYTES or not _is_hexadecimal(self.table_sha256):
            raise CodecError(
                f"downlinks: expected {2 * DIGEST_BYTES} hexadecimal digits as table_sha256, got "
                f"{self.table_sha256!r}"
            )
        if len(self.keys) != len(self.records) or (np.diff(self.keys) <= 0).any():
            raise CodecError(
                f"downlinks: expected one record for each of {len(self.keys)} keys in ascending "
                f"order, got {len(self.records)} records; {_WAY_OUT}"
            )
        for name in ("embedding", "scale"):
            if name in (self.records.dtype.names or ()):
                self._check_finite(name)

    def _check_finite(self, name: str) -> None:
        values = self.records[name]
        if values.dtype.kind != "f":
            return
        wrong = ~np.isfinite(values)
        expected = "finite numbers"
        if name == "scale" and not wrong.any():
            wrong, expected = values < 0, f"a number in 0..{_LARGEST_FLOAT16}"
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise CodecError(
                f"downlinks: {name} of key {self.keys[row]}: expected {expected}, got "
                f"{values[row, column]}; the cloud that made them has diverged, publish a valid "
                "version"
            )

    @classmethod
    def build(
        cls,
        *,
        keys_are: Literal["users", "segments"],
        cloud_version: int,
        round_number: int,
        table_sha256: str,
        codec: CodecName,
        keys: Ids,
        embeddings: tuple[npt.NDArray[Any], ...],
        queries: Ids,
        cloud_dim: int | None = None,
    ) -> "DownlinkFile":
        """A file from what a codec encoded.

        Args:
          keys_are: what the keys are.
          cloud_version: that made it.
          round_number: from which the queries were drawn.
          table_sha256: of the item table, in hexadecimal.
          codec: that encoded the embeddings.
          keys: `[n] int32`, ascending.
          embeddings: `[n, d_c]`, then, for int8, scales `[n, 1] float16`.
          queries: `[n, Q] int32`.
          cloud_dim: d_c, where a custom codec encoded.

        Raises:
          CodecError: when a number does not fit its field.
        """
        # Before they are narrowed, which would wrap them.
        check_array(keys, "key", what="downlinks")
        check_array(queries, "query", what="downlinks")
        width = embeddings[0].shape[1] if cloud_dim is None else cloud_dim
        form = DownlinkForm(width, queries.shape[1], codec)
        records = np.zeros(len(keys), form.dtype)
        records["embedding"] = embeddings[0]
        if codec == "int8":
            records["scale"] = embeddings[1]
        records["queries"] = queries
        return cls(
            keys_are, cloud_version, round_number, table_sha256, form, keys.astype("<i4"), records
        )

    def to_bytes(self) -> bytes:
        """The file; equal content gives equal bytes."""
        header = np.zeros((), _HEADER)
        header["magic"], header["format"] = _MAGIC, _FORMAT
        header["codec"] = codec_code(self.form.codec)
        header["keys"] = _KEYS.index(self.keys_are)
        header["cloud_version"] = self.cloud_version
        header["round_number"] = self.round_number
        header["cloud_dim"] = self.form.cloud_dim
        header["queries"] = self.form.queries
        header["count"] = len(self.keys)
        header["table"] = np.void(bytes.fromhex(self.table_sha256))
        return seal(header.tobytes() + self.keys.astype("<i4").tobytes() + self.records.tobytes())

    @classmethod
    def from_bytes(cls, content: bytes, *, codec: CodecName | None = None) -> "DownlinkFile":
        """Reads a file, or a view of one, without a copy.

        Args:
          content: its bytes.
          codec: that the reader's own configuration names; without one, the embeddings of a custom
            codec are passed on unread.

        Raises:
          CodecError: when it is damaged or of another kind.
        """
        body = unseal(content, magic=_MAGIC, format_number=_FORMAT, what="downlinks")
        if len(body) < _HEADER.itemsize:
            raise CodecError(
                f"downlinks: expected a header of {_HEADER.itemsize} bytes, got {len(body)}; "
                f"{_WAY_OUT}"
            )
        header = np.frombuffer(body, _HEADER, count=1)[0]
        if header["keys"] >= len(_KEYS):
            raise CodecError(
                f"downlinks: expected a kind of keys in 0..{len(_KEYS) - 1}, got {header['keys']}; "
                "a later version of ECCT-TF wrote the file"
            )
        if header["reserved"]:
            raise CodecError(
                "downlinks: expected zeros where nothing is told yet, got "
                f"{header['reserved']}; a later version of ECCT-TF wrote the file"
            )
        named = named_codec(int(header["codec"]), expected=codec, what="downlinks")
        count, start = int(header["count"]), _HEADER.itemsize
        queries, unread = int(header["queries"]), 0
        if is_unknown(named):
            # Without keys there is nothing to read.
            unread = (len(body) - start) // count - 4 - 4 * queries if count else 1
            check_whole(unread, "bytes of an embedding", what="downlinks", least=1, most=MAX_VALUES)
        form = DownlinkForm(int(header["cloud_dim"]), queries, named, unread_bytes=unread)
        expected = start + count * (4 + form.record_bytes)
        if len(body) != expected:
            raise CodecError(
                f"downlinks: expected {expected} bytes before the digest for {count} keys, got "
                f"{len(body)}; {_WAY_OUT}"
            )
        return cls(
            keys_are="segments" if header["keys"] else "users",
            cloud_version=int(header["cloud_version"]),
            round_number=int(header["round_number"]),
            table_sha256=header["table"].tobytes().hex(),
            form=form,
            keys=np.frombuffer(body, "<i4", count=count, offset=start),
            records=np.frombuffer(body, form.dtype, offset=start + 4 * count),
        )

    def of(self, key: int) -> WireDownlink:
        """The downlink of one user or segment, decoded.

        Raises:
          CodecError: when the file has none.
        """
        record = self.records[self._place(key)]
        if is_unknown(self.form.codec):
            raise CodecError(
                f"downlinks: written with {codec_text(self.form.codec)}, which this reader was not "
                "told; name it (codec=…)"
            )
        if is_own_codec(self.form.codec):
            embedding = record["embedding"].astype(np.float32)
        else:
            embedding = decoded_rows(self.form.codec, record["embedding"], self.form.cloud_dim)
        if self.form.codec == "int8":
            embedding = embedding * record["scale"].astype(np.float32)
        return WireDownlink(
            cloud_version=self.cloud_version,
            round_number=self.round_number,
            table_sha256=self.table_sha256,
            user_embedding=embedding,
            queries=record["queries"].astype(np.int32),
        )

    def read_with(self, codec: CodecName) -> "DownlinkFile":
        """The file, for a reader whose own configuration names `codec`.

        Raises:
          CodecError: it was written with another one.
        """
        if codec_code(self.form.codec) != codec_code(codec):
            raise CodecError(
                f"downlinks: expected codec {codec}, which this reader was told, got "
                f"{codec_text(self.form.codec)}; cloud and devices were built with different "
                "settings"
            )
        if codec == self.form.codec:
            return self
        form = DownlinkForm(self.form.cloud_dim, self.form.queries, codec)
        if form.record_bytes != self.form.record_bytes:
            raise CodecError(
                f"downlinks: expected records of {form.record_bytes} bytes for codec {codec}, got "
                f"{self.form.record_bytes}; cloud and devices have different versions of it"
            )
        return dataclasses.replace(self, form=form, records=self.records.view(form.dtype))

    def only(self, key: int) -> "DownlinkFile":
        """A file with the downlink of `key` alone, for one device.

        Raises:
          CodecError: when this file has none.
        """
        place = self._place(key)
        return dataclasses.replace(
            self, keys=self.keys[place : place + 1], records=self.records[place : place + 1]
        )

    @classmethod
    def joined(cls, files: "Sequence[DownlinkFile]") -> "DownlinkFile":
        """One file of what several hold, whose keys follow each other.

        Raises:
          CodecError: they are of different publications, or their keys do not ascend.
        """
        first = files[0]
        fields = ("keys_are", "cloud_version", "round_number", "table_sha256", "form")
        for other in files[1:]:
            if any(getattr(other, name) != getattr(first, name) for name in fields):
                raise CodecError(
                    "downlinks: expected files of one publication, got those of versions "
                    f"{first.cloud_version} and {other.cloud_version}, rounds "
                    f"{first.round_number} and {other.round_number}; publish again"
                )
        return dataclasses.replace(
            first,
            keys=np.concatenate([file.keys for file in files]),
            records=np.concatenate([file.records for file in files]),
        )

    def _place(self, key: int) -> int:
        check_whole(key, "key", what="downlinks")
        place = int(np.searchsorted(self.keys, key))
        if place == len(self.keys) or self.keys[place] != key:
            raise CodecError(
                f"downlinks of version {self.cloud_version}: there is none for {key} among "
                f"{len(self.keys)} {self.keys_are}; a new user takes one from the segments file"
            )
        return place


def asked_in(file: BinaryIO) -> tuple[int, int, int, int] | None:
    """What a file is for, without reading it whole or checking it; None where it is none.

    Args:
      file: that can seek.

    Returns:
      Its round and cloud version, and its first and last key.
    """
    head = file.read(_HEADER.itemsize)
    if len(head) < _HEADER.itemsize or head[: len(_MAGIC)] != _MAGIC:
        return None
    header = np.frombuffer(head, _HEADER, count=1)[0]
    first = file.read(4)
    file.seek(_HEADER.itemsize + 4 * (int(header["count"]) - 1))
    last = file.read(4)
    if not header["count"] or len(first + last) != 8:
        return None
    keys = np.frombuffer(first + last, "<i4").tolist()
    return int(header["round_number"]), int(header["cloud_version"]), keys[0], keys[1]


def _is_hexadecimal(text: str) -> bool:
    return all(digit in "0123456789abcdef" for digit in text)
