"""Where refused records wait for someone to look at them."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cloud.sqlite_remains import holds_remains, note_deletion, prepare_tables, purge
from cloud.uplink_log.reasons import Reason, Rejected
from cloud.uplink_log.users_of import is_of
from ecct_tf.errors import DataError, StorageError
from ecct_tf.files import private_folder

__all__ = ["Quarantine", "QuarantineSession"]

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
# What was taken back, with its own copy: another reading of its file replaces the entry.
_TAKEN = """
CREATE TABLE IF NOT EXISTS taken_back (
  file TEXT NOT NULL,
  offset INTEGER NOT NULL,
  name TEXT NOT NULL,
  done INTEGER NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (file, offset)
)
"""
_WAIT_SECONDS = 60.0
# What has nothing to do with the content of the file.
_SYSTEM = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
)  # fmt: skip


class Quarantine:
    """The original bytes of what was refused, by file and offset, with the reason.

    An SQLite database, `rejected.sqlite`. A place of the log has at most one entry: reading
    a file again replaces what an earlier reading had to say of it. Several readers on one
    machine may use it at once; a network file system does not keep the locks it needs. Only its
    owner may read it.

    Args:
      folder: it is made when something is refused.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rejected.sqlite"

    @contextmanager
    def session(self) -> Iterator["QuarantineSession"]:
        """Many changes over one connection; each is kept as soon as it is made."""
        session = QuarantineSession(self.path)
        try:
            yield session
        finally:
            session.close()

    def counts(self) -> dict[Reason, int]:
        """Entries by reason."""
        rows = self._rows("SELECT reason, COUNT(*) FROM rejected GROUP BY reason")
        found = {Reason(reason): count for reason, count in rows}
        return {reason: found[reason] for reason in Reason if reason in found}

    def entries(self, file: str | None = None) -> Iterator[Rejected]:
        """The entries, of one file or of all, in the order of the log."""
        rows = self._rows(
            "SELECT file, offset, reason, message, content FROM rejected "
            "WHERE :file IS NULL OR file = :file ORDER BY file, offset",
            file=file,
        )
        for name, offset, reason, message, content in rows:
            yield Rejected(name, offset, Reason(reason), message, content)

    def not_taken_back(self) -> Iterator[Rejected]:
        """The entries that `begin` was not called for yet, in the order of the log."""
        rows = self._rows(
            "SELECT file, offset, reason, message, content FROM rejected WHERE NOT EXISTS ("
            "SELECT 1 FROM taken_back AS t WHERE t.file = rejected.file "
            "AND t.offset = rejected.offset) ORDER BY file, offset"
        )
        for name, offset, reason, message, content in rows:
            yield Rejected(name, offset, Reason(reason), message, content)

    def taken_back(self) -> int:
        """How many entries `begin` was called for."""
        return int(next(self._rows("SELECT COUNT(*) FROM taken_back"), (0,))[0])

    def unfinished(self) -> dict[str, list[bytes]]:
        """The contents of each batch that was begun and not finished, by its name."""
        query = "SELECT name, content FROM taken_back WHERE done = 0 ORDER BY name, file, offset"
        found: dict[str, list[bytes]] = {}
        for name, content in self._rows(query):
            found.setdefault(name, []).append(content)
        return found

    def begin(self, name: str, entries: Sequence[Rejected]) -> None:
        """Keeps that `entries` are to be appended to the log as the batch `name`."""
        with closing(_connect(self.path)) as connection, _told(self.path), connection:
            connection.executemany(
                "INSERT INTO taken_back VALUES (?, ?, ?, 0, ?)",
                [(entry.file, entry.offset, name, entry.content) for entry in entries],
            )

    def finish(self, name: str) -> None:
        """Keeps that the batch `name` is in the log."""
        with closing(_connect(self.path)) as connection, _told(self.path), connection:
            connection.execute("UPDATE taken_back SET done = 1 WHERE name = ?", (name,))

    def count_of(self, users: Collection[int]) -> int:
        """Entries, taken back ones included, that name one of `users`, damaged or not."""
        return sum(len(found) for found in self._of(users).values())

    def holds_remains(self) -> bool:
        """Whether the file may hold bytes of entries that were removed or replaced."""
        if not self.path.exists():
            return False
        with closing(_connect(self.path)) as connection, _told(self.path):
            return holds_remains(connection)

    def erase(self, users: Collection[int]) -> int:
        """Removes what names one of `users` for good, and returns how many entries that were.

        A batch that was begun and not finished goes on without them. Neither do bytes of entries
        stay that were removed or replaced before.

        Raises:
          DataError: another process has the file open.
        """
        found = self._of(users)
        if not any(found.values()) and not self.holds_remains():
            return 0
        with closing(_connect(self.path)) as connection, _told(self.path):
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for table, places in found.items():
                    connection.executemany(
                        f"DELETE FROM {table} WHERE file = ? AND offset = ?", places
                    )
                note_deletion(connection)
            purge(connection)
        return sum(len(places) for places in found.values())

    def _of(self, users: Collection[int]) -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        for table in ("rejected", "taken_back"):
            rows = self._rows(f"SELECT file, offset, content FROM {table}")
            found[table] = [(file, offset) for file, offset, data in rows if is_of(data, users)]
        return found

    def _rows(self, query: str, **values: str | None) -> Iterator[tuple[Any, ...]]:
        if not self.path.exists():
            return
        with closing(_connect(self.path)) as connection, _told(self.path):
            yield from connection.execute(query, values)


class QuarantineSession:
    """See `Quarantine.session`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def replace(self, file: str, start: int, end: int, rejected: Sequence[Rejected]) -> None:
        """Puts `rejected` in the place of all entries of `file` at offsets in `[start, end)`."""
        connection = self._opened(create=bool(rejected))
        if connection is None:
            return
        with _told(self._path), connection:
            gone = connection.execute(
                "DELETE FROM rejected WHERE file = ? AND offset >= ? AND offset < ?",
                (file, start, end),
            ).rowcount
            if gone:
                note_deletion(connection)
            _insert(connection, rejected)

    def add(self, rejected: Iterable[Rejected]) -> None:
        """Adds entries of places that have none."""
        connection = self._opened(create=True)
        if connection is not None:
            with _told(self._path), connection:
                _insert(connection, rejected)

    def _opened(self, *, create: bool) -> sqlite3.Connection | None:
        """The connection; None where there is no file and none is to be made."""
        if self._connection is None:
            if not create and not self._path.exists():
                return None
            private_folder(self._path.parent)
            # SQLite gives the files beside it the same permissions.
            self._path.touch(mode=0o600, exist_ok=True)
            self._connection = _connect(self._path)
        return self._connection

    def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()


def _insert(connection: sqlite3.Connection, rejected: Iterable[Rejected]) -> None:
    connection.executemany(
        "INSERT INTO rejected VALUES (?, ?, ?, ?, ?)",
        ((r.file, r.offset, r.reason.value, r.message, r.content) for r in rejected),
    )


def _connect(path: Path) -> sqlite3.Connection:
    # A generator may be driven by one thread after the other, never by two at once.
    with _told(path):
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
        # Survives a kill at any point; what a power failure takes, the log still has.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        prepare_tables(connection, _TABLE, _TAKEN)
    return connection


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _SYSTEM:
            raise _unusable(path, error) from error
        raise StorageError(
            f"quarantine: {path} could not be written ({error}). Free some room on the disk or fix "
            "the permissions, and give the same command again."
        ) from error
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"quarantine: {path} cannot be used ({error}). Move it away to begin a new one; "
        "what it held is found again by reading the log from its start."
    )
