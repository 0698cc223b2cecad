"""The folder that TF Serving reads: the promoted SavedModel, and nothing that it could prefer.

TF Serving serves the highest number below its base path. A version that is stored but not
promoted, or was rolled back, must therefore not lie there. The files are hard links, so a
promotion copies nothing; where the file system has none they are copies.
"""

import os
import shutil
from pathlib import Path

from cloud.registry.promotions import sync_folder
from cloud.registry.version import Version
from ecct_tf.errors import StorageError

__all__ = ["align", "served"]


def served(folder: Path) -> tuple[int, ...]:
    """The numbers that TF Serving would find, ascending."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()))


def align(folder: Path, version: Version, *, trash: Path) -> None:
    """Makes `version` the only one below `folder`; to be called under the registry's lock.

    The new one appears by a rename before the old one disappears by a rename: at each moment
    there is a whole one. Called again after a kill, it ends what was begun.

    Args:
      folder: TF Serving's base path.
      version: the promoted one.
      trash: where to put what leaves; on the same file system.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / str(version.number)
    if not target.exists():
        # Not below the base path, where a half-made tree could be met.
        prepared = trash / f"serving-{version.number}"
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(version.saved_model, prepared, copy_function=_link)
        except shutil.Error as error:
            # Of many files; the first tells enough.
            source, target_file, why = error.args[0][0]
            raise StorageError(
                f"{target_file}: expected a copy of {source}, the system says: {why}. Free some "
                "room on the disk or fix the permissions; the next change of the registry finishes "
                "this one."
            ) from error
        prepared.rename(target)
        sync_folder(folder)
    for number in served(folder):
        if number != version.number:
            leaving = trash / f"served-{number}"
            shutil.rmtree(leaving, ignore_errors=True)
            (folder / str(number)).rename(leaving)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
