"""The files of a publication: each written once, under a name that its content decides."""

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cloud.edge_starts import EdgeStart
from ecct_tf.config import CodecName, Tier, tier_slug
from ecct_tf.edge.start_files import start_file
from ecct_tf.errors import SignatureError
from ecct_tf.files import naming, write_atomically, write_text
from ecct_tf.locks import exclusive
from ecct_tf.plain_text import day_text
from ecct_tf.wire import (
    CURRENT_NAME,
    DownlinkFile,
    Publication,
    PublishedFile,
    PublishedShard,
    PublishedStart,
    digest_of,
)
from ecct_tf.wire.signing import (
    VALID_DAYS,
    Signature,
    SigningKey,
    check_signature,
    sign,
    signature_of,
)

_log = logging.getLogger(__name__)

# Of one publisher's clock from day to day, or of two publishers'.
_CLOCKS_DIFFER_SECONDS = 3_600

__all__ = [
    "PARTS_NAME",
    "check_still_signed",
    "put",
    "put_current",
    "put_each",
    "put_starts",
    "renew",
    "shards_of",
]

PARTS_NAME = ".parts"
"""A folder inside a publication's, for what several processes make of it."""


def put(out: Path, stem: str, suffix: str, content: bytes) -> PublishedFile:
    """Writes a sealed file under a name that its content decides, so that it never changes."""
    digest = digest_of(content)
    path = out / f"{stem}-{digest[:16]}{suffix}"
    if not path.exists():
        write_atomically(path, lambda file: file.write(content))
    return PublishedFile(path.name, len(content), digest)


def shards_of(files: Sequence[PublishedFile], firsts: Sequence[int]) -> tuple[PublishedShard, ...]:
    """Which users each of `files` has, by the first of them; nothing where one has all."""
    if len(files) == 1:
        return ()
    return tuple(PublishedShard(file, first) for file, first in zip(files, firsts, strict=True))


def put_each(out: Path, files: Sequence[PublishedFile]) -> str:
    """Writes a file with the downlink of each user; returns the name of their folder.

    Args:
      out: the folder that devices fetch from.
      files: with the downlinks of many, all there are; their folder takes the first one's name.
    """
    folder = out / Path(files[0].path).stem
    if not folder.exists():
        prepared = out / f".{folder.name}.part"
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.mkdir(parents=True)
        for file in files:
            some = DownlinkFile.from_bytes((out / file.path).read_bytes())
            for key in some.keys.tolist():
                path = prepared / f"{key}.ecdn"
                with naming(path):
                    path.write_bytes(some.only(key).to_bytes())
        prepared.rename(folder)
    return folder.name


def check_still_signed(out: Path, key: SigningKey | None) -> None:
    """Refuses to put something unsigned in the place of a signed publication.

    Raises:
      SignatureError: the publication in `out` is signed, and there is no key.
    """
    current = out / CURRENT_NAME
    if key is not None or not current.exists():
        return
    signature = signature_of(current.read_text(encoding="utf-8"))
    if signature is not None:
        raise SignatureError(
            f"{current}: it is signed by the key {signature.fingerprint}, expected a key to sign "
            "what takes its place, since devices would refuse it otherwise; give --sign KEYFILE"
        )


def put_current(
    out: Path,
    publication: Publication,
    key: SigningKey | None,
    *,
    valid_days: int = VALID_DAYS,
) -> None:
    """Makes a publication current, at once; signed, it is newer than the one before."""
    current, text = out / CURRENT_NAME, publication.to_json()
    if key is not None:
        before = current.read_text(encoding="utf-8") if current.exists() else ""
        text = _signed(text, key, current, valid_days=valid_days, replaces=before)
    write_text(current, text)


def renew(out: Path, key: SigningKey, *, valid_days: int = VALID_DAYS) -> Signature:
    """Signs what is current again, with the same content, so that devices accept it for longer.

    Args:
      out: folder of the publication.
      key: that signed it.
      valid_days: from now on.

    Raises:
      SignatureError: there is none, or it is not signed by `key`.
    """
    current = out / CURRENT_NAME
    if not current.is_file():
        raise SignatureError(f"{current}: expected a publication, there is none")
    with exclusive(out / ".lock"):
        before = current.read_text(encoding="utf-8")
        try:
            # Whether it has expired is no matter here.
            check_signature(before, [key.public], now=0.0)
        except SignatureError as error:
            raise SignatureError(f"{current}: {error}") from error
        text = _signed(before, key, current, valid_days=valid_days, replaces=before)
        write_text(current, text)
    return check_signature(text, [key.public], now=0.0)


def _signed(text: str, key: SigningKey, current: Path, *, valid_days: int, replaces: str) -> str:
    """The text with a signature; warns where the one before is of another clock."""
    now = time.time()
    before = signature_of(replaces)
    if before is not None and before.issued_at > now + _CLOCKS_DIFFER_SECONDS:
        _log.warning(
            "%s: it was signed for %s, and this clock says %s. Devices that accepted it take "
            "nothing that was signed before, so what is published now counts as a second later, "
            "and stays valid %d days from then. If this clock is wrong, set it and publish again. "
            "If that one was, keep this file, which the next publications continue from, and give "
            "devices another key to end what was signed ahead of time",
            current,
            day_text(before.issued_at),
            day_text(int(now)),
            valid_days,
        )
    return sign(text, key, now=now, valid_days=valid_days, replaces=replaces)


def put_starts(
    out: Path, starts: Mapping[Tier, EdgeStart], codec: CodecName
) -> tuple[PublishedStart, ...]:
    """The starting weights of each tier, which devices that never trained fetch.

    Raises:
      RegistryError: they are of an architecture that this release does not build.
    """
    found = []
    for tier, start in sorted(starts.items()):
        file, error = start_file(start.model, start.weights, codec)
        found.append(
            PublishedStart(
                file=put(out, f"start-{tier_slug(tier)}", ".ecsw", file.to_bytes()),
                tier=tier,
                fingerprint=start.fingerprint,
                codec=codec,
                weights=len(start.weights),
                largest_error=error,
            )
        )
    return tuple(found)
