"""What devices may fetch of a publication: files that prove themselves, and their own downlink.

The file with the downlinks of all users is never offered, nor what is not named as a publication
names its files. Each sealed file is checked once before it is served, so that a torn one is not.
"""

import dataclasses
import hashlib
import re
import threading
from pathlib import Path

from ecct_tf.errors import CodecError
from ecct_tf.wire import CURRENT_NAME, DownlinkFile, Publication, PublishedFile, digest_of

__all__ = ["DamagedOfferError", "Offer", "Offers"]

# `downlinks-…` holds everybody's, and is not among them.
_PUBLISHED = re.compile(
    r"(items|items-delta|segments|start)(-[A-Za-z0-9_.+-]{1,120})?-[0-9a-f]{16}\.(ecit|ecid|ecdn|ecsw)"
)
# Of shards of downlinks that stay in memory; a file that has all of them stays, however large.
_KEPT_BYTES = 1 << 28
# What nobody else gets, or is small, goes as it is.
_COMPRESSIBLE = (".ecit", ".ecid", ".ecsw", ".tflite")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,200}\.tflite|manifest\.json")


class DamagedOfferError(CodecError):
    """A published file is not what its name or its checksum says; it is not served."""


@dataclasses.dataclass(frozen=True)
class Offer:
    """Something to send.

    Attributes:
      content: its bytes, or the file that holds them.
      num_bytes: how many.
      etag: its entity tag, which its content decides.
      lasting: whether what has its name never changes.
      compressible: whether it is a file that may be sent compressed.
    """

    content: bytes | Path
    num_bytes: int
    etag: str
    lasting: bool
    compressible: bool = False

    def read(self) -> bytes:
        """Its bytes.

        Raises:
          DamagedOfferError: the file that holds them is no longer what it was.
        """
        if isinstance(self.content, bytes):
            return self.content
        try:
            return _proven(self.content)
        except OSError as error:
            raise DamagedOfferError(
                f"{self.content}: it cannot be read any more: {error}"
            ) from error


class Offers:
    """The files of a publication, as they are when they are asked for.

    Threads may share it.

    Args:
      folder: that `ecct cloud publish` writes.
      models: of exported files, with their manifest; None for none.
    """

    def __init__(self, folder: Path, *, models: Path | None = None) -> None:
        self._folder = folder
        self._models = models
        self._lock = threading.Lock()
        self._sound: dict[tuple[str, int, int], str] = {}
        self._current: tuple[bytes, Publication] | None = None
        self._downlinks: dict[str, DownlinkFile] = {}

    def publication(self) -> Publication:
        """What is current.

        Raises:
          DamagedOfferError: nothing is published, or `current.json` is none.
        """
        return self._read_current()[1]

    def current(self) -> Offer:
        """`current.json`; raises as `publication`."""
        content = self._read_current()[0]
        return Offer(
            content, len(content), _tag(hashlib.sha256(content).hexdigest()), lasting=False
        )

    def file(self, name: str) -> Offer | None:
        """A published file by its name; None for one that there is not, or that is not offered.

        Raises:
          DamagedOfferError: it is damaged.
        """
        if not _PUBLISHED.fullmatch(name):
            return None
        return self._sealed(self._folder / name)

    def model(self, name: str) -> Offer | None:
        """An exported file or its manifest; None for one that there is not."""
        if self._models is None or not _MODEL.fullmatch(name):
            return None
        path = self._models / name
        try:
            content = path.read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            return None
        # Names of exported files stay while their content changes.
        return Offer(
            content,
            len(content),
            _tag(hashlib.sha256(content).hexdigest()),
            lasting=False,
            compressible=name.endswith(_COMPRESSIBLE),
        )

    def downlink(self, user: int) -> Offer | None:
        """The downlink of one user; None for one whom the publication does not know.

        Raises:
          DamagedOfferError: the publication, or its downlinks, are damaged.
        """
        publication = self.publication()
        some = self._read_downlinks(publication, publication.downlinks_of(user))
        try:
            content = some.only(user).to_bytes()
        except CodecError:
            return None
        return Offer(content, len(content), _tag(digest_of(content)), lasting=False)

    def _read_current(self) -> tuple[bytes, Publication]:
        try:
            content = (self._folder / CURRENT_NAME).read_bytes()
        except OSError as error:
            raise DamagedOfferError(
                f"{self._folder}: expected a publication: {error}; `ecct cloud publish` makes one"
            ) from error
        known = self._current
        if known is not None and known[0] == content:
            return known
        try:
            found = content, Publication.from_json(content.decode("utf-8"))
        except (CodecError, UnicodeDecodeError) as error:
            raise DamagedOfferError(f"{self._folder / CURRENT_NAME}: {error}") from error
        self._current = found
        return found

    def _read_downlinks(self, publication: Publication, file: PublishedFile) -> DownlinkFile:
        """The downlinks of `file`; those that were read lately stay, up to a bound."""
        with self._lock:
            named = {each.path for each in publication.downlink_files}
            for path in [*self._downlinks]:
                if path not in named:
                    del self._downlinks[path]
            found = self._downlinks.pop(file.path, None)
            if found is None:
                try:
                    content = (self._folder / file.path).read_bytes()
                    if digest_of(content) != file.sha256:
                        raise CodecError("it is not the file that the publication names")
                    found = DownlinkFile.from_bytes(content)
                except (OSError, CodecError) as error:
                    raise DamagedOfferError(f"{self._folder / file.path}: {error}") from error
            self._downlinks[file.path] = found
            # The first is the one that was not asked for longest.
            while len(self._downlinks) > 1 and self._kept_bytes() > _KEPT_BYTES:
                del self._downlinks[next(iter(self._downlinks))]
            return found

    def _kept_bytes(self) -> int:
        return sum(each.keys.nbytes + each.records.nbytes for each in self._downlinks.values())

    def _sealed(self, path: Path) -> Offer | None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        key = path.name, status.st_size, status.st_mtime_ns
        digest = self._sound.get(key)
        if digest is None:
            digest = digest_of(_proven(path))
            self._sound[key] = digest
        return Offer(
            path,
            status.st_size,
            _tag(digest),
            lasting=True,
            compressible=path.name.endswith(_COMPRESSIBLE),
        )


def _proven(path: Path) -> bytes:
    """The content of a sealed file, once the SHA-256 at its end and the file's name fit it."""
    content = path.read_bytes()
    digest = digest_of(content)
    if hashlib.sha256(content[:-32]).hexdigest() != digest or not path.stem.endswith(digest[:16]):
        raise DamagedOfferError(
            f"{path}: the file is damaged: its checksum or its name does not fit its "
            f"{len(content)} bytes; remove it and publish again"
        )
    return content


def _tag(digest: str) -> str:
    return f'"{digest}"'
