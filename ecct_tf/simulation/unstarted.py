"""Run folders without a finished round: nothing in them is worth keeping, or blocks a new try."""

import secrets
import shutil
from pathlib import Path

from ecct_tf.locks import FileLock

__all__ = ["discard_if_idle", "discard_unstarted", "is_unstarted"]

_OWN = frozenset(
    {
        *("config.yaml", "environment.json", "status.json", "item_table.npz", "metrics.csv"),
        *("run.log", "candidates_validation.npz", "candidates_test.npz", ".lock"),
        # The last is where the documentation has the uplink log, see `log_folder`.
        *("checkpoints", "events", "uplinks"),
    }
)


def is_unstarted(path: Path) -> bool:
    """Whether `path` is the folder of a run that has not finished a round, nor ended."""
    return (
        (path / "config.yaml").is_file()
        and (path / "status.json").is_file()
        and not (path / "results.csv").exists()
        and not any((path / "checkpoints").glob("round-*"))
        and _lines(path / "metrics.csv") < 2
    )


def discard_unstarted(path: Path) -> bool:
    """Removes the folder of a run without a finished round, if all in it is the run's own.

    A started run, a folder of something else, and one with a file that the run did not
    write stay as they are.

    Returns:
      Whether the folder is gone.
    """
    if not is_unstarted(path) or any(not _own(found.name) for found in path.iterdir()):
        return False
    # Under another name first: a process that looks for its lock meanwhile would make one in it.
    leaving = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    path.rename(leaving)
    shutil.rmtree(leaving)
    return True


def discard_if_idle(path: Path) -> bool:
    """As `discard_unstarted`, unless a process is at the run: the folder of a killed one."""
    if not is_unstarted(path):
        return False
    lock = FileLock(path / ".lock")
    try:
        # In its place: another process may have discarded the folder, and begun its own there.
        return lock.acquire(wait=False) and lock.is_in_place() and discard_unstarted(path)
    except FileNotFoundError:
        return False
    finally:
        lock.release()


def _own(name: str) -> bool:
    return name in _OWN or (name.startswith(".") and name.endswith(".part"))


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0
