"""Tokens of devices: issued, rotated and revoked by an operator, kept as hashes only.

A token is `ecct1.ID.SECRET`. Its secret has 256 random bits, so that a plain SHA-256 of the token
is as good as the secret is long, and is all that is stored. The file is SQLite's, for its owner
alone: a change is whole or did not happen, and a running service sees it with the next request.
"""

import contextlib
import dataclasses
import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cloud.sqlite_remains import holds_remains, note_deletion, prepare_tables, purge
from ecct_tf.errors import TokenError
from ecct_tf.files import private_folder
from ecct_tf.wire.whole_numbers import LARGEST_INT32

__all__ = ["MOST_SECONDS", "Grant", "TokenStore"]

MOST_SECONDS = 36_500 * 86_400
"""The longest time for which anything is valid: a hundred years."""

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS tokens (
  id TEXT PRIMARY KEY,
  user INTEGER,
  sha256 BLOB NOT NULL,
  issued INTEGER NOT NULL,
  expires INTEGER,
  revoked INTEGER
) WITHOUT ROWID
""",
    "CREATE INDEX IF NOT EXISTS of_user ON tokens (user)",
)
_VALID = "revoked IS NULL AND (expires IS NULL OR expires > :now)"
_FORM = re.compile(r"ecct1\.([0-9a-f]{16})\.[A-Za-z0-9_-]{43}")
_WAIT_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Grant:
    """What is known of one token; not the token.

    Attributes:
      id: the part of the token that names it.
      user: whose device has it; None for an operator's, which reads metrics and nothing else.
      issued: when, in whole seconds since 1970.
      expires: from when it is refused; None for never.
      revoked: when it was revoked; None while it was not.
    """

    id: str
    user: int | None
    issued: int
    expires: int | None
    revoked: int | None


class TokenStore:
    """The tokens in one file.

    Args:
      path: of the file; the first token makes it, readable for its owner alone.
      clock: seconds since 1970.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._kept = threading.local()

    def issue(self, user: int | None, *, seconds: int | None = None) -> str:
        """A new token; those that the user has stay valid.

        Args:
          user: whose device gets it; None for an operator.
          seconds: how long it is valid; None for until it is revoked.

        Raises:
          TokenError: the user or the time cannot be, or the file cannot be written.
        """
        _check(user, seconds)
        with self._writing() as database:
            return self._add(database, user, seconds)

    def rotate(self, user: int, *, keep_seconds: int = 0, seconds: int | None = None) -> str:
        """A new token; the old ones of the user end.

        Args:
          user: whose.
          keep_seconds: how long the old ones are valid still, for a device that has not yet
            heard of the new one.
          seconds: how long the new one is valid; None for until it is revoked.

        Raises:
          TokenError: as `issue`, or the user has no valid token.
        """
        _check(user, seconds)
        if not 0 <= keep_seconds <= MOST_SECONDS:
            raise TokenError(
                f"expected to keep old tokens for 0..{MOST_SECONDS:,} seconds, got {keep_seconds:,}"
            )
        self._check_there()
        now = int(self._clock())
        told = {"until": now + keep_seconds, "user": user, "now": now}
        with self._writing() as database:
            changed = _valid(database, "user = :user", told)
            if keep_seconds:
                database.execute(
                    "UPDATE tokens SET expires = min(coalesce(expires, :until), :until) "
                    f"WHERE user = :user AND {_VALID}",
                    told,
                )
                ended = "expires <= :now AND "
            else:
                # Not by a time: a clock that is set back must not bring them back.
                ended = ""
            database.execute(
                f"UPDATE tokens SET revoked = :now WHERE {ended}user = :user AND revoked IS NULL",
                told,
            )
            if not changed:
                raise TokenError(
                    f"{self.path}: user {user} has no valid token to rotate; issue one first"
                )
            return self._add(database, user, seconds)

    def revoke(self, *, user: int | None = None, token_id: str | None = None) -> int:
        """Ends tokens at once: all of a user, or the one with an id.

        Returns:
          How many were valid until now.

        Raises:
          TokenError: neither or both were named, or there is no such token or file.
        """
        if (user is None) == (token_id is None):
            raise TokenError("expected a user or the id of a token to revoke, one of them")
        _check(user, None)
        self._check_there()
        column, value = ("user", user) if token_id is None else ("id", token_id)
        told = {"value": value, "now": int(self._clock())}
        with self._writing() as database:
            known = database.execute(
                f"SELECT count(*) FROM tokens WHERE {column} = :value", told
            ).fetchone()[0]
            if not known:
                raise TokenError(f"{self.path}: there is no token with {column} {value}")
            count = _valid(database, f"{column} = :value", told)
            # Expired ones too: a clock that is set back must not bring them back.
            database.execute(
                f"UPDATE tokens SET revoked = :now WHERE {column} = :value AND revoked IS NULL",
                told,
            )
            return count

    def erase(self, user: int) -> int:
        """Ends the tokens of a user at once, and removes all that is kept of them.

        Returns:
          How many there were, valid or not.
        """
        if not self.path.exists():
            return 0
        with self._writing() as database:
            count = database.execute("DELETE FROM tokens WHERE user = ?", (user,)).rowcount
            note_deletion(database)
        self.purge()
        return count

    def purge(self) -> None:
        """Removes bytes of tokens that were removed before, by a call that was killed."""
        with self._opened() as database:
            purge(database)

    def holds_remains(self) -> bool:
        """Whether the file may hold bytes of tokens that were removed."""
        if not self.path.exists():
            return False
        with self._opened() as database:
            return holds_remains(database)

    def grants(self) -> tuple[Grant, ...]:
        """All of them, by user and time."""
        if not self.path.exists():
            return ()
        with self._opened() as database:
            rows = database.execute(
                "SELECT id, user, issued, expires, revoked FROM tokens ORDER BY user, issued, id"
            ).fetchall()
        return tuple(Grant(*row) for row in rows)

    def find(self, token: str) -> Grant | None:
        """The grant of a token; None for one that is unknown, expired or revoked.

        Raises:
          TokenError: the file cannot be read.
        """
        form = _FORM.fullmatch(token)
        if form is None:
            return None
        rows = self._read(
            "SELECT id, user, issued, expires, revoked, sha256 FROM tokens WHERE id = ?", form[1]
        )
        if not rows or not hmac.compare_digest(rows[0][5], _hash(token)):
            return None
        grant = Grant(*rows[0][:5])
        ended = grant.expires is not None and grant.expires <= self._clock()
        return None if ended or grant.revoked is not None else grant

    def _check_there(self) -> None:
        """Refuses a path where `issue` has made nothing."""
        if not self.path.exists():
            raise TokenError(
                f"{self.path}: expected a file of tokens, there is none; `ecct cloud token issue` "
                "makes one"
            )

    def _read(self, question: str, value: str) -> list[tuple[Any, ...]]:
        """The rows that answer a question, by a connection that this thread keeps.

        A connection sees what others committed before each question. It is opened anew where the
        file was replaced by another one.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return []
        file = status.st_dev, status.st_ino
        kept: tuple[tuple[int, int], sqlite3.Connection] | None
        kept = getattr(self._kept, "connection", None)
        with self._named():
            if kept is None or kept[0] != file:
                kept = file, self._connected()
                self._kept.connection = kept
            # All rows, so that the question ends, and with it the lock that others wait for.
            return kept[1].execute(question, (value,)).fetchall()

    def _add(self, database: sqlite3.Connection, user: int | None, seconds: int | None) -> str:
        name = secrets.token_hex(8)
        token = f"ecct1.{name}.{secrets.token_urlsafe(32)}"
        now = int(self._clock())
        database.execute(
            "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, NULL)",
            (name, user, _hash(token), now, None if seconds is None else now + seconds),
        )
        return token

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        private_folder(self.path.parent)
        # Before SQLite would make it readable for others.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with self._opened() as database:
            prepare_tables(database, *_TABLES)
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with self._named():
            database = self._connected()
            try:
                yield database
            finally:
                database.close()

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Names the file in an error of SQLite's."""
        try:
            yield
        except sqlite3.Error as error:
            raise TokenError(
                f"{self.path}: expected a file of tokens: {error}; `ecct cloud token issue` makes "
                "one"
            ) from error


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _valid(database: sqlite3.Connection, which: str, told: dict[str, Any]) -> int:
    """How many tokens of `which` are valid at `now`."""
    question = f"SELECT count(*) FROM tokens WHERE {which} AND {_VALID}"
    return int(database.execute(question, told).fetchone()[0])


def _check(user: int | None, seconds: int | None) -> None:
    if user is not None and not 0 <= user <= LARGEST_INT32:
        raise TokenError(f"expected a user in 0..{LARGEST_INT32}, got {user}")
    if seconds is not None and not 1 <= seconds <= MOST_SECONDS:
        raise TokenError(f"expected a time of 1..{MOST_SECONDS:,} seconds, got {seconds:,}")
