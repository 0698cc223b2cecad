"""Ctrl-C that waits for a safe moment.

TFF calls back into Python from native threads; a `KeyboardInterrupt` raised there aborts
the whole process, and with it the run folder. Within `deferred_interrupt` it is raised at
the end of the block instead.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["deferred_interrupt"]


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Holds a Ctrl-C back until the block is done; a second one is not held back.

    Elsewhere than in the main thread, where Python delivers no signals, it does nothing.

    Raises:
      KeyboardInterrupt: at the end of the block, if Ctrl-C came meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    requested = False
    previous = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        del number, frame
        requested = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if requested:
        raise KeyboardInterrupt
