"""Which answers are in the log already, so that one that is sent again is not appended again."""

from pathlib import Path
from typing import Literal

from cloud.uplink_log.files import LogFile, log_files
from cloud.uplink_log.pieces import parquet_pieces, tfrecord_pieces
from cloud.uplink_log.replay import WINDOW_ROUNDS
from ecct_tf.errors import CodecError
from ecct_tf.wire import UplinkRecord

__all__ = ["Ledger", "Status"]

Status = Literal["fresh", "repeated", "too_old"]

_BLOCK_BYTES = 4 << 20
_BITS = (1 << WINDOW_ROUNDS) - 1


class Ledger:
    """The last 64 rounds of each user, as the reader of the log keeps them (`ReplayWindow`).

    About 100 bytes for each user that has answered. What the log holds is read once, when a service
    starts: what a killed one had appended is known to the next.

    >>> ledger = Ledger()
    >>> ledger.add(7, 70)
    >>> ledger.status(7, 70), ledger.status(7, 69), ledger.status(7, 6), ledger.status(8, 0)
    ('repeated', 'fresh', 'too_old', 'fresh')
    """

    def __init__(self) -> None:
        # The newest round, and a bit for each of the 64 up to it, as one number.
        self._seen: dict[int, int] = {}

    def __len__(self) -> int:
        """Users that have answered."""
        return len(self._seen)

    def status(self, user: int, round_number: int) -> Status:
        """Whether an answer is new, in the log, or older than can be told."""
        known = self._seen.get(user)
        if known is None:
            return "fresh"
        behind = (known >> WINDOW_ROUNDS) - round_number
        if behind >= WINDOW_ROUNDS:
            return "too_old"
        return "repeated" if behind >= 0 and known >> behind & 1 else "fresh"

    def add(self, user: int, round_number: int) -> None:
        """Remembers an answer."""
        known = self._seen.get(user)
        if known is None:
            self._seen[user] = round_number << WINDOW_ROUNDS | 1
            return
        newest, bits = known >> WINDOW_ROUNDS, known & _BITS
        ahead = round_number - newest
        if ahead > 0:
            newest, bits = round_number, (bits << min(ahead, WINDOW_ROUNDS) | 1) & _BITS
        elif ahead > -WINDOW_ROUNDS:
            bits |= 1 << -ahead
        self._seen[user] = newest << WINDOW_ROUNDS | bits

    @classmethod
    def of_log(cls, folder: Path) -> "Ledger":
        """What a log holds; nothing where there is none. Damaged records do not count.

        Raises:
          DataError: the log cannot be read.
        """
        ledger = cls()
        if folder.is_dir():
            for file in log_files(folder):
                ledger._read(folder, file)
        return ledger

    def _read(self, folder: Path, file: LogFile) -> None:
        pieces = parquet_pieces if file.name.lower().endswith(".parquet") else tfrecord_pieces
        for piece in pieces(folder, file, 0, block_bytes=_BLOCK_BYTES):
            for row in range(len(piece.contents)):
                try:
                    record = UplinkRecord.from_bytes(piece.contents[row])
                except CodecError:
                    continue
                self.add(*record.key)
