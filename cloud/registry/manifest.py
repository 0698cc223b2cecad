"""The manifest: what a version is made of, from what, and how well it did."""

import dataclasses
import datetime
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecct_tf.errors import RegistryError
from ecct_tf.files import read_plain_text
from ecct_tf.sealed_json import seal_json, unseal_json

__all__ = [
    "MANIFEST_NAME",
    "FileHash",
    "Manifest",
    "hash_files",
    "library_versions",
    "protect",
    "utc_now",
]

MANIFEST_NAME = "manifest.json"

_FORMAT = 2
# The same without a checksum of its own: registries of before go on.
_UNSEALED_FORMAT = 1
_LIBRARIES = (
    "ecct-tf", "keras", "numpy", "scipy", "tensorflow", "tensorflow-recommenders", "tf-keras",
)  # fmt: skip
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class FileHash:
    """A file as it was committed.

    Attributes:
      num_bytes: its length.
      sha256: of its content, in hexadecimal.
    """

    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a registry records of a version.

    Attributes:
      number: the version's number, from 1.
      created_at: when it was committed, ISO 8601 in UTC.
      parents: versions that it was made from; empty for one from scratch.
      draft: name of the draft that it was; empty when that had none.
      data: what it learned from: ranges of history and of the uplink log.
      config: the resolved configuration of the job.
      metrics: its quality, by name.
      libraries: versions of Python and of what it was made with.
      files: each file by its path in the version, with `/`; the manifest not counted.
    """

    number: int
    created_at: str
    parents: tuple[int, ...]
    draft: str
    data: Mapping[str, Any]
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    libraries: Mapping[str, str]
    files: Mapping[str, FileHash]

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.num_bytes for file in self.files.values())

    def to_json(self) -> str:
        """The text of `manifest.json`, with a checksum of its fields.

        Raises:
          RegistryError: when the job's notes hold what JSON cannot say, NaN included.
        """
        body = {"format": _FORMAT, **dataclasses.asdict(self)}
        try:
            return seal_json(body)
        except (TypeError, ValueError) as error:
            raise RegistryError(
                "manifest: expected data, config and metrics of plain texts, finite numbers, "
                f"lists and mappings: {error}; convert arrays with tolist() and scalars with "
                "float() before the commit"
            ) from error

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Reads a `manifest.json`.

        Raises:
          RegistryError: when it is missing, damaged or not one.
        """
        try:
            body = unseal_json(read_plain_text(path), unsealed_formats=(_UNSEALED_FORMAT,))
            found = body.pop("format")
            if found not in (_FORMAT, _UNSEALED_FORMAT):
                raise RegistryError(
                    f"{path}: expected manifest format {_FORMAT}, found {found}; it was "
                    "written by another version of ECCT-TF"
                )
            files = {name: FileHash(**each) for name, each in body.pop("files").items()}
            return cls(**{**body, "parents": tuple(body["parents"]), "files": files})
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RegistryError(
                f"{path}: expected the manifest of a version: {error!r}. A committed version is "
                "never altered: restore the folder from a copy, or promote another version."
            ) from error


def hash_files(folder: Path, *, settle: bool = False) -> dict[str, FileHash]:
    """Length and SHA-256 of every file below `folder`, the manifest not counted.

    Args:
      folder: the version's or draft's.
      settle: also write each file through to the disk.

    Raises:
      RegistryError: when there is anything but plain files and folders.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise RegistryError(
                f"{path}: expected plain files and folders only; a version must not point to "
                "anything outside itself, so copy the file in"
            )
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == MANIFEST_NAME:
            continue
        digest, length = hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                length += len(chunk)
            if settle:
                os.fsync(file.fileno())
        found[name] = FileHash(length, digest.hexdigest())
    return found


def protect(folder: Path) -> None:
    """Makes every file below `folder` read-only for whom could read it before.

    TF Serving's links are the same files.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode & 0o444)


def library_versions() -> dict[str, str]:
    """Python and the installed libraries that decide what a model computes."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def utc_now() -> str:
    """ISO 8601 to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
