"""Where refused records wait for someone to look at them."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from cloud.uplink_log.reasons import Reason, Rejected
from ecct_tf.errors import DataError

__all__ = ["Quarantine"]

_TABLE = """
CREATE TABLE IF NOT EXISTS rejected (
  file TEXT NOT NULL,
  offset INTEGER NOT NULL,
  reason TEXT NOT NULL,
  message TEXT NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (file, offset)
)
"""
_WAIT_SECONDS = 60.0


class Quarantine:
    """The original bytes of what was refused, by file and offset, with the reason.

    An SQLite database, `rejected.sqlite`. A place of the log has at most one entry: reading
    a file again replaces what an earlier reading had to say of it. Several readers may use
    it at once, on a file system whose locks work (not all network file systems).

    Args:
      folder: it is made when something is refused.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rejected.sqlite"

    def replace(self, file: str, start: int, end: int, rejected: Sequence[Rejected]) -> None:
        """Puts `rejected` in the place of all entries of `file` at offsets in `[start, end)`."""
        if not rejected and not self.path.exists():
            return
        with self._connected() as connection:
            connection.execute(
                "DELETE FROM rejected WHERE file = ? AND offset >= ? AND offset < ?",
                (file, start, end),
            )
            connection.executemany(
                "INSERT INTO rejected VALUES (?, ?, ?, ?, ?)",
                [(r.file, r.offset, r.reason.value, r.message, r.content) for r in rejected],
            )

    def counts(self) -> dict[Reason, int]:
        """Entries by reason."""
        if not self.path.exists():
            return {}
        with self._connected() as connection:
            rows = connection.execute("SELECT reason, COUNT(*) FROM rejected GROUP BY reason")
            found = {Reason(reason): count for reason, count in rows}
        return {reason: found[reason] for reason in Reason if reason in found}

    def entries(self, file: str | None = None) -> Iterator[Rejected]:
        """The entries, of one file or of all, in the order of the log."""
        if not self.path.exists():
            return
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT file, offset, reason, message, content FROM rejected "
                "WHERE :file IS NULL OR file = :file ORDER BY file, offset",
                {"file": file},
            )
            for name, offset, reason, message, content in rows:
                yield Rejected(name, offset, Reason(reason), message, content)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are kept together or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            opened = closing(sqlite3.connect(self.path, timeout=_WAIT_SECONDS))
            with opened as connection, connection:
                connection.execute(_TABLE)
                yield connection
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"quarantine: {self.path} cannot be used ({error}). Move it away to begin a new "
                "one; what it held is found again by reading the log from its start."
            ) from error
