"""Takes the answers of users out of the files of a log, and leaves every other byte in its place.

A record becomes a tombstone of the same length, so that files keep their lengths, and records and
positions in them their places: what a version has read stays read, and a reader goes on where it
was. Damaged bytes in which a record of such a user can be made out become zeros. A file that was
compressed as a whole, which jobs leave out, is compressed anew and may change its length.
"""

import dataclasses
import functools
import io
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cloud.uplink_log.compressed import COMPRESSED, decompressed, inner_name, write_compressed
from cloud.uplink_log.files import LogFile
from cloud.uplink_log.framing import frame
from cloud.uplink_log.listing import READ_SUFFIXES, entries
from cloud.uplink_log.pieces import parquet_pieces, tfrecord_pieces
from cloud.uplink_log.reasons import Reason
from cloud.uplink_log.users_of import is_of
from ecct_tf.errors import DataError
from ecct_tf.files import write_atomically
from ecct_tf.wire.record import TOMBSTONE

__all__ = ["LogErasure", "erase_from_log", "look_in_log"]

_BLOCK_BYTES = 4 << 20
# A file that is being written for the log lies under such a name for moments only.
_PART = ".*.part"
_PARQUET = ".parquet"
_TAIL_BYTES = 8


@dataclasses.dataclass(frozen=True)
class LogErasure:
    """What a log holds of users, or what was taken out of it.

    Attributes:
      records: by the name of the file, how many.
      parts: files that are half written, mostly by a writer that was killed, and that name a user
        or cannot be looked into. Without one its writer fails, and writes again.
      unknown: what lies in the folder and cannot be looked into.
    """

    records: dict[str, int]
    parts: tuple[str, ...]
    unknown: tuple[str, ...]


def look_in_log(folder: Path, users: Collection[int]) -> LogErasure:
    """What the files of a log hold of `users`; nothing is changed.

    Raises:
      DataError: a Parquet file cannot be read, so that nobody knows whom it names.
    """
    if not folder.is_dir():
        return LogErasure({}, (), ())
    files, left_out = entries(folder, with_superseded=True)
    records, unknown = {}, []
    for entry in files:
        file = LogFile(entry.name, entry.size_bytes)
        count = sum(1 for _ in _places(folder, file, users, name=entry.name))
        if count:
            records[entry.name] = count
    for left in left_out:
        try:
            with _content(folder, left.name) as (place, file):
                count = sum(1 for _ in _places(place, file, users, name=inner_name(left.name)))
        except OSError:
            unknown.append(left.name)
            continue
        if count:
            records[left.name] = count
    return LogErasure(
        records,
        tuple(path.relative_to(folder).as_posix() for path in _parts(folder, users)),
        tuple(unknown),
    )


def erase_from_log(folder: Path, users: Collection[int]) -> LogErasure:
    """Puts tombstones in the place of all records of `users`, file by file, each at once.

    Raises:
      DataError: as `look_in_log`, or a Parquet file cannot be kept at its length.
    """
    found = look_in_log(folder, users)
    for name in found.records:
        path = folder / name
        if _is_compressed(name):
            with _content(folder, name) as (place, file):
                content = _without(place, file, users, name=inner_name(name))
            write_compressed(path, content)
            continue
        content = _without(folder, LogFile(name, path.stat().st_size), users, name=name)
        write = functools.partial(_put, content)
        # Of a link the file that it points to.
        write_atomically(path.resolve(), write, private=True, durable=True)
    for name in found.parts:
        (folder / name).unlink(missing_ok=True)
    return found


def _is_compressed(name: str) -> bool:
    return name.lower().endswith(COMPRESSED)


def _content(folder: Path, name: str) -> AbstractContextManager[tuple[Path, LogFile]]:
    """What a file that was compressed as a whole holds.

    Raises:
      OSError: it is none, or damaged.
    """
    kinds = tuple(f"{kind}{end}" for kind in READ_SUFFIXES for end in COMPRESSED)
    if not name.lower().endswith(kinds) or not (folder / name).is_file():
        raise FileNotFoundError(f"{folder / name}: expected a compressed file of the log")
    return decompressed(folder / name)


