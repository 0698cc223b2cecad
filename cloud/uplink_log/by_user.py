"""Reads a log in two steps, for readers of which each has some of the users.

The first reads files, wherever they are read, and checks each record by itself; it cuts what is
sound into blocks by user. The second has all blocks of some users: in the order of the log it
finds which rounds are new. Both call what `read_uplinks` calls, so that all come to the same.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cloud.uplink_log.contents import Contents
from cloud.uplink_log.contract import LogContract
from cloud.uplink_log.decoding import Uplinks
from cloud.uplink_log.files import ConsumedFile, LogFile
from cloud.uplink_log.reader import all_rejected, file_pieces, finished_by
from cloud.uplink_log.reasons import Rejected
from cloud.uplink_log.replay import Admits
from cloud.uplink_log.validation import admitted, sound_records, trusted_records

__all__ = ["Admitted", "Block", "SoundPiece", "admitted_blocks", "sound_pieces"]

# Of very small blocks several are looked at together.
_AT_ONCE_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Records of some users out of one piece of a file, sound by themselves, in its order.

    Attributes:
      file: place of the file in the list of files.
      users: `[n] int32`.
      offsets: `[n] int64`, in the file.
      lengths: `[n] int64`, of each record.
      content: the records, one after the other.
    """

    file: int
    users: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    content: bytes


@dataclasses.dataclass(frozen=True, eq=False)
class SoundPiece:
    """A piece of a file after the first step.

    Attributes:
      file: place of the file in the list of files.
      users: `[n] int32`, of the sound records.
      offsets: `[n] int64`, of the same, ascending.
      contents: the same.
      rejected: what was refused by itself, by offset; what is to be forgotten among it.
      finished: the file, if the piece is its last.
    """

    file: int
    users: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    contents: Contents
    rejected: Sequence[Rejected]
    finished: ConsumedFile | None

    def cut(self, shards: int) -> Iterator[tuple[int, Block]]:
        """The records of each shard that has some; user u is in shard u modulo `shards`."""
        places = self.users % shards
        for shard in np.unique(places).tolist():
            rows = np.flatnonzero(places == shard)
            chosen = self.contents.taken(rows)
            yield (
                shard,
                Block(
                    file=self.file,
                    users=self.users[rows],
                    offsets=self.offsets[rows],
                    lengths=chosen.lengths,
                    content=b"".join(chosen),
                ),
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Admitted:
    """Records after the second step.

    Attributes:
      uplinks: the new ones, decoded.
      rejected: the others, by file and offset.
    """

    uplinks: Uplinks
    rejected: Sequence[Rejected]


def sound_pieces(
    folder: Path, file: LogFile, place: int, *, contract: LogContract
) -> Iterator[SoundPiece]:
    """The first step: the pieces of a file, each record checked by itself.

    Args:
      folder: of the log.
      file: to read.
      place: of the file in the list of files.
      contract: what a record must satisfy.

    Raises:
      DataError: the file is missing.
    """
    for piece in file_pieces(folder, file):
        found, refused = sound_records(piece.contents, contract, file=file.name)
        rows = np.concatenate([np.zeros(0, np.intp), *(each.rows for each in found)])
        users = np.concatenate([np.zeros(0, np.int32), *(each.header("user") for each in found)])
        order = np.argsort(rows, kind="stable")
        yield SoundPiece(
            file=place,
            users=users[order].astype(np.int32),
            offsets=piece.offsets[rows[order]],
            contents=piece.contents.taken(rows[order]),
            rejected=all_rejected(file, piece, refused),
            finished=finished_by(file, piece),
        )


def admitted_blocks(
    blocks: Iterable[Block],
    window: Admits,
    *,
    files: Sequence[LogFile],
    contract: LogContract,
) -> Iterator[Admitted]:
    """The second step: which of the records of some users are new.

    Args:
      blocks: all there are of these users, in any order.
      window: the rounds of these users that were seen; it remembers the new ones.
      files: the list of files.
      contract: that the records satisfy.
    """
    # Pieces of a file do not overlap.
    ordered = sorted(blocks, key=lambda block: (block.file, int(block.offsets[0])))
    for some in _together(ordered):
        lengths = np.concatenate([block.lengths for block in some])
        starts = np.cumsum(lengths) - lengths
        contents = Contents(b"".join(block.content for block in some), starts, lengths)
        places = np.repeat([block.file for block in some], [len(block.users) for block in some])
        offsets = np.concatenate([block.offsets for block in some])
        found = admitted(trusted_records(contents, contract), contract, window)
        yield Admitted(
            found.uplinks,
            [
                Rejected(files[places[row]].name, int(offsets[row]), reason, message, contents[row])
                for row, reason, message in found.refused
            ],
        )


def _together(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks that follow each other, a few MiB at a time."""
    some: list[Block] = []
    size = 0
    for block in blocks:
        if some and size + len(block.content) > _AT_ONCE_BYTES:
            yield some
            some, size = [], 0
        some.append(block)
        size += len(block.content)
    if some:
        yield some
