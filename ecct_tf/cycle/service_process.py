"""`ecct cloud serve` as a process beside the cycle: started, watched and ended in order."""

import contextlib
import dataclasses
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ecct_tf.child_processes import end_child, start_child, with_this_tree
from ecct_tf.errors import WorkerError

__all__ = ["RunningService", "ServicePlan", "ServiceProcess", "serving"]

_START_SECONDS = 120.0
# The service lets requests end for 30 seconds, and then writes what waits.
_END_SECONDS = 45.0
_TAIL_BYTES = 2_000


@dataclasses.dataclass(frozen=True)
class ServicePlan:
    """What a service serves.

    Attributes:
      public: the publication.
      log: the uplink log.
      tokens: file of the tokens.
      models: folder of the exported files.
      messages: file that its log goes to.
      port: to listen at; 0 for any that is free.
      options: further options of `ecct cloud serve`.
    """

    public: Path
    log: Path
    tokens: Path
    models: Path
    messages: Path
    port: int = 0
    options: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """The command that serves it."""
        program = [sys.executable, "-c", "from ecct_tf.cli import main; main()"]
        given = ["--log", self.log, "--tokens", self.tokens, "--models", self.models]
        own = [self.public, *given, "--port", self.port, *self.options]
        return [*program, "cloud", "serve", *map(str, own)]


class RunningService(Protocol):
    """A service while devices talk to it."""

    @property
    def address(self) -> str:
        """Where devices reach it."""

    def check(self) -> None:
        """Raises `WorkerError` when it has ended and will not come back."""


class ServiceProcess:
    """A process of `ecct cloud serve`.

    Attributes:
      address: where it listens.
      process: the process.

    Args:
      plan: what it serves.

    Raises:
      WorkerError: it did not start; with the end of what it said.
    """

    def __init__(self, plan: ServicePlan) -> None:
        self._plan = plan
        plan.messages.parent.mkdir(parents=True, exist_ok=True)
        with plan.messages.open("ab") as messages:
            self.process = start_child(
                plan.command(),
                environment=with_this_tree(),
                output=subprocess.PIPE,
                errors=messages,
            )
        try:
            self.address = self._first_line().rpartition(" at ")[2]
        except BaseException:
            self.end()
            raise

    def check(self) -> None:
        """Raises `WorkerError` when it has ended."""
        code = self.process.poll()
        if code is not None:
            raise WorkerError(f"the service ended with {code} while devices need it: {self._tail}")

    def end(self) -> int:
        """Ends it in order; what it has taken is on the disk then. Returns its exit code."""
        code = end_child(self.process, patience_seconds=_END_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def _first_line(self) -> str:
        """What it says once it listens."""
        output = self.process.stdout
        if output is None:
            raise WorkerError("the service has no output to read its address from")
        until, line = time.monotonic() + _START_SECONDS, b""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                left = until - time.monotonic()
                block = os.read(output.fileno(), 4096) if selector.select(max(0.0, left)) else b""
                if not block:
                    how = "ended" if left > 0 else f"said nothing for {_START_SECONDS:g} seconds"
                    raise WorkerError(f"the service {how} before it listened: {self._tail}")
                line += block
        return line.decode("utf-8", "replace").strip()

    @property
    def _tail(self) -> str:
        with contextlib.suppress(OSError):
            content = self._plan.messages.read_bytes()[-_TAIL_BYTES:]
            return f"{content.decode('utf-8', 'replace').strip()} ({self._plan.messages})"
        return str(self._plan.messages)


@contextlib.contextmanager
def serving(plan: ServicePlan) -> Iterator[RunningService]:
    """Runs a service for the block.

    Raises:
      WorkerError: it does not start, or does not end in order.
    """
    service = ServiceProcess(plan)
    try:
        yield service
    finally:
        code = service.end()
    if code:
        raise WorkerError(f"the service ended with {code}, expected 0; see {plan.messages}")
