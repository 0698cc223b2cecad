"""Drafts: versions being made, each in a folder of its own until it is committed."""

import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from cloud.registry.version import Version
from ecct_tf.errors import RegistryError
from ecct_tf.files import read_plain_text, write_text
from ecct_tf.locks import FileLock
from ecct_tf.sealed_json import seal_json, unseal_json

__all__ = ["Draft", "open_draft", "parents_of"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FORMAT = 2
_CONTENT, _LOCK, _INFO = "content", "lock", "draft.json"


class _Commit(Protocol):
    def __call__(
        self,
        draft: "Draft",
        *,
        data: Mapping[str, Any],
        config: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> Version: ...


class Draft:
    """A folder to fill, then to commit.

    As a context manager it ends as it should: an unnamed draft that was not committed is
    removed; a named one stays, so that a job that was stopped goes on with it.

    Attributes:
      path: the folder to fill.
      name: what it is called; empty when nobody named it.
      parents: versions that it is made from.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        parents: tuple[int, ...],
        lock: FileLock,
        commit: _Commit,
        discard: Callable[["Draft"], None],
    ) -> None:
        self.path = folder / _CONTENT
        self.name = name
        self.parents = parents
        self._lock = lock
        self._commit = commit
        self._discard = discard
        self._open = True

    def commit(
        self,
        *,
        data: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> Version:
        """Makes the draft the next version, whole or not at all; it is not promoted.

        Args:
          data: what it learned from.
          config: the job's resolved configuration.
          metrics: its quality.

        Raises:
          RegistryError: when the draft is empty, already committed or holds links, or when
            data, config or metrics cannot be written as JSON.
        """
        if not self._open:
            raise RegistryError(
                f"draft {self.path.parent.name}: expected an open draft, it was committed or "
                "discarded; begin another with Registry.draft"
            )
        version = self._commit(self, data=data or {}, config=config or {}, metrics=metrics or {})
        self.close()
        return version

    def discard(self) -> None:
        """Removes the draft; nothing happens after a commit."""
        if self._open:
            # Removed before it is unlocked: nobody can open it half removed.
            self._discard(self)
            self.close()

    def close(self) -> None:
        """Lets another process take the draft over, or garbage collection remove it."""
        self._open = False
        self._lock.release()

    def __enter__(self) -> "Draft":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        if self.name:
            self.close()
        else:
            self.discard()


def open_draft(
    drafts: Path,
    *,
    name: str | None,
    parents: tuple[int, ...],
    commit: _Commit,
    discard: Callable[[Draft], None],
) -> Draft:
    """Makes a draft, or opens the one called `name`; to be called under the registry's lock.

    Raises:
      RegistryError: when the name is none, another process has the draft open, or it was
        begun from other parents.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise RegistryError(
            f"draft {name!r}: expected a name of letters, digits, '.', '_' and '-', not "
            "beginning with a sign"
        )
    folder = drafts / (name or f"unnamed-{secrets.token_hex(6)}")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK)
    if not lock.acquire(wait=False):
        raise RegistryError(
            f"draft {folder.name}: another process has it open ({folder}); wait for its end, or "
            "use another name"
        )
    info = folder / _INFO
    try:
        if info.exists():
            begun = parents_of(folder)
            if begun != parents:
                raise RegistryError(
                    f"draft {folder.name}: it was begun from versions {list(begun)}, expected "
                    f"{list(parents)}; discard it (remove {folder}) or use another name"
                )
        else:
            write_text(info, seal_json({"format": _FORMAT, "parents": list(parents)}))
        (folder / _CONTENT).mkdir(exist_ok=True)
    except BaseException:
        lock.release()
        raise
    return Draft(
        folder, name=name or "", parents=parents, lock=lock, commit=commit, discard=discard
    )


def parents_of(folder: Path) -> tuple[int, ...]:
    """The parents that a draft was begun from; none when it was stopped before they were written.

    Raises:
      RegistryError: when they cannot be read.
    """
    info = folder / _INFO
    try:
        body = unseal_json(read_plain_text(info), unsealed_formats=(None,))
        return tuple(map(int, body["parents"]))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{info}: expected the parents of a draft: {error}; remove {folder}, and give the "
            "job a new folder"
        ) from error
