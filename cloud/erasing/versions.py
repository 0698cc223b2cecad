"""Steps in a registry: versions are rewritten without the users, notes as well."""

import functools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cloud.array_files import read_arrays, write_arrays
from cloud.erasing.places import Step
from cloud.erasing.users import tokens_of
from cloud.ranker_serving import export_ranker_serving
from cloud.redaction import note_of_users, redacted
from cloud.registry import Registry, Version
from cloud.registry.version import SAVED_MODEL
from cloud.retraining.forgetting import forget_knowledge
from cloud.retraining.log_reading import WINDOW
from cloud.serving import ServingContent, export_serving
from cloud.uplink_log import AskedNotes, ForgetNotes, ReplayWindow
from cloud.version_files import StoredCloud

__all__ = ["forget_window", "steps_in_half_notes", "steps_in_notes", "steps_in_versions"]


def steps_in_versions(registry: Registry, tombstones: Mapping[str, str]) -> Iterator[Step]:
    """A step for each version that knows one of the users.

    Args:
      registry: to look at.
      tombstones: what stands in the place of each id.
    """
    for version in registry.versions():
        places = {
            place: tombstones[token]
            for place, token in enumerate(tokens_of(version))
            if token in tombstones
        }
        if places:
            yield Step(
                version.path,
                "id, history, uplinks, embedding, columns",
                "rewritten",
                functools.partial(_rewrite, registry, version, places),
            )


def steps_in_notes(registry: Registry, users: Sequence[int]) -> Iterator[Step]:
    """Steps for what was asked, and for what was to be forgotten."""
    asked, forgotten = AskedNotes(registry.publications_path), ForgetNotes(registry.forgotten_path)
    if count := asked.count_of(users):
        yield Step(
            registry.publications_path,
            f"items that they were asked about, in {count} {'round' if count == 1 else 'rounds'}",
            "rewritten",
            functools.partial(asked.erase, users),
        )
    if count := forgotten.count_of(users):
        yield Step(
            registry.forgotten_path,
            f"answers to forget, in {count} notes",
            "rewritten",
            functools.partial(forgotten.erase, users),
        )

    for folder in (registry.publications_path, registry.forgotten_path):
        yield from steps_in_half_notes(folder)


def steps_in_half_notes(folder: Path) -> Iterator[Step]:
    """A step for what a kill left of notes, which nobody reads: drafts, and arrays of no note."""
    left = [
        *folder.glob(".*.part"),
        *(path for path in folder.glob("*.npz") if not path.with_suffix(".json").exists()),
    ]
    if left:
        yield Step(
            folder, "notes that were half written", "removed", functools.partial(_remove, left)
        )


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def forget_window(path: Path, users: Sequence[int]) -> ReplayWindow:
    """The state of a replay window as if nothing was seen of `users`."""
    window = ReplayWindow.from_arrays(read_arrays(path))
    return window.without(users=np.array(users, np.int64), answers=np.zeros((0, 2), np.int64))


def _rewrite(registry: Registry, version: Version, places: Mapping[int, str]) -> None:
    stored = StoredCloud.of(version)
    tables = None
    if stored.columns is not None:
        own = stored.recommender().model.tables or {}
        tables = {f"model/{name}": whose for name, whose in own.items()}
    left = redacted(stored, places, tables=tables)
    users = sorted(places)
    knowledge = forget_knowledge(
        stored.knowledge, [note_of_users(users)], present=stored.round_number
    )
    registry.rewrite(
        version.number,
        functools.partial(
            _write, version, StoredCloud(**{**vars(left), "knowledge": knowledge}), users
        ),
        data={"erased": int(version.manifest.data.get("erased", 0)) + len(users)},
    )


def _write(version: Version, left: StoredCloud, users: Sequence[int], folder: Path) -> None:
    left.write(folder)
    if (version.path / WINDOW).exists():
        arrays = forget_window(version.path / WINDOW, users).to_arrays()
        write_arrays(folder / WINDOW, arrays, private=True)
    if version.saved_model.exists():
        content = ServingContent.of(left)
        if content.pairs is None:
            export_serving(content, folder / SAVED_MODEL)
        else:
            export_ranker_serving(content, folder / SAVED_MODEL)
    for name in version.manifest.files:
        copied = folder / name
        if not copied.exists() and not name.startswith(f"{SAVED_MODEL}/"):
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(version.path / name, copied)
