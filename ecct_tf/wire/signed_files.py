"""Checks a folder of `ecct cloud publish`: the signature, and each file that it vouches for."""

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from ecct_tf.errors import SignatureError
from ecct_tf.wire.publication import CURRENT_NAME, Publication
from ecct_tf.wire.sealed import DIGEST_BYTES
from ecct_tf.wire.signing import PublicKey, Signature, check_signature

__all__ = ["CheckedPublication", "check_publication"]


@dataclasses.dataclass(frozen=True)
class CheckedPublication:
    """A publication whose signature and files are as they should be.

    Attributes:
      publication: its content.
      signature: by which key it was signed, and until when it is valid.
      files: how many files it names.
    """

    publication: Publication
    signature: Signature
    files: int


def check_publication(
    folder: Path, keys: Sequence[PublicKey], *, now: float | None = None
) -> CheckedPublication:
    """Reads a publication that one of `keys` signed, once all its files fit it.

    Args:
      folder: of the publication.
      keys: of whom it may be signed by.
      now: seconds since 1970; None asks the clock.

    Raises:
      SignatureError: it is not signed by one of them, or a file is not the one that was signed.
      CodecError: `current.json` is none.
    """
    path = folder / CURRENT_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SignatureError(f"{path}: expected a publication: {error}") from error
    try:
        signature = check_signature(text, keys, now=time.time() if now is None else now)
    except SignatureError as error:
        raise SignatureError(f"{path}: {error}") from error
    publication = Publication.from_json(text)
    files = publication.files
    for file in files:
        try:
            content = (folder / file.path).read_bytes()
        except OSError as error:
            raise SignatureError(
                f"{folder / file.path}: expected a file that {path} names: {error}"
            ) from error
        digest = hashlib.sha256(content[:-DIGEST_BYTES]).hexdigest()
        if (len(content), digest, content[-DIGEST_BYTES:].hex()) != (
            file.num_bytes,
            file.sha256,
            file.sha256,
        ):
            raise SignatureError(
                f"{folder / file.path}: expected the {file.num_bytes} bytes with SHA-256 "
                f"{file.sha256[:16]}… that {signature.fingerprint} signed, found {len(content)} "
                f"with {digest[:16]}…; it was changed; publish again"
            )
    return CheckedPublication(publication, signature, len(files))
