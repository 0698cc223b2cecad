"""What lies in a registry's folder of versions: those that are whole, and those that are not."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from cloud.registry.manifest import MANIFEST_NAME, Manifest
from cloud.registry.promotions import is_folder
from cloud.registry.version import Version
from ecct_tf.errors import RegistryError

__all__ = ["Inventory", "folder_of", "inventory", "read_version", "stored_numbers"]


@dataclasses.dataclass(frozen=True)
class Inventory:
    """The stored versions.

    Attributes:
      versions: those with a whole manifest, ascending.
      damaged: what is wrong with each of the others, by number.
    """

    versions: tuple[Version, ...]
    damaged: Mapping[int, str]


def folder_of(versions: Path, number: int) -> Path:
    """Where version `number` lies.

    >>> folder_of(Path("versions"), 7).name
    '000007'
    """
    return versions / f"{number:06d}"


def stored_numbers(versions: Path) -> tuple[int, ...]:
    """The numbers of all folders of versions, ascending; nothing is read."""
    if not is_folder(versions):
        return ()
    return tuple(
        sorted(
            int(path.name)
            for path in versions.iterdir()
            if path.name.isdecimal() and path == folder_of(versions, int(path.name))
        )
    )


def read_version(versions: Path, number: int) -> Version:
    """Version `number`.

    Raises:
      RegistryError: when it is not stored, or its manifest is damaged or another version's.
    """
    folder = folder_of(versions, number)
    if not folder.is_dir():
        stored = ", ".join(map(str, stored_numbers(versions)))
        raise RegistryError(
            f"{versions.parent}: there is no version {number}; stored are {stored or 'none'}"
        )
    manifest = Manifest.read(folder / MANIFEST_NAME)
    if manifest.number != number:
        raise RegistryError(
            f"{folder / MANIFEST_NAME}: expected the manifest of version {number}, got that of "
            f"version {manifest.number}; restore the folder from a copy"
        )
    return Version(folder, manifest)


def inventory(versions: Path) -> Inventory:
    """Reads all manifests; a damaged one is reported and hides no other."""
    whole: list[Version] = []
    damaged: dict[int, str] = {}
    for number in stored_numbers(versions):
        try:
            whole.append(read_version(versions, number))
        except RegistryError as error:
            # Garbage collection may take one between the list and the look.
            if folder_of(versions, number).exists():
                damaged[number] = str(error)
    return Inventory(tuple(whole), damaged)
