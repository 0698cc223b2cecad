"""Garbage collection: what may go, and how it goes."""

import dataclasses
import logging
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from cloud.registry.drafts import parents_of
from ecct_tf.errors import RegistryError, StorageError
from ecct_tf.locks import FileLock

__all__ = ["Collected", "abandoned_drafts", "remove", "superfluous"]

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Collected:
    """What garbage collection removed.

    Attributes:
      versions: numbers, ascending.
      drafts: names of abandoned drafts.
    """

    versions: tuple[int, ...]
    drafts: tuple[str, ...]


def superfluous(
    numbers: Sequence[int], *, keep: int, protected: Collection[int]
) -> tuple[int, ...]:
    """The versions that may go: neither among the `keep` newest nor protected.

    Args:
      numbers: all stored versions, ascending.
      keep: how many of the newest stay, at least 1, so that no number is given twice.
      protected: versions in use.

    Example:
      >>> superfluous((1, 2, 3, 4, 5), keep=2, protected={2})
      (1, 3)
    """
    return tuple(number for number in numbers[:-keep] if number not in protected)


def abandoned_drafts(drafts: Path, *, hours: float) -> tuple[list[Path], set[int]]:
    """Drafts that nobody has open and nothing was written to for `hours`.

    To be called under the registry's lock, so that nobody opens one meanwhile. A draft whose
    parents cannot be read is named by a warning and protects none: no job can resume it.

    Returns:
      Their folders, and the parents of all other drafts, which are in use.
    """
    abandoned: list[Path] = []
    used: set[int] = set()
    if not drafts.is_dir():
        return abandoned, used
    for folder in sorted(path for path in drafts.iterdir() if path.is_dir()):
        # Before the lock, which may leave a mark in the folder.
        # A clock that was set back, or a file server's that is ahead, writes into the future.
        idle = max(0.0, time.time() - _newest(folder))
        if _is_free(folder) and idle >= 3600 * hours:
            abandoned.append(folder)
            continue
        try:
            used.update(parents_of(folder))
        except RegistryError as error:
            _log.warning("%s", error)
    return abandoned, used


def _is_free(draft: Path) -> bool:
    """Whether no process has a draft open, as far as can be known."""
    lock = FileLock(draft / "lock")
    try:
        return lock.acquire(wait=False)
    except StorageError:
        return False
    finally:
        lock.release()


def remove(paths: Sequence[Path], *, trash: Path) -> None:
    """Moves each folder away at once, so that nobody meets half of it."""
    trash.mkdir(parents=True, exist_ok=True)
    for path in paths:
        leaving = trash / f"{path.parent.name}-{path.name}"
        shutil.rmtree(leaving, ignore_errors=True)
        path.rename(leaving)


def _newest(folder: Path) -> float:
    """When something below `folder` was last written; the lock file says nothing of it."""
    times = [path.stat().st_mtime for path in (folder, *folder.rglob("*")) if path.name != "lock"]
    return max(times)
