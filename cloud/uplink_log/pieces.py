"""Files of the log as pieces that fit into memory."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cloud.uplink_log.contents import Contents
from cloud.uplink_log.files import LogFile, RunningDigest
from cloud.uplink_log.framing import FRAME_BYTES, MAX_CONTENT_BYTES, read_frames
from cloud.uplink_log.parquet_pages import Budget, check_pages
from cloud.uplink_log.reasons import Reason, Rejected

__all__ = ["Piece", "parquet_pieces", "tfrecord_pieces"]

_ROWS = 4096
_TEXTS = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_string,
    pa.types.is_large_string,
)
_OTHERS = (pa.types.is_fixed_size_binary, pa.types.is_null)


@dataclasses.dataclass(frozen=True)
class Piece:
    """Contents out of a file up to `end`, and what was not even a content.

    Attributes:
      offsets: `[n] int64`, of each content in the file.
      contents: the records as bytes.
      refused: what could not be read.
      end: where to go on.
      sha256: of the file, if this is its end.
    """

    offsets: npt.NDArray[np.int64]
    contents: Contents
    refused: list[Rejected]
    end: int
    sha256: str | None


def tfrecord_pieces(
    folder: Path, file: LogFile, offset: int, *, block_bytes: int
) -> Iterator[Piece]:
    """The frames of a TFRecord file from byte `offset` on, block by block."""
    path = folder / file.name
    digest = RunningDigest(path, offset=offset)
    with path.open("rb") as opened, ThreadPoolExecutor(max_workers=1) as beside:

        def read(begin: int) -> bytes:
            opened.seek(begin)
            return opened.read(block_bytes)

        reading = beside.submit(read, offset)
        final = False
        while not final:
            block = reading.result()
            final = len(block) < block_bytes
            found = read_frames(block, final=final)
            if not final:
                # While this block is decoded and checked, the next one is read.
                reading = beside.submit(read, offset + found.end)
            digest.update(offset, block)
            yield Piece(
                offsets=found.starts + offset,
                contents=found.contents,
                refused=[
                    Rejected(
                        file=file.name,
                        offset=offset + damage.start,
                        reason=Reason.DAMAGED_FRAME,
                        message=damage.message,
                        content=block[damage.start : damage.end],
                    )
                    for damage in found.damages
                ],
                end=offset + found.end,
                sha256=digest.hexdigest() if final else None,
            )
            offset += found.end


def parquet_pieces(
    folder: Path, file: LogFile, offset: int, *, block_bytes: int
) -> Iterator[Piece]:
    """The column `record` of a Parquet file from row `offset` on, a few thousand rows a piece.

    Repeated values stay one value in memory; a file that expands beyond all bounds is refused.
    """
    path = folder / file.name
    done = 0
    refused: list[Rejected] = []
    try:
        budget = Budget(path.stat().st_size)
        dictionaries = _check(path, pq.read_metadata(path))
        with pq.ParquetFile(path, read_dictionary=dictionaries) as opened:
            for batch in opened.iter_batches(batch_size=_ROWS, columns=["record"]):
                contents = _contents(batch.column(0))
                for part in _parts(contents, block_bytes):
                    budget.take(int(part.lengths.sum()) + FRAME_BYTES * len(part))
                    skipped, done = max(0, offset - done), done + len(part)
                    if skipped >= len(part):
                        continue
                    kept = part[skipped:]
                    offsets = np.arange(done - len(kept), done, dtype=np.int64)
                    sound, large = _bounded(file, kept, offsets)
                    yield Piece(offsets[sound], kept.taken(sound), large, done, None)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        message = f"expected a Parquet file that can be read, from row {done} on: {error}"
        refused = [Rejected(file.name, done, Reason.UNREADABLE_FILE, message, b"")]
    digest = RunningDigest(path, offset=path.stat().st_size)
    yield Piece(
        offsets=np.zeros(0, np.int64),
        contents=Contents(b"", np.zeros(0, np.int64), np.zeros(0, np.int64)),
        refused=refused,
        end=max(done, offset) + len(refused),
        sha256=digest.hexdigest(),
    )


def _check(path: Path, metadata: Any) -> list[str]:
    """Looks at what a file says of its column `record`, before any of it is decoded.

    Returns:
      The columns whose dictionaries stay such, since a few entries may stand for very much.

    Raises:
      ValueError: there is no such column, or it is beyond the bounds.
    """
    schema = metadata.schema.to_arrow_schema()
    if "record" not in schema.names:
        raise ValueError(f"expected a column `record`, got {', '.join(schema.names)}")
    kind = schema.field("record").type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not any(holds(kind) for holds in (*_TEXTS, *_OTHERS)):
        raise ValueError(f"expected a column `record` of bytes, got {kind}")
    row_bytes = FRAME_BYTES + (kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0)
    Budget(path.stat().st_size).take(metadata.num_rows * row_bytes)
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in range(row_group.num_columns):
            chunk = row_group.column(column)
            if chunk.path_in_schema == "record":
                check_pages(path, chunk)
    return ["record"] if any(holds(kind) for holds in _TEXTS) else []


def _parts(contents: Contents, block_bytes: int) -> Iterator[Contents]:
    """Cuts contents so that what is copied of a part fits into a block, or is one record."""
    ends = np.cumsum(contents.lengths)
    start = 0
    while start < len(contents):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + block_bytes, "right")))
        yield contents[start:stop]
        start = stop


def _bounded(
    file: LogFile, contents: Contents, offsets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], list[Rejected]]:
    """Which records are no longer than a frame's content may be, and the others, refused."""
    sound = contents.lengths <= MAX_CONTENT_BYTES
    return sound, [
        Rejected(
            file=file.name,
            offset=int(offsets[row]),
            reason=Reason.WRONG_LENGTH,
            message=f"expected a record of at most {MAX_CONTENT_BYTES:,} bytes, got "
            f"{int(contents.lengths[row]):,}; they are left in the file",
            content=b"",
        )
        for row in np.flatnonzero(~sound).tolist()
    ]


def _contents(rows: Any) -> Contents:
    """A column of bytes, or of a dictionary of them; a null is empty."""
    if not pa.types.is_dictionary(rows.type):
        return _plain(rows)
    values = _plain(rows.dictionary)
    indices = rows.indices
    missing = np.asarray(indices.is_null())
    places = np.asarray(indices.fill_null(0)).astype(np.int64)
    if not len(values):
        nothing = np.zeros(len(places), np.int64)
        return Contents(b"", nothing, nothing)
    found = values.taken(places)
    found.lengths[missing] = 0
    return found


def _plain(rows: Any) -> Contents:
    rows = rows.cast(pa.large_binary())
    if rows.null_count:
        rows = rows.fill_null(b"")
    if not len(rows):
        return Contents(b"", np.zeros(0, np.int64), np.zeros(0, np.int64))
    _, ends, block = rows.buffers()
    bounds = np.frombuffer(ends, np.int64, len(rows) + 1, 8 * rows.offset)
    return Contents(block or b"", bounds[:-1], np.diff(bounds))
