"""Worker processes that run cases, each command within its deadline and its memory.

A worker imports TensorFlow once and runs many cases. One that hangs, grows or dies is killed,
which is a fault of the case it was at, and another takes its place.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.fuzz.case import work
from benchmarks.fuzz.verdict import Job, Verdict

__all__ = ["Worker"]

_CASES = 250
_END_SECONDS = 10.0
# Between looks at a process's memory, which take a while themselves.
_LOOK_SECONDS = 0.5
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Worker:
    """One worker process, started anew where it must be.

    Args:
      memory_bytes: the most that it and its children may hold.
      start_seconds: until it must have begun its first command.
      target: what the process runs.
    """

    def __init__(
        self,
        *,
        memory_bytes: int,
        start_seconds: float = 600.0,
        target: Callable[[Connection], object] = work,
    ) -> None:
        self._memory_bytes, self._start_seconds = memory_bytes, start_seconds
        self._target = target
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._job: Job | None = None
        self._kind, self._step, self._deadline = "unknown", "", 0.0
        self._began = self._next_look = 0.0
        self._done = 0

    @property
    def idle(self) -> bool:
        """Whether it waits for a case."""
        return self._job is None

    def begin(self, job: Job) -> None:
        """Gives it a case."""
        if self._process is None or self._done >= _CASES:
            self.close()
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=self._target, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            self._done = 0
        self._job, self._began = job, time.monotonic()
        self._announce("unknown", "start", self._start_seconds)
        # A process that is dead already has no end to write to: `poll` sees that.
        with contextlib.suppress(OSError):
            self._pipe.send(job)

    def poll(self) -> Verdict | None:
        """The verdict, once there is one."""
        if self._job is None:
            return None
        while self._pipe.poll(0):
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                self._process.join()
                return self._lost(f"the process died (exit code {self._process.exitcode})")
            if isinstance(message, Verdict):
                self._job, self._done = None, self._done + 1
                return dataclasses.replace(message, seconds=time.monotonic() - self._began)
            self._announce(*message)
        if time.monotonic() > self._deadline:
            return self._lost("it was beyond its deadline")
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + _LOOK_SECONDS
        held = _resident_bytes(self._process.pid)
        if held > self._memory_bytes:
            return self._lost(f"it held {held / 2**30:.1f} GiB of memory")
        return None

    def close(self) -> None:
        """Ends the process and its children; one that is idle ends by itself."""
        if self._process is not None:
            self._pipe.close()
            if self.idle:
                self._process.join(_END_SECONDS)
            for pid in (*_below(self._process.pid), self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.join()
        self._process = self._pipe = None

    def _announce(self, kind: str, step: str, seconds: float) -> None:
        self._kind, self._step, self._deadline = kind, step, time.monotonic() + seconds

    def _lost(self, why: str) -> Verdict:
        self.close()
        job, self._job = self._job, None
        seconds = time.monotonic() - self._began
        text = f"expected an end of {self._step!r}, but {why}"
        return Verdict(job.family, job.number, self._kind, "fault", text, seconds)


def _below(pid: int) -> Iterator[int]:
    """The processes that descend from `pid`."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        yield from children
        waiting += children


def _resident_bytes(pid: int) -> int:
    total = 0
    for each in (pid, *_below(pid)):
        try:
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            continue
    return total
