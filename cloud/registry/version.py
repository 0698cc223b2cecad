"""One stored version."""

import dataclasses
from pathlib import Path

from cloud.registry.manifest import Manifest, hash_files
from ecct_tf.errors import RegistryError

__all__ = ["SAVED_MODEL", "Version"]

SAVED_MODEL = "saved_model"


@dataclasses.dataclass(frozen=True)
class Version:
    """A committed version; its files never change.

    Attributes:
      path: its folder.
      manifest: what is told of it.
    """

    path: Path
    manifest: Manifest

    @property
    def number(self) -> int:
        """Its number, from 1."""
        return self.manifest.number

    @property
    def saved_model(self) -> Path:
        """Folder of the SavedModel."""
        return self.path / SAVED_MODEL

    def verify(self) -> None:
        """Compares every file with the manifest.

        Raises:
          RegistryError: when a file is missing, damaged or not listed.
        """
        found, expected = hash_files(self.path), self.manifest.files
        wrong = sorted(
            name for name in {*found, *expected} if found.get(name) != expected.get(name)
        )
        if wrong:
            raise RegistryError(
                f"version {self.number}: {len(wrong)} of {len(expected)} files differ from "
                f"{self.path / 'manifest.json'}, the first {wrong[0]}: expected "
                f"{expected.get(wrong[0], 'no such file')}, found "
                f"{found.get(wrong[0], 'nothing')}. Restore it from a copy, or promote another "
                "version."
            )
