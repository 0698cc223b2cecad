"""Files that prove themselves: a magic and a format first, the SHA-256 of all before it last."""

import hashlib

from ecct_tf.errors import CodecError

__all__ = ["DIGEST_BYTES", "digest_of", "seal", "unseal"]

DIGEST_BYTES = 32


def seal(body: bytes) -> bytes:
    """`body` followed by its SHA-256."""
    return body + hashlib.sha256(body).digest()


def digest_of(content: bytes) -> str:
    """The SHA-256 that a sealed file ends with, in hexadecimal: its name among files."""
    return content[-DIGEST_BYTES:].hex()


def unseal(content: bytes, *, magic: bytes, format_number: int, what: str) -> bytes:
    """The body of a sealed file, without a copy where it is a view.

    Args:
      content: the file, or a view of it.
      magic: its first bytes.
      format_number: the uint16 after them.
      what: it is, for messages.

    Raises:
      CodecError: when it is damaged, or of another kind or format.
    """
    if content[: len(magic)] != magic:
        raise CodecError(
            f"{what}: expected a file that begins with {magic!r}, got "
            f"{bytes(content[: len(magic)])!r}"
        )
    body, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    computed = hashlib.sha256(body).digest()
    if computed != digest:
        raise CodecError(
            f"{what}: the file is damaged: its {len(content)} bytes have SHA-256 "
            f"{computed.hex()[:16]}…, it says {digest.hex()[:16]}…; fetch it again"
        )
    found = int.from_bytes(body[len(magic) : len(magic) + 2], "little")
    if found != format_number:
        raise CodecError(
            f"{what}: expected format {format_number}, found {found}; it was written by another "
            "version of ECCT-TF"
        )
    return body
