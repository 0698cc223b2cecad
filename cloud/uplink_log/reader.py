"""Reads a log: what is sound in batches, what is not into the quarantine."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cloud.uplink_log.contract import LogContract
from cloud.uplink_log.decoding import Uplinks
from cloud.uplink_log.explanation import sender
from cloud.uplink_log.files import ConsumedFile, LogFile, LogPosition
from cloud.uplink_log.framing import FRAME_BYTES, HEADER_BYTES, MAX_CONTENT_BYTES
from cloud.uplink_log.pieces import Piece, parquet_pieces, tfrecord_pieces
from cloud.uplink_log.quarantine import Quarantine
from cloud.uplink_log.reasons import Reason, Rejected
from cloud.uplink_log.replay import ReplayWindow
from cloud.uplink_log.validation import checked
from ecct_tf.errors import DataError

__all__ = ["UplinkBatch", "read_uplinks"]

_SMALLEST_BLOCK_BYTES = MAX_CONTENT_BYTES + FRAME_BYTES + 2 * HEADER_BYTES


@dataclasses.dataclass(frozen=True)
class UplinkBatch(Uplinks):
    """Sound uplinks of one file, in its order, and where they were read up to.

    Attributes:
      records: the original bytes of each row.
      position: where to go on after this batch.
      rejected: how many records between the batch before and this position were refused.
      senders: by reason, the users that the refused records name, where they can be read.
      finished: the file, if the batch is its last.
    """

    records: Sequence[bytes]
    position: LogPosition
    rejected: Mapping[Reason, int]
    senders: Mapping[Reason, Sequence[int]]
    finished: ConsumedFile | None


def read_uplinks(
    folder: Path,
    files: Sequence[LogFile],
    *,
    contract: LogContract,
    window: ReplayWindow,
    quarantine: Quarantine,
    position: LogPosition | None = None,
    block_bytes: int = 4 << 20,
) -> Iterator[UplinkBatch]:
    """Yields the sound uplinks of `files`, in order; memory does not grow with the log.

    To go on after an interruption give the same files, the position of the last batch that
    was used, and the window as it was then. The quarantine is brought up to date before a
    batch is yielded.

    Args:
      folder: of the log.
      files: what to read, from `log_files`.
      contract: what an uplink must satisfy.
      window: the rounds that were seen; each batch adds its own.
      quarantine: for what is refused.
      position: where to go on; None reads from the start.
      block_bytes: how much of a file is in memory at once, at least about 1 MiB.

    Raises:
      DataError: when `position` is not in `files`, or a file is missing.
    """
    if block_bytes < _SMALLEST_BLOCK_BYTES:
        raise DataError(
            f"uplink log: expected blocks of at least {_SMALLEST_BLOCK_BYTES} bytes, "
            f"got {block_bytes}"
        )
    offset = 0
    if position is not None:
        names = [file.name for file in files]
        if position.file not in names:
            raise DataError(
                f"uplink log: expected the position to be in one of the {len(files)} files to "
                f"read, got {position.file}; give the list that the reading began with"
            )
        files, offset = files[names.index(position.file) :], position.offset
    with quarantine.session() as session:
        for file in files:
            if not (folder / file.name).is_file():
                raise DataError(
                    f"uplink log: expected {file.name} in {folder}, found none; files of the log "
                    "must stay while a job reads them"
                )
            begin = offset
            pieces = parquet_pieces if file.name.lower().endswith(".parquet") else tfrecord_pieces
            for piece in pieces(folder, file, offset, block_bytes=block_bytes):
                batch, rejected = _batch(file, piece, contract=contract, window=window)
                session.replace(file.name, begin, max(piece.end, begin + 1), rejected)
                begin = piece.end
                yield batch
            offset = 0


def _batch(
    file: LogFile, piece: Piece, *, contract: LogContract, window: ReplayWindow
) -> tuple[UplinkBatch, list[Rejected]]:
    contents = piece.contents
    found = checked(contents, contract, window, file=file.name)
    rejected = [
        Rejected(file.name, int(piece.offsets[row]), reason, message, contents[row])
        for row, reason, message in found.refused
    ]
    rejected = sorted([*piece.refused, *rejected], key=lambda entry: entry.offset)
    return (
        UplinkBatch(
            **{
                field.name: getattr(found.uplinks, field.name)
                for field in dataclasses.fields(Uplinks)
            },
            records=contents.taken(found.rows),
            position=LogPosition(file.name, piece.end),
            rejected=dict(Counter(entry.reason for entry in rejected)),
            senders=_senders(rejected),
            finished=None
            if piece.sha256 is None
            else ConsumedFile(file.name, file.size_bytes, piece.sha256),
        ),
        # What is to be forgotten is counted and not kept once more.
        [entry for entry in rejected if entry.reason is not Reason.FORGOTTEN],
    )


def _senders(rejected: Sequence[Rejected]) -> dict[Reason, list[int]]:
    found: dict[Reason, list[int]] = {}
    for entry in rejected:
        user = sender(entry.content)
        if user is not None:
            found.setdefault(entry.reason, []).append(user)
    return found
