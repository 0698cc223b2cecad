"""How much memory this process can still have, and whether the system killed for want of it.

Read from Linux's `/proc` and from control groups, which is where containers have their limits;
elsewhere the answer is "unknown", and nothing is refused for it.
"""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

__all__ = ["available_bytes", "memory_kills"]

_ROOT = Path("/")
# Control groups of the first version say "no limit" by a number near 2^63.
_NO_LIMIT = 2**60


def available_bytes(root: Path = _ROOT) -> int | None:
    """Bytes that this process can still allocate, or None where it cannot be known.

    The least of what the machine has free, of what each control group leaves, and of what the
    limit on the address space leaves (`ulimit -v`).

    Args:
      root: where `proc` and `sys` are.
    """
    bounds = [*_machine(root), *_groups(root), *_address_space(root)]
    return max(0, min(bounds)) if bounds else None


def memory_kills(root: Path = _ROOT) -> int:
    """How many processes were killed for want of memory, since the system or group started."""
    counters = [root / "proc/vmstat", *(group / "memory.events" for group in _folders(root))]
    return sum(_fields(path).get("oom_kill", 0) for path in counters)


def _machine(root: Path) -> Iterator[int]:
    fields = _fields(root / "proc/meminfo")
    if "MemAvailable" in fields:
        yield 1024 * fields["MemAvailable"]


def _groups(root: Path) -> Iterator[int]:
    for group in _folders(root):
        for limit_name, usage_name, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, usage = _number(group / limit_name), _number(group / usage_name)
            if limit is not None and usage is not None and limit < _NO_LIMIT:
                # What files occupy is given back under pressure.
                yield limit - usage + _fields(group / "memory.stat").get(cache, 0)


def _folders(root: Path) -> list[Path]:
    """The control groups of this process that account for memory, from its own upwards."""
    found: list[Path] = []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
            own = top / path.lstrip("/")
            found += [folder for folder in (own, *own.parents) if folder.is_relative_to(top)]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def _address_space(root: Path) -> Iterator[int]:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    size = _fields(root / "proc/self/status").get("VmSize")
    if limit != resource.RLIM_INFINITY and size is not None:
        yield limit - 1024 * size


def _fields(path: Path) -> dict[str, int]:
    """`name value` or `name: value kB`, line by line; empty where the file is not there."""
    fields: dict[str, int] = {}
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in path.read_text().splitlines():
            parts = line.replace(":", " ").split()
            if len(parts) >= 2 and parts[1].isdecimal():
                fields[parts[0]] = int(parts[1])
    return fields


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None
