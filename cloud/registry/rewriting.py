"""Puts a rewritten copy of a version in its place: the one thing that changes a committed version.

It is for erasing a user, whose rows must not stay in files that never change otherwise. The copy is
made beside the version, `.000007.rewritten`, and is whole when its manifest is there, which comes
last. Then the version leaves by a rename and the copy enters by another; a kill in between is made
good by whoever reads or changes the registry next.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloud.registry.collection import remove
from cloud.registry.inventory import folder_of
from cloud.registry.manifest import MANIFEST_NAME, Manifest, hash_files, protect
from cloud.registry.promotions import is_folder, sync_folder
from cloud.registry.version import SAVED_MODEL, Version
from ecct_tf.files import write_text

__all__ = ["finish_rewrites", "half_rewritten", "is_served_as_stored", "prepared", "put_in_place"]

_COPY = re.compile(r"\.(\d{6,})\.rewritten")


def prepared(
    versions: Path, version: Version, write: Callable[[Path], None], *, data: Mapping[str, Any]
) -> Path:
    """A whole copy of `version`, beside it.

    Args:
      versions: the folder of all versions.
      version: to copy.
      write: fills the copy's folder.
      data: fields of the manifest's `data` that are added.
    """
    copy = versions / f".{version.number:06d}.rewritten"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    write(copy)
    files = hash_files(copy, settle=True)
    manifest = version.manifest
    renewed = Manifest(
        **{**vars(manifest), "data": {**manifest.data, **data}, "files": files},
    )
    write_text(copy / MANIFEST_NAME, renewed.to_json())
    for folder in (*(path for path in copy.rglob("*") if path.is_dir()), copy):
        sync_folder(folder)
    protect(copy)
    return copy


def put_in_place(versions: Path, copy: Path, *, trash: Path) -> None:
    """The copy takes its version's place; to be called under the registry's lock."""
    target = folder_of(versions, _number(copy))
    if target.exists():
        remove([target], trash=trash)
    copy.rename(target)
    sync_folder(versions)
    shutil.rmtree(trash, ignore_errors=True)


def half_rewritten(versions: Path) -> list[Path]:
    """Whole copies whose version has left: a process is, or was killed, between the renames."""
    if not is_folder(versions):
        return []
    return [
        path
        for path in sorted(versions.glob(".*.rewritten"))
        if _COPY.fullmatch(path.name)
        and (path / MANIFEST_NAME).exists()
        and not folder_of(versions, _number(path)).exists()
    ]


def finish_rewrites(versions: Path, *, trash: Path) -> None:
    """Ends what a kill left: a whole copy whose version has left enters; under the lock."""
    for copy in half_rewritten(versions):
        put_in_place(versions, copy, trash=trash)


def is_served_as_stored(serving: Path, version: Version) -> bool:
    """Whether what TF Serving reads of a version is what the version holds."""
    folder = serving / str(version.number)
    if not folder.is_dir():
        return True
    expected = {
        name.removeprefix(f"{SAVED_MODEL}/"): file
        for name, file in version.manifest.files.items()
        if name.startswith(f"{SAVED_MODEL}/")
    }
    return hash_files(folder) == expected


def _number(copy: Path) -> int:
    found = _COPY.fullmatch(copy.name)
    if found is None:
        raise ValueError(f"{copy}: expected the name of a version's copy")
    return int(found[1])
