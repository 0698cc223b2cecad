"""Versions share the files that did not change: a name more for the content that is there."""

import filecmp
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cloud.registry.manifest import FileHash
from cloud.registry.version import Version

__all__ = ["share_unchanged"]

_log = logging.getLogger(__name__)
# Smaller files take no room worth a link.
_LEAST_BYTES = 1 << 16


def share_unchanged(
    folder: Path, files: Mapping[str, FileHash], parents: Iterable[Version]
) -> tuple[str, ...]:
    """Replaces files of a draft by links to those of its parents that are the same.

    A committed file is never written to: what erases a user writes another one in its place. So
    a version keeps its content whatever becomes of the other.

    Args:
      folder: of the draft.
      files: its files, by name.
      parents: versions that it is made from.

    Returns:
      The names of what is shared now; fewer where the file system has no links.
    """
    shared = []
    for parent in parents:
        for name, file in parent.manifest.files.items():
            if name in shared or files.get(name) != file or file.num_bytes < _LEAST_BYTES:
                continue
            theirs, own = parent.path / name, folder / name
            try:
                # A damaged file must not come into another version.
                if not filecmp.cmp(theirs, own, shallow=False):
                    continue
                link = own.with_name(f".{own.name}.link")
                link.unlink(missing_ok=True)
                os.link(theirs, link)
                link.replace(own)
            except OSError as error:
                _log.debug("%s: not shared with version %d: %s", name, parent.number, error)
                continue
            shared.append(name)
    return tuple(shared)
