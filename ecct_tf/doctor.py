"""What is missing or wrong in the environment, and the fix.

`diagnose` looks without importing TensorFlow, so that it answers at once and
also where TensorFlow cannot be imported. The command line prints its checks.
"""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ecct_tf.installation import install_command
from ecct_tf.package_checks import Check, Requirement, check_packages, required
from ecct_tf.parts import is_installed
from ecct_tf.user_folders import cache_folder, expanded

__all__ = ["Check", "Requirement", "WorkerProcess", "diagnose", "required", "worker_processes"]

_WORKER_NAME = "worker_binary"
_INIT_NAMES = frozenset({"init", "systemd", "tini", "dumb-init", "docker-init"})
_MOVIELENS_FILES = ("u.data", "ml-100k.inter", "ml-100k.zip")
_GIB = 2**30
_MIN_MEMORY_BYTES = 3 * _GIB
_MIN_DISK_BYTES = 1 * _GIB


@dataclass(frozen=True)
class WorkerProcess:
    """A running TFF worker of this user.

    Attributes:
        pid: Its process id.
        parent_pid: Its parent's process id.
        orphaned: Whether the process that started it is gone.
    """

    pid: int
    parent_pid: int
    orphaned: bool


def diagnose() -> list[Check]:
    """Looks at everything a run depends on.

    Returns:
        The checks in reading order: Python, platform, packages, TFF's worker,
        machine, data, processes left behind by earlier runs.
    """
    python = sys.version_info[:2]
    checks = [_check_python(python), _check_platform()]
    checks += check_packages()
    if is_installed("tensorflow-federated"):
        checks.append(_check_worker_binary())
    checks += [
        _check_cpus(),
        _check_memory(),
        _check_disk(Path.cwd()),
        _check_movielens(),
        _check_stray_workers(),
    ]
    return checks


def worker_processes() -> tuple[WorkerProcess, ...]:
    """Finds the running TFF workers of this user; none where there is no `/proc`."""
    return tuple(_scan_workers(Path("/proc")))


def _check_python(python: tuple[int, int]) -> Check:
    found = platform.python_version()
    if python == (3, 11):
        return Check("Python", "ok", found)
    if (3, 12) <= python < (3, 14):
        return Check("Python", "ok", f"{found}: simulation by the engine local, without TFF")
    return Check("Python", "error", found, "use Python 3.11, 3.12 or 3.13")


def _check_platform() -> Check:
    system, machine = platform.system(), platform.machine()
    found = f"{system} {machine}"
    if (system, machine) == ("Linux", "x86_64"):
        return Check("Platform", "ok", found)
    return Check("Platform", "ok", f"{found}: simulation by the engine local, without TFF")


def _check_worker_binary() -> Check:
    name = "TFF worker"
    spec = importlib.util.find_spec("tensorflow_federated")
    if spec is None or not spec.submodule_search_locations:
        return Check(
            name, "error", "tensorflow-federated is not installed", install_command("simulation")
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / _WORKER_NAME
    if not path.is_file():
        return Check(name, "error", f"no file {path}", install_command("simulation"))
    if not os.access(path, os.X_OK):
        return Check(name, "error", f"{path} is not executable", f"run `chmod +x '{path}'`")
    return Check(name, "ok", str(path))


def _check_cpus() -> Check:
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return Check("CPUs", "ok", str(count))


def _check_memory() -> Check:
    available_bytes = _available_memory_bytes()
    if available_bytes is None:
        return Check("Memory", "ok", "unknown on this system")
    found = f"{available_bytes / _GIB:.1f} GiB available"
    if available_bytes >= _MIN_MEMORY_BYTES:
        return Check("Memory", "ok", found)
    return Check(
        "Memory",
        "warning",
        found,
        f"a run wants about {_MIN_MEMORY_BYTES // _GIB} GiB: end other programs, "
        "or sample fewer devices a round",
    )


def _available_memory_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _check_disk(folder: Path) -> Check:
    free_bytes = shutil.disk_usage(folder).free
    found = f"{free_bytes / _GIB:.1f} GiB free"
    if free_bytes >= _MIN_DISK_BYTES:
        return Check("Disk", "ok", found)
    return Check("Disk", "warning", found, f"free {_MIN_DISK_BYTES // _GIB} GiB in {folder}")


def _check_movielens() -> Check:
    name = "MovieLens-100K"
    cache = cache_folder()
    chosen = os.environ.get("ECCT_DATA")
    folders = [expanded(Path(chosen)), cache] if chosen else [cache]
    for folder in folders:
        copy = _find_movielens(folder)
        if copy is not None:
            return Check(name, "ok", str(copy))
    places = " or ".join(str(folder) for folder in folders)
    return Check(
        name,
        "warning",
        f"no copy in {places}",
        "nothing to do with network access: `ecct simulate` downloads it; else set ECCT_DATA to a "
        "folder that holds it, or run `ecct simulate --dataset synthetic`",
    )


def _find_movielens(folder: Path) -> Path | None:
    for name in _MOVIELENS_FILES:
        for pattern in (name, f"*/{name}", f"*/*/{name}"):
            for path in folder.glob(pattern):
                return path
    return None


def _check_stray_workers() -> Check:
    name = "Stray workers"
    pids = [str(worker.pid) for worker in worker_processes() if worker.orphaned]
    if not pids:
        return Check(name, "ok", "none")
    return Check(
        name,
        "warning",
        f"{_WORKER_NAME} left behind by an ended run: pid {', '.join(pids)}",
        f"run `kill {' '.join(pids)}`",
    )


def _scan_workers(proc: Path) -> Iterator[WorkerProcess]:
    for folder in proc.glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() != _WORKER_NAME:
                continue
            if folder.stat().st_uid != os.getuid():
                continue
            state, parent_pid = _state_and_parent(folder)
            parent_name = (proc / str(parent_pid) / "comm").read_text().strip()
        except OSError:  # it ended while we looked
            continue
        if state == "Z":
            continue
        orphaned = parent_pid != os.getpid() and (parent_pid == 1 or parent_name in _INIT_NAMES)
        yield WorkerProcess(pid=int(folder.name), parent_pid=parent_pid, orphaned=orphaned)


def _state_and_parent(folder: Path) -> tuple[str, int]:
    # `pid (comm) state ppid ...`; comm may itself hold spaces and brackets.
    state, parent_pid = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
    return state, int(parent_pid)
