"""Log lines of a command, folded at a terminal, never in the middle of a progress bar."""

import logging
import sys
from typing import TextIO

from ecct_tf.plain_text import fold

__all__ = ["LogHandler"]


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr; an open bar of tqdm is cleared before a line and drawn again after it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, folded between words at a terminal."""
        return fold(super().format(record), self.stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record."""
        # Imported already where a bar is open; help must not wait for it.
        tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
        if tqdm is None:
            super().emit(record)
            return
        try:
            tqdm.write(self.format(record), file=self.stream)
            self.flush()
        except Exception:
            self.handleError(record)
