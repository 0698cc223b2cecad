"""Reads a log: what is sound in batches, what is not into the quarantine."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

__all__ = [
    "UplinkBatch",
    "all_rejected",
    "file_pieces",
    "finished_by",
    "read_uplinks",
    "senders_of",
    "to_keep",
]

Refusal = tuple[int, Reason, str]

BLOCK_BYTES = 4 << 20
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
    block_bytes: int = BLOCK_BYTES,
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
            begin = offset
            for piece in file_pieces(folder, file, offset, block_bytes=block_bytes):
                batch, rejected = _batch(file, piece, contract=contract, window=window)
                session.replace(file.name, begin, max(piece.end, begin + 1), rejected)
                begin = piece.end
                yield batch
            offset = 0


def file_pieces(
    folder: Path, file: LogFile, offset: int = 0, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[Piece]:
    """The pieces of a file from `offset` on, in order.

    Raises:
      DataError: it is missing.
    """
    if not (folder / file.name).is_file():
        raise DataError(
            f"uplink log: expected {file.name} in {folder}, found none; files of the log "
            "must stay while a job reads them"
        )
    pieces = parquet_pieces if file.name.lower().endswith(".parquet") else tfrecord_pieces
    yield from pieces(folder, file, offset, block_bytes=block_bytes)


def _batch(
    file: LogFile, piece: Piece, *, contract: LogContract, window: ReplayWindow
) -> tuple[UplinkBatch, list[Rejected]]:
    found = checked(piece.contents, contract, window, file=file.name)
    rejected = all_rejected(file, piece, found.refused)
    return (
        UplinkBatch(
            **{
                field.name: getattr(found.uplinks, field.name)
                for field in dataclasses.fields(Uplinks)
            },
            records=piece.contents.taken(found.rows),
            position=LogPosition(file.name, piece.end),
            rejected=dict(Counter(entry.reason for entry in rejected)),
            senders=senders_of(rejected),
            finished=finished_by(file, piece),
        ),
        to_keep(rejected),
    )


def all_rejected(file: LogFile, piece: Piece, refused: Iterable[Refusal]) -> list[Rejected]:
    """What of a piece was no record, or is among the `refused` of its records, by offset."""
    rejected = [
        Rejected(file.name, int(piece.offsets[row]), reason, message, piece.contents[row])
        for row, reason, message in refused
    ]
    return sorted([*piece.refused, *rejected], key=lambda entry: entry.offset)


def to_keep(rejected: Iterable[Rejected]) -> list[Rejected]:
    """What of it the quarantine keeps: not what is to be forgotten, which is only counted."""
    return [entry for entry in rejected if entry.reason is not Reason.FORGOTTEN]


def finished_by(file: LogFile, piece: Piece) -> ConsumedFile | None:
    """The file, if the piece is its last."""
    if piece.sha256 is None:
        return None
    return ConsumedFile(file.name, file.size_bytes, piece.sha256)


def senders_of(rejected: Iterable[Rejected]) -> dict[Reason, list[int]]:
    """By reason, the users that refused records name, where they can be read."""
    found: dict[Reason, list[int]] = {}
    for entry in rejected:
        user = sender(entry.content)
        if user is not None:
            found.setdefault(entry.reason, []).append(user)
    return found
