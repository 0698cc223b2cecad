"""The promotions: a log of small files, of which the newest is in force.

Promotion number s appears by an exclusive link: of two jobs that both saw s - 1, one gets
the name and the other is told. That holds even where `flock` does nothing. A record carries
a checksum of itself: only the newest must be whole, a damaged older one is named and passed over.
"""

import dataclasses
import logging
import os
import re
import secrets
from collections.abc import Collection, Sequence
from pathlib import Path

from cloud.registry.manifest import utc_now
from ecct_tf.errors import PromotionConflictError, RegistryError
from ecct_tf.files import read_plain_text, write_text
from ecct_tf.sealed_json import seal_json, unseal_json

__all__ = ["Promotion", "PromotionLog", "is_folder", "rollback_target", "sync_folder"]

_log = logging.getLogger(__name__)

_NAME = re.compile(r"(\d{6,})\.json")
_FORMAT = 2
# Records of before had neither format nor checksum.
_UNSEALED_FORMAT = None


@dataclasses.dataclass(frozen=True)
class Promotion:
    """A change of the promoted version.

    Attributes:
      sequence: its place in the log, from 1.
      version: what is promoted from now on.
      previous: what a rollback returns to; None when there is nothing.
      kind: `promote` or `rollback`.
      at: when, ISO 8601 in UTC.
      note: why, in the caller's words.
    """

    sequence: int
    version: int
    previous: int | None
    kind: str
    at: str
    note: str = ""


class PromotionLog:
    """The log in one folder.

    Args:
      folder: where the records lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def records(self) -> tuple[Promotion, ...]:
        """All that are whole, the oldest first; a warning names a damaged one.

        Raises:
          RegistryError: the newest is damaged, which says what is in force, or something else
            lies in the folder's place.
        """
        if not is_folder(self._folder):
            return ()
        paths = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]
        found: list[Promotion] = []
        for path in sorted(paths, key=lambda path: int(path.stem), reverse=True):
            try:
                found.append(_read(path))
            except RegistryError as error:
                if not found:
                    raise RegistryError(
                        f"{error} It is the newest one, which says what is in force. Without a "
                        "copy move it away: that puts the version before it back in force; then "
                        "promote again."
                    ) from error
                _log.warning("%s Until then a rollback may not go back beyond it.", error)
        return tuple(reversed(found))

    def append(
        self,
        records: Sequence[Promotion],
        *,
        version: int,
        previous: int | None,
        kind: str,
        note: str,
    ) -> Promotion:
        """Adds a record after `records`.

        Args:
          records: the log as the caller knows it.
          version: what to promote.
          previous: what a rollback shall return to.
          kind: `promote` or `rollback`.
          note: why.

        Raises:
          PromotionConflictError: when another record was added in between.
        """
        promotion = Promotion(
            sequence=records[-1].sequence + 1 if records else 1,
            version=version,
            previous=previous,
            kind=kind,
            at=utc_now(),
            note=note,
        )
        path = self._folder / f"{promotion.sequence:06d}.json"
        complete = self._folder / f".{path.stem}-{secrets.token_hex(4)}"
        write_text(complete, seal_json({"format": _FORMAT, **dataclasses.asdict(promotion)}))
        try:
            os.link(complete, path)
        except FileExistsError as error:
            raise PromotionConflictError(
                f"version {version} was not promoted: promotion {promotion.sequence} was made by "
                f"another job at the same time ({_read(path)}). Compare with what is promoted "
                "now and try again."
            ) from error
        finally:
            complete.unlink(missing_ok=True)
        sync_folder(self._folder)
        return promotion

    def sweep(self) -> None:
        """Removes what killed writers left; to be called under the registry's lock."""
        if self._folder.is_dir():
            for path in self._folder.glob(".*"):
                path.unlink(missing_ok=True)


def rollback_target(
    records: Sequence[Promotion], number: int, *, stored: Collection[int]
) -> int | None:
    """What a rollback from `number` returns to: the version in force before its promotion.

    Args:
      records: the log, the oldest first.
      number: a version that was promoted.
      stored: the versions that exist; others are passed over, to what was before them.

    Example:
      >>> log = [Promotion(1, 1, None, "promote", ""), Promotion(2, 2, 1, "promote", "")]
      >>> rollback_target(log, 2, stored={1, 2}), rollback_target(log, 1, stored={1, 2})
      (1, None)
    """
    wanted: int | None = number
    for record in reversed(records):
        if record.version == wanted and record.kind == "promote":
            wanted = record.previous
            if wanted is None or (wanted in stored and wanted != number):
                return wanted
    return None


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; False where there is nothing.

    Raises:
      RegistryError: something else lies there. A registry that takes it for nothing would begin
        anew beside what it holds.
    """
    if path.is_dir():
        return True
    if os.path.lexists(path):
        raise RegistryError(
            f"{path}: expected a folder of the registry, found something else. Move it away and "
            "restore the folder from a copy."
        )
    return False


def sync_folder(folder: Path) -> None:
    """Writes a folder's entries through to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Promotion:
    try:
        body = unseal_json(read_plain_text(path), unsealed_formats=(_UNSEALED_FORMAT,))
        found = body.pop("format", _UNSEALED_FORMAT)
        if found not in (_FORMAT, _UNSEALED_FORMAT):
            raise ValueError(f"its format is {found}, expected {_FORMAT}")
        promotion = Promotion(**body)
        if promotion.sequence != int(path.stem):
            raise ValueError(f"it is the record of promotion {promotion.sequence}")
    except (OSError, ValueError, TypeError) as error:
        raise RegistryError(
            f"{path}: expected a record of a promotion: {error}. Restore it from a copy."
        ) from error
    return promotion
