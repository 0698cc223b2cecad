"""Signatures of publications: Ed25519 over `current.json`, and so over every file that it names.

The signature stands at the end of the file, after all that it signs:

    …
      "signature": {"key": "3f6c…", "issued_at": 1790000000, "expires_at": 1797776000,
                    "ed25519": "…"}   (in one line)
    }

What is signed is the text before `, "ed25519"`, byte by byte, with a prefix that no other text of
ours has. So nobody needs to write JSON in one way to check it, and nothing that is not signed can
stand in the file. A later publication is issued at least a second later: who keeps the newest time
that they have seen cannot be given an older one again, and nobody can be given one that has
expired. The package `cryptography` does the arithmetic.
"""

import dataclasses
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecct_tf.errors import MissingPartError, SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "VALID_DAYS",
    "PublicKey",
    "Signature",
    "SigningKey",
    "check_signature",
    "sign",
    "signature_of",
    "unsigned",
]

VALID_DAYS = 90
_DAY_SECONDS = 86_400

_PREFIX = b"ECCT publication 2\n"
_KIND = "ecct-ed25519"
_KEY_BYTES, _SIGNATURE_BYTES, _SHOWN = 32, 64, 16
# At the very end: what follows the signed text, and nothing else.
_TIME = "0|[1-9][0-9]{0,11}"
_TAIL = re.compile(
    r',\n  "signature": \{"key": "(?P<key>[0-9a-f]{16})", '
    rf'"issued_at": (?P<issued>{_TIME}), "expires_at": (?P<expires>{_TIME})'
    r', "ed25519": "(?P<ed25519>[0-9a-f]{128})"\}\n\}\n\Z'
)
_END = "\n}\n"


@dataclasses.dataclass(frozen=True)
class PublicKey:
    """What checks signatures; it may be known to everybody, and lies in every app.

    Attributes:
      content: its 32 bytes.
    """

    content: bytes

    def __post_init__(self) -> None:
        if len(self.content) != _KEY_BYTES:
            raise SignatureError(
                f"public key: expected {_KEY_BYTES} bytes, got {len(self.content)}"
            )

    @property
    def fingerprint(self) -> str:
        """By which a signature names it: the first 16 hexadecimal digits of its SHA-256."""
        return hashlib.sha256(self.content).hexdigest()[:_SHOWN]

    def to_text(self) -> str:
        """The line that a file of it holds."""
        return f"{_KIND} {self.content.hex()}\n"

    @classmethod
    def from_text(cls, text: str) -> "PublicKey":
        """Reads that line.

        Raises:
          SignatureError: it is none.

        >>> key = PublicKey(bytes(32))
        >>> PublicKey.from_text(key.to_text()) == key
        True
        """
        kind, _, digits = text.strip().partition(" ")
        try:
            if kind == _KIND:
                return cls(bytes.fromhex(digits))
        except ValueError:
            pass
        raise SignatureError(
            f"public key: expected a line `{_KIND} …` with {2 * _KEY_BYTES} hexadecimal digits, as "
            f"`ecct cloud keys new` writes it, got {text[:40]!r}"
        )

    @classmethod
    def read(cls, path: Path) -> "PublicKey":
        """Reads the file of a public key.

        Raises:
          SignatureError: there is none.
        """
        try:
            return cls.from_text(path.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise SignatureError(f"{path}: expected a public key: {error}") from error
        except SignatureError as error:
            raise SignatureError(f"{path}: {error}") from error

    def fits(self, signature: bytes, content: bytes) -> bool:
        """Whether the key's owner signed `content`."""
        _need()
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.content).verify(signature, content)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """What makes signatures; it stays where publications are made."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key

    @classmethod
    def new(cls) -> "SigningKey":
        """A new one, of the system's randomness."""
        _need()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path) -> "SigningKey":
        """Reads the file of a key.

        Raises:
          SignatureError: there is none.
        """
        _need()
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise SignatureError(
                f"{path}: expected a key to sign with, as `ecct cloud keys new` writes it: {error}"
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise SignatureError(f"{path}: expected an Ed25519 key, it is of another kind")
        return cls(key)

    def write(self, path: Path) -> None:
        """Writes it as PEM (PKCS 8), readable for its owner alone; an existing file stays.

        Raises:
          SignatureError: there is a file.
        """
        from cryptography.hazmat.primitives import serialization

        content = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise SignatureError(
                f"{path}: expected no file, there is one; a key that is in use must not be lost"
            ) from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)

    @property
    def public(self) -> PublicKey:
        """The key that checks its signatures."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`, 64 bytes."""
        return self._key.sign(content)


