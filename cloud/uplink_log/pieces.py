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
from cloud.uplink_log.framing import read_frames
from cloud.uplink_log.reasons import Reason, Rejected

__all__ = ["Piece", "parquet_pieces", "tfrecord_pieces"]

_ROWS = 4096


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
    """The column `record` of a Parquet file from row `offset` on, a few thousand rows a piece."""
    del block_bytes  # The writer of the file chose its pages.
    path = folder / file.name
    done = 0
    refused: list[Rejected] = []
    try:
        with pq.ParquetFile(path) as opened:
            if "record" not in opened.schema_arrow.names:
                raise pa.ArrowInvalid(
                    f"expected a column `record`, got {', '.join(opened.schema_arrow.names)}"
                )
            for batch in opened.iter_batches(batch_size=_ROWS, columns=["record"]):
                rows = batch.column(0).cast(pa.binary())
                skipped, done = max(0, offset - done), done + len(rows)
                if skipped >= len(rows):
                    continue
                contents = _contents(rows.slice(skipped))
                offsets = np.arange(done - len(contents), done, dtype=np.int64)
                yield Piece(offsets, contents, [], done, None)
    except (pa.ArrowException, OSError) as error:
        message = f"expected a Parquet file that can be read, from row {done} on: {error}"
        refused = [Rejected(file.name, done, Reason.UNREADABLE_FILE, message, b"")]
    digest = RunningDigest(path, offset=path.stat().st_size)
    yield Piece(
        offsets=np.zeros(0, np.int64),
        contents=_contents(pa.array([], pa.binary())),
        refused=refused,
        end=max(done, offset) + len(refused),
        sha256=digest.hexdigest(),
    )


def _contents(rows: Any) -> Contents:
    """A binary array of Arrow; a null is empty."""
    if rows.null_count:
        rows = rows.fill_null(b"")
    _, ends, block = rows.buffers()
    if not len(rows):
        return Contents(b"", np.zeros(0, np.int64), np.zeros(0, np.int64))
    bounds = np.frombuffer(ends, np.int32, len(rows) + 1, 4 * rows.offset).astype(np.int64)
    return Contents(block or b"", bounds[:-1], np.diff(bounds))
