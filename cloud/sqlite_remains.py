"""What deleted rows leave in the files of an SQLite database, and how it leaves them.

SQLite frees the room of a deleted row without overwriting it, and an update may leave the row as it
was beside the new one. The number that SQLite keeps for an application (`user_version`) says here
whether a database may hold such remains: 1 for none, anything else for maybe, as in files of
earlier releases.
"""

import sqlite3

from ecct_tf.errors import DataError

__all__ = ["holds_remains", "note_deletion", "prepare_tables", "purge"]

_CLEAN = 1


def prepare_tables(connection: sqlite3.Connection, *statements: str) -> None:
    """Makes the tables that are missing; a database that is new holds no remains.

    Args:
      connection: to the database, in no transaction.
      statements: `CREATE … IF NOT EXISTS …`, one each.
    """
    if _is_empty(connection):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been first.
            if _is_empty(connection):
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_CLEAN}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    for statement in statements:
        connection.execute(statement)


def note_deletion(connection: sqlite3.Connection) -> None:
    """Notes that rows are deleted; to be called in the transaction that deletes them."""
    connection.execute("PRAGMA user_version = 0")


def holds_remains(connection: sqlite3.Connection) -> bool:
    """Whether the files of a database may hold rows that were deleted."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] != _CLEAN)


def purge(connection: sqlite3.Connection) -> None:
    """Writes the database anew without remains; a kill leaves it to be done again.

    Args:
      connection: to the database, in no transaction.

    Raises:
      DataError: another process reads it, so that its log of writes stays.
    """
    connection.execute("VACUUM")
    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        raise DataError(
            "expected a database that nothing else has open, so that no deleted row stays in its "
            "log of writes; end what reads it, and give the same command again"
        )
    connection.execute(f"PRAGMA user_version = {_CLEAN}")


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