def _without(folder: Path, file: LogFile, users: Collection[int], *, name: str) -> bytes:
    change = _blank_rows if name.lower().endswith(_PARQUET) else _blank_bytes
    return change(folder / file.name, [*_places(folder, file, users, name=name)])


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where something of a user lies: bytes of a TFRecord file, or a row of a Parquet file."""

    offset: int
    length: int
    framed: bool


def _places(folder: Path, file: LogFile, users: Collection[int], *, name: str) -> Iterator[_Place]:
    """Where something of `users` lies in a file, which is one of the kind that `name` says."""
    pieces = parquet_pieces if name.lower().endswith(_PARQUET) else tfrecord_pieces
    for piece in pieces(folder, file, 0, block_bytes=_BLOCK_BYTES):
        for row, content in enumerate(piece.contents):
            if is_of(content, users):
                yield _Place(int(piece.offsets[row]), len(content), framed=True)
        for entry in piece.refused:
            if entry.reason is Reason.UNREADABLE_FILE:
                raise DataError(
                    f"{folder / file.name}: {entry.message}; what it holds of the user cannot be "
                    "known. Move it out of the log, or restore it from a copy, and give the same "
                    "command again"
                )
            if entry.reason is Reason.WRONG_LENGTH or is_of(entry.content, users):
                yield _Place(entry.offset, len(entry.content), framed=False)


def _blank_bytes(path: Path, places: list[_Place]) -> bytes:
    content = bytearray(path.read_bytes())
    for place in places:
        if place.framed:
            blank = frame(_tombstone(place.length))
            start = place.offset
        else:
            blank, start = bytes(place.length), place.offset
        content[start : start + len(blank)] = blank
    return bytes(content)


def _put(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


def _tombstone(length: int) -> bytes:
    return TOMBSTONE + bytes(length - len(TOMBSTONE))


def _blank_rows(path: Path, places: list[_Place]) -> bytes:
    """The file with tombstones and without anything else in these rows, as long as it was."""
    table = pq.read_table(path)
    lengths = {place.offset: place.length if place.framed else 0 for place in places}
    blank = pa.table(
        {field.name: pa.array([_nothing(field.type)], field.type) for field in table.schema}
    ).cast(table.schema)
    # The row after the last one is blank.
    source = np.arange(table.num_rows)
    source[[*lengths]] = table.num_rows
    table = pa.concat_tables([table, blank]).take(source)
    columns: dict[str, Any] = {name: table.column(name) for name in table.column_names}
    records = table.column("record").to_pylist()
    for row, length in lengths.items():
        records[row] = _tombstone(max(length, len(TOMBSTONE)))
    columns["record"] = pa.array(records, pa.binary())
    size = path.stat().st_size
    for names in (table.column_names, ["record"]):
        for level in (3, 19):
            out = io.BytesIO()
            slim = pa.table({name: columns[name] for name in names})
            slim = slim.replace_schema_metadata(table.schema.metadata)
            pq.write_table(slim, out, compression="zstd", compression_level=level)
            content = out.getvalue()
            if len(content) <= size:
                return _lengthened(content, size)
    raise DataError(
        f"{path}: expected to write it without the user at its length of {size:,} bytes, it would "
        f"have {len(content):,}; read it with a job and move it out of the log, or write it as "
        "TFRecord files"
    )


def _nothing(kind: Any) -> Any:
    """A value that says nothing: lists of a fixed size cannot be null in a file."""
    if pa.types.is_fixed_size_list(kind):
        return [_nothing(kind.value_type)] * kind.list_size
    return 0 if pa.types.is_integer(kind) or pa.types.is_floating(kind) else None


def _lengthened(content: bytes, size: int) -> bytes:
    """A Parquet file with zeros before its footer, which says by offsets where all else is."""
    footer = int.from_bytes(content[-_TAIL_BYTES:-4], "little") + _TAIL_BYTES
    return content[:-footer] + bytes(size - len(content)) + content[-footer:]


def _parts(folder: Path, users: Collection[int]) -> list[Path]:
    found = []
    for path in sorted(folder.rglob(_PART)):
        plain = not path.name.lower().removesuffix(".part").endswith((_PARQUET, *COMPRESSED))
        if path.is_file() and not (plain and not is_of(path.read_bytes(), users)):
            found.append(path)
    return found
