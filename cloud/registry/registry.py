"""The registry itself."""

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud.registry import rewriting
from cloud.registry.collection import Collected, abandoned_drafts, remove, superfluous
from cloud.registry.drafts import Draft, open_draft
from cloud.registry.inventory import (
    Inventory,
    folder_of,
    inventory,
    read_version,
    stored_numbers,
)
from cloud.registry.manifest import (
    MANIFEST_NAME,
    Manifest,
    hash_files,
    library_versions,
    protect,
    utc_now,
)
from cloud.registry.promotions import Promotion, PromotionLog, rollback_target, sync_folder
from cloud.registry.serving_folder import align, served
from cloud.registry.sharing import share_unchanged
from cloud.registry.version import Version
from ecct_tf.errors import PromotionConflictError, RegistryError
from ecct_tf.files import write_text
from ecct_tf.locks import exclusive

__all__ = ["Registry"]

_log = logging.getLogger(__name__)


class Registry:
    """Numbered versions, of which one is promoted.

    Any number of processes may use one registry at once, on a local file system or one whose
    `rename`, `link` and `flock` hold between machines.

    Args:
      path: its folder; made with the first draft.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._versions = self.path / "versions"
        self._drafts = self.path / "drafts"
        self._trash = self.path / "trash"
        self._lock = self.path / "lock"
        self._promotions = PromotionLog(self.path / "promotions")

    @property
    def serving_path(self) -> Path:
        """TF Serving's base path."""
        return self.path / "model"

    @property
    def publications_path(self) -> Path:
        """Where `publish` notes which rounds it opened (`cloud.uplink_log.AskedNotes`)."""
        return self.path / "publications"

    @property
    def forgotten_path(self) -> Path:
        """Where it is noted what is to be forgotten (`cloud.uplink_log.ForgetNotes`)."""
        return self.path / "forgotten"

    @property
    def erased_path(self) -> Path:
        """Where it is noted which users were erased (`ErasedMarks`)."""
        return self.path / "erased"

    def versions(self) -> tuple[Version, ...]:
        """All stored versions with a whole manifest, ascending; a warning names the others."""
        found = self.inventory()
        for message in found.damaged.values():
            _log.warning("%s", message)
        return found.versions

    def inventory(self) -> Inventory:
        """All stored versions, and what is wrong with those whose manifest is damaged."""
        self._settle()
        return inventory(self._versions)

    def numbers(self) -> tuple[int, ...]:
        """The numbers of all stored versions, ascending, damaged ones included."""
        self._settle()
        return stored_numbers(self._versions)

    def version(self, number: int) -> Version:
        """Version `number`.

        Raises:
          RegistryError: when it is not stored, or its manifest is damaged.
        """
        self._settle()
        return read_version(self._versions, number)

    def promoted(self) -> Version | None:
        """The version in force; None before the first promotion.

        Raises:
          RegistryError: when it is damaged.
        """
        records = self._promotions.records()
        return self.version(records[-1].version) if records else None

    def history(self) -> tuple[Promotion, ...]:
        """All promotions and rollbacks, the oldest first."""
        return self._promotions.records()

    def served(self) -> tuple[int, ...]:
        """What lies below `serving_path`: the promoted version alone, unless a job was killed.

        The next change of the registry, `gc` for one, then fixes it.
        """
        return served(self.serving_path)

    def draft(self, *, parents: Sequence[int] = (), name: str | None = None) -> Draft:
        """A folder to fill with a new version.

        Args:
          parents: versions that it is made from; garbage collection leaves them while the
            draft lives.
          name: opens the draft of this name if there is one, so that a job goes on with it
            after a kill; None for a new one.

        Raises:
          RegistryError: when a parent is not stored, or another process has the draft open.
        """
        with self._changing():
            for parent in parents:
                self.version(parent)
            return open_draft(
                self._drafts,
                name=name,
                parents=tuple(parents),
                commit=self._commit,
                discard=self._discard,
            )

    def committed(self, name: str) -> Version | None:
        """The newest version that was made from the draft called `name`; None without one.

        A job that was killed learns from it that its commit was done.
        """
        return next(
            (each for each in reversed(self.versions()) if each.manifest.draft == name), None
        )

    def promote(self, number: int, *, expected: int | None, note: str = "") -> Promotion:
        """Puts version `number` in force if the one in force is `expected`.

        Promoting the version in force changes nothing, so that a job that was killed after
        its promotion may repeat it.

        Args:
          number: the version to promote.
          expected: the version that the caller compared with; None when there was none.
          note: why, for the history.

        Raises:
          PromotionConflictError: when another version is in force: another job was first.
          RegistryError: when the version is not stored, is damaged, or has no SavedModel.
        """
        # Hashing may take long, and what is committed does not change: no lock is needed.
        self._check(self.version(number))
        with self._changing():
            version = self.version(number)
            records = self._promotions.records()
            current = records[-1].version if records else None
            if current == number:
                self._recover()
                return records[-1]
            if current != expected:
                raise PromotionConflictError(
                    f"version {number} was not promoted: expected {_name(expected)} in force, "
                    f"found {_name(current)}: another job changed it. Compare with that one and "
                    "promote again, with expected set to it."
                )
            promotion = self._promotions.append(
                records, version=number, previous=current, kind="promote", note=note
            )
            align(self.serving_path, version, trash=self._trash)
        _log.info("promoted version %d after %s", number, _name(current))
        return promotion

    def rollback(self, *, expected: int | None = None, note: str = "") -> Promotion:
        """Puts the version that was promoted before the one in force back.

        Args:
          expected: the version to take back; None for whichever is in force.
          note: why, for the history.

        Raises:
          PromotionConflictError: when another version than `expected` is in force.
          RegistryError: when there is nothing to return to.
        """
        with self._changing():
            records = self._promotions.records()
            current = records[-1] if records else None
            if current is None or current.previous is None:
                raise RegistryError(
                    f"{self.path}: there is nothing to roll back to: "
                    f"{_name(current.version if current else None)} is in force and no other "
                    "was promoted before it"
                )
            if expected is not None and current.version != expected:
                raise PromotionConflictError(
                    f"version {expected} was not rolled back: version {current.version} is in "
                    f"force, promoted {current.at}. See `ecct cloud versions` and decide again."
                )
            version = self.version(current.previous)
            self._check(version)
            promotion = self._promotions.append(
                records,
                version=version.number,
                previous=rollback_target(records, version.number, stored=self.numbers()),
                kind="rollback",
                note=note,
            )
            align(self.serving_path, version, trash=self._trash)
        _log.info("rolled back from version %d to %d", current.version, version.number)
        return promotion

    def rewrite(
        self, number: int, write: Callable[[Path], None], *, data: Mapping[str, Any]
    ) -> Version:
        """Puts other files in the place of a version's, to erase what it holds of a user.

        A kill leaves the version as it was or as it becomes. A process that reads it at that
        moment finds a file that does not fit the manifest, and reads it again.

        Args:
          number: of the version.
          write: fills the folder that takes the version's place.
          data: fields that are added to the manifest's `data`.

        Raises:
          RegistryError: it is not stored, or damaged.
        """
        version = self.version(number)
        copy = rewriting.prepared(self._versions, version, write, data=data)
        with self._changing():
            rewriting.put_in_place(self._versions, copy, trash=self._trash)
        return self.version(number)

    def sweep(self) -> None:
        """Ends what kills left: rewritten versions, the folder that is served, and the trash.

        Drafts that nobody has open are removed, whatever their age: a job that goes on makes
        its draft anew.

        Raises:
          RegistryError: a job has a draft open.
        """
        with self._changing():
            drafts, _ = abandoned_drafts(self._drafts, hours=0)
            remove(drafts, trash=self._trash)
            records = self._recover()
            if records:
                version = self.version(records[-1].version)
                if not rewriting.is_served_as_stored(self.serving_path, version):
                    stale = self.serving_path / str(version.number)
                    remove([stale], trash=self._trash)
                    align(self.serving_path, version, trash=self._trash)
            shutil.rmtree(self._trash, ignore_errors=True)
            left = sorted(path.name for path in self._drafts.glob("*") if path.is_dir())
        if left:
            raise RegistryError(
                f"{self._drafts / left[0]}: expected no job at work, one has this draft open; wait "
                "for its end, or end it, and give the same command again"
            )

    def gc(self, *, keep: int = 5, draft_hours: float = 24.0) -> Collected:
        """Removes old versions and abandoned drafts, and what killed jobs left.

        Never removed are the version in force, the one a rollback would return to, the
        newest `keep`, and the parents of drafts that live.

        Args:
          keep: how many of the newest versions stay, at least 1.
          draft_hours: a draft that nobody has open goes when it was not written to for so
            long.

        Raises:
          RegistryError: when `keep` is below 1 or `draft_hours` negative.
        """
        if keep < 1 or draft_hours < 0:
            raise RegistryError(
                f"gc: expected keep of at least 1 and draft_hours of at least 0, got {keep} and "
                f"{draft_hours}"
            )
        if not self.path.is_dir():
            raise RegistryError(f"{self.path}: expected a registry, there is no such folder")
        with self._changing():
            records = self._recover()
            drafts, protected = abandoned_drafts(self._drafts, hours=draft_hours)
            if records:
                newest = records[-1]
                protected |= {
                    newest.version,
                    newest.version if newest.previous is None else newest.previous,
                }
            numbers = superfluous(self.numbers(), keep=keep, protected=protected)
            folders = [folder_of(self._versions, number) for number in numbers]
            remove([*folders, *drafts], trash=self._trash)
            self._promotions.sweep()
            shutil.rmtree(self._trash, ignore_errors=True)
        return Collected(numbers, tuple(draft.name for draft in drafts))

    def _commit(
        self,
        draft: Draft,
        *,
        data: Mapping[str, Any],
        config: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> Version:
        files = hash_files(draft.path, settle=True)
        if not files:
            raise RegistryError(
                f"{draft.path}: expected the files of a version, the draft is empty"
            )
        # They stay while the draft is open.
        parents = [each for each in self.versions() if each.number in draft.parents]
        share_unchanged(draft.path, files, parents)
        with self._changing():
            self._versions.mkdir(parents=True, exist_ok=True)
            number = max([0, *self.numbers()]) + 1
            manifest = Manifest(
                number=number,
                created_at=utc_now(),
                parents=draft.parents,
                draft=draft.name,
                data=data,
                config=config,
                metrics=metrics,
                libraries=library_versions(),
                files=files,
            )
            # Beside the content first: what a kill leaves of it must not be committed later.
            written = draft.path.parent / MANIFEST_NAME
            write_text(written, manifest.to_json())
            written.replace(draft.path / MANIFEST_NAME)
            for folder in (*(path for path in draft.path.rglob("*") if path.is_dir()), draft.path):
                sync_folder(folder)
            # Never onto a version: a folder that is not empty cannot be renamed over.
            draft.path.rename(folder_of(self._versions, number))
            sync_folder(self._versions)
            protect(folder_of(self._versions, number))
            remove([draft.path.parent], trash=self._trash)
            shutil.rmtree(self._trash, ignore_errors=True)
        return self.version(number)

    def _settle(self) -> None:
        """Ends a rewrite that was killed between its renames: no version seems to be gone."""
        if rewriting.half_rewritten(self._versions):
            with self._changing():
                pass

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Has the lock."""
        with exclusive(self._lock):
            rewriting.finish_rewrites(self._versions, trash=self._trash)
            yield

    def _discard(self, draft: Draft) -> None:
        with self._changing():
            remove([draft.path.parent], trash=self._trash)
            shutil.rmtree(self._trash, ignore_errors=True)

    def _recover(self) -> tuple[Promotion, ...]:
        """Ends what a killed job began; to be called under the lock. The log as it is."""
        records = self._promotions.records()
        if records and self.served() != (records[-1].version,):
            align(self.serving_path, self.version(records[-1].version), trash=self._trash)
        return records

    def _check(self, version: Version) -> None:
        version.verify()
        if not (version.saved_model / "saved_model.pb").is_file():
            raise RegistryError(
                f"version {version.number}: expected {version.saved_model / 'saved_model.pb'} for "
                "TF Serving, there is none; export it into the draft before the commit"
            )


def _name(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"
