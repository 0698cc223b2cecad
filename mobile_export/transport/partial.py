"""A file that is being fetched: what a broken connection brought stays, and is resumed."""

import contextlib
import os
from pathlib import Path

from ecct_tf.errors import TransportError
from mobile_export.transport.http import Answer

__all__ = ["PartialFile"]


class PartialFile:
    """The beginning of a file on the disk, for its owner alone.

    Args:
      path: of the beginning.
      etag: entity tag of the file.
      most: bytes that the file may have.
      what: it is, for messages.
    """

    def __init__(self, path: Path, *, etag: str, most: int, what: str) -> None:
        self.path = path
        self._etag = etag
        self._most = most
        self._what = what
        self._last: Answer | None = None

    def headers(self) -> dict[str, str]:
        """Of a request for what is missing; of one for the whole, none."""
        have = self.path.stat().st_size if self.path.exists() else 0
        return {"Range": f"bytes={have}-", "If-Range": self._etag} if have else {}

    def take(self, answer: Answer, block: bytes) -> None:
        """Appends a block of an answer; the first one of the whole file begins anew.

        Raises:
          TransportError: the file becomes longer than it may be; nothing of it is kept.
        """
        is_anew = answer.status == 200 and answer is not self._last
        self._last = answer
        mode = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if is_anew else os.O_APPEND)
        with os.fdopen(os.open(self.path, mode, 0o600), "ab") as file:
            if file.tell() + len(block) <= self._most:
                file.write(block)
                return
        self.remove()
        raise TransportError(
            f"{self._what}: expected at most the {self._most} bytes that were announced, got more; "
            "is it the service that is meant?"
        )

    def read(self) -> bytes:
        """What there is."""
        return self.path.read_bytes() if self.path.exists() else b""

    def sync(self) -> None:
        """Brings it to the disk, where that can be done."""
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Drops what there is."""
        self.path.unlink(missing_ok=True)
