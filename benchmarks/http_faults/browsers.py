"""The processes of a browser that a process of devices started, on Linux."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

__all__ = ["BrowserPart", "browser_parts"]

_PROC = Path("/proc")


@dataclasses.dataclass(frozen=True)
class BrowserPart:
    """One process of a browser.

    Attributes:
      pid: of the process.
      kind: `browser` or `page`.
    """

    pid: int
    kind: str


def browser_parts(host: int) -> list[BrowserPart]:
    """The browser that the process `host` started, and its pages, as they are now."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found, waiting = [], list(children.get(host, ()))
    while waiting:
        pid = waiting.pop(0)
        waiting += children.get(pid, ())
        with contextlib.suppress(OSError):
            # Chromium's own children write their arguments anew, as one.
            words = (_PROC / str(pid) / "cmdline").read_bytes()
            if pid in children.get(host, ()) and b"--remote-debugging-pipe" in words:
                found.append(BrowserPart(pid, "browser"))
            elif b"--type=renderer" in words:
                found.append(BrowserPart(pid, "page"))
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """Each process and its parent."""
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything; state and parent come after it.
                after = (folder / "stat").read_text().rpartition(")")[2].split()
                if after[0] != "Z":
                    yield int(folder.name), int(after[1])
