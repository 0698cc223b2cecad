"""Ctrl-C and SIGTERM: acknowledged at once, obeyed at the next safe moment, never lost.

Python runs signal handlers in its main thread, between two of its own steps. A main thread
that waits inside TensorFlow or gRPC does not come to that, and an exception that a handler
raises in the middle of an import is thrown away by many a library. So the command line
installs, beside handlers, a thread that reads the signals from a pipe: it answers while the
main thread works, and ends the process when a second signal comes, or when the main thread
does not come back from foreign code.

Without `install`, in a notebook or a program of the user's, only `finishing` changes what
Ctrl-C does, and only within its block.

The command line imports this module before its handlers are there: what it needs beyond them
is imported where it is used.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = [
    "Stopped",
    "exit_code",
    "finishing",
    "going_on",
    "install",
    "last_words",
    "obeyed",
    "same_command",
]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WORDS = {
    signal.SIGINT: ("Ctrl-C", "press Ctrl-C again to stop now"),
    signal.SIGTERM: ("SIGTERM", "send it again to stop now"),
}
# Foreign code may take so long to return to Python; then the process ends without it.
_PATIENCE_SECONDS = 5.0
# The answer comes first, the last words after it.
_ANSWER_SECONDS = 1.0
# `timeout` and some terminals send a signal to the process and to its group: one stop, not two.
_BOUNCE_SECONDS = 0.2
_NOTHING_BEGUN = "Stopped: there is no run to resume yet; give the same command again."


class Stopped(KeyboardInterrupt):
    """The user, or the system, wants the process to end."""


class _Watch:
    """Handlers of the signals, and the thread that answers them.

    Attributes:
      first: the first signal that the main thread's handler saw, None before.
      noticed: whether that handler has run.
      answered: whether the other thread has said that the stop is known.
      finishing: what a block that must be finished is called; None outside of one.
      going_on: what to say on how to go on; None before there is anything to lose.
      said: the last of it.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self.noticed = threading.Event()
        self.answered = threading.Event()
        self.finishing: str | None = None
        self.going_on: Callable[[], str] | None = None
        self.said = _NOTHING_BEGUN
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` and `&` may ask
                signal.signal(number, self._on_signal)
        threading.Thread(target=self._answer, name="ecct-signals", daemon=True).start()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """In the main thread."""
        again = self.noticed.is_set()
        self.first = self.first or signal.Signals(number)
        self.noticed.set()
        if again or self.finishing is not None:
            return
        if self.going_on is None and _importing(frame):
            self.answered.wait(_ANSWER_SECONDS)
            self.end(signal.Signals(number))
        raise Stopped

    def _answer(self) -> None:
        """In a thread of its own."""
        first: tuple[signal.Signals, float] | None = None
        while True:
            for number in os.read(self._reader, 16):
                if number not in _SIGNALS:
                    continue
                if first is None:
                    first = signal.Signals(number), time.monotonic()
                    self._acknowledge(first[0])
                elif time.monotonic() - first[1] > _BOUNCE_SECONDS:
                    self.end(first[0])

    def _acknowledge(self, received: signal.Signals) -> None:
        name, again = _WORDS[received]
        doing = "stopping" if self.finishing is None else f"finishing {self.finishing}"
        _say(f"{name}: {doing}; {again}.")
        self.answered.set()
        if self.finishing is None:
            watching = threading.Thread(target=self._escalate, args=(received,), daemon=True)
            watching.start()

    def _escalate(self, received: signal.Signals) -> None:
        if not self.noticed.wait(_PATIENCE_SECONDS):
            self.end(received)

    def end(self, received: signal.Signals) -> None:
        """Ends the process now; what is on disk is as after a kill, which everything survives."""
        try:
            if self.going_on is not None:
                self.said = self.going_on()
            _say(self.said)
        finally:
            os._exit(128 + received)


_WATCH: _Watch | None = None


def install() -> None:
    """Lets this process answer Ctrl-C and SIGTERM; for the command line, in its main thread."""
    global _WATCH
    if _WATCH is None and threading.current_thread() is threading.main_thread():
        _WATCH = _Watch()


def obeyed() -> None:
    """Says that a handler other than those of `install` has seen the signal and obeys it.

    Without it the process would be ended within seconds, as one that hangs in foreign code.
    """
    if _WATCH is not None:
        _WATCH.noticed.set()


def exit_code() -> int:
    """The exit code of a stopped process: 128 and the signal's number, 130 for Ctrl-C."""
    first = None if _WATCH is None else _WATCH.first
    return 128 + (signal.SIGINT if first is None else first)


def last_words() -> str:
    """What to say at the end of a stopped command: how to go on."""
    if _WATCH is None:
        return _NOTHING_BEGUN
    _WATCH.answered.wait(_ANSWER_SECONDS)
    return _WATCH.said


@contextmanager
def going_on(words: Callable[[], str]) -> Iterator[None]:
    """From here on something may be lost: `words` says what is kept and how to go on.

    Args:
      words: called when the block is stopped, or when the process ends at once; not called
        in the main thread in the second case.
    """
    watch = _WATCH
    if watch is None:
        yield
        return
    before, watch.going_on = watch.going_on, words
    try:
        yield
    except KeyboardInterrupt:
        watch.said = words()
        raise
    finally:
        watch.going_on = before


@contextmanager
def finishing(what: str) -> Iterator[None]:
    """Holds a stop back until the block is done; a second signal is not held back.

    Elsewhere than in the main thread, where Python delivers no signals, it does nothing.

    Args:
      what: the block, for "finishing ...", such as "the round".

    Raises:
      KeyboardInterrupt: at the end of the block, if a stop was asked for meanwhile; and at
        its begin, if one was asked for before and was lost in foreign code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _WATCH
    if watch is None:
        with _interrupt_held(what):
            yield
        return
    if watch.noticed.is_set():
        raise Stopped
    watch.finishing = what
    try:
        yield
    finally:
        watch.finishing = None
    if watch.noticed.is_set():
        raise Stopped


@contextmanager
def _interrupt_held(what: str) -> Iterator[None]:
    requested = False
    previous = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        del number, frame
        requested = True
        signal.signal(signal.SIGINT, previous)
        import logging

        logging.getLogger(__name__).warning("finishing %s; interrupt again to stop now", what)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if requested:
        raise KeyboardInterrupt


def same_command() -> str:
    """The command that this process was started with, as a shell reads it."""
    import shlex

    return shlex.join(["ecct", *sys.argv[1:]])


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _say(text: str) -> None:
    # Not through `sys.stderr`: the main thread may hold its lock.
    bar = b"\n" if os.isatty(2) else b""
    try:
        os.write(2, bar + text.encode("utf-8", "replace") + b"\n")
    except OSError:  # nobody listens any more
        return