@dataclasses.dataclass(frozen=True)
class Signature:
    """What stands at the end of a signed publication.

    Attributes:
      fingerprint: of the key that it names.
      issued_at: when it was signed, in whole seconds since 1970; each of a folder is later than the
        one before.
      expires_at: from when it is refused.
    """

    fingerprint: str
    issued_at: int
    expires_at: int


def sign(
    text: str,
    key: SigningKey,
    *,
    now: float,
    valid_days: int = VALID_DAYS,
    replaces: str = "",
) -> str:
    """The text of a `current.json` with a signature at its end, in the place of an earlier one.

    Args:
      text: to sign.
      key: that signs.
      now: seconds since 1970.
      valid_days: for how long devices accept it.
      replaces: the text that was current before; this one is issued at least a second later.

    Raises:
      SignatureError: it would not be valid at all.
    """
    if valid_days < 1:
        raise SignatureError(f"expected a signature that is valid for a day or more: {valid_days}")
    before = signature_of(replaces)
    issued = int(now) if before is None else max(int(now), before.issued_at + 1)
    expires = issued + valid_days * _DAY_SECONDS
    body, name = unsigned(text).removesuffix(_END), key.public.fingerprint
    named = (
        f'{body},\n  "signature": {{"key": "{name}", "issued_at": {issued}, "expires_at": {expires}'
    )
    return f'{named}, "ed25519": "{key.sign(_PREFIX + named.encode()).hex()}"}}{_END}'


def unsigned(text: str) -> str:
    r"""The text without its signature.

    >>> unsigned('{\n  "format": 1\n}\n')
    '{\n  "format": 1\n}\n'
    """
    found = _TAIL.search(text)
    return text if found is None else text[: found.start()] + _END


def signature_of(text: str) -> Signature | None:
    """What a text says of its signature; None where it is not signed.

    Nothing is proved by it: `check_signature` does that.
    """
    found = _TAIL.search(text)
    if found is None:
        return None
    return Signature(found["key"], int(found["issued"]), int(found["expires"]))


def check_signature(
    text: str, keys: Sequence[PublicKey], *, now: float, newest: int = 0
) -> Signature:
    """The signature of `text`, which one of `keys` made.

    Args:
      text: of a `current.json`.
      keys: of whom it may be signed by.
      now: seconds since 1970.
      newest: when the newest one that was accepted before was issued; 0 for none.

    Raises:
      SignatureError: it is not signed, by another key, was changed afterwards, has expired, or is
        older than one that was accepted.
    """
    known = ", ".join(key.fingerprint for key in keys)
    found, signature = _TAIL.search(text), signature_of(text)
    if found is None or signature is None:
        raise SignatureError(
            f"publication: expected a signature by {known}, it has none, or it is damaged; publish "
            "with --sign, and trust nothing else"
        )
    name = signature.fingerprint
    key = next((key for key in keys if key.fingerprint == name), None)
    if key is None:
        raise SignatureError(
            f"publication: expected a signature by {known}, it is by the key {name}; somebody "
            "else published it, or the key was changed and this side does not know it yet"
        )
    if not key.fits(
        bytes.fromhex(found["ed25519"]), _PREFIX + text[: found.end("expires")].encode()
    ):
        raise SignatureError(
            f"publication: its signature by {name} does not fit its content; it was changed "
            "after it was signed"
        )
    if now >= signature.expires_at:
        raise SignatureError(
            f"publication: its signature by {name} expired {now - signature.expires_at:.0f} "
            "seconds ago; publish again, or `ecct cloud keys renew`, or set the clock of this side"
        )
    if signature.issued_at < newest:
        raise SignatureError(
            f"publication: it was signed {newest - signature.issued_at} seconds before one that "
            "was accepted; somebody gives an older one again, or an old folder was put back: "
            "publish into the folder that has the one that was accepted, from which the next "
            "one is counted"
        )
    return signature


def _need() -> None:
    try:
        import cryptography  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise MissingPartError(
            "signatures need the package cryptography, which is not installed: pip install "
            "'ecct-tf[serve]'"
        ) from error
