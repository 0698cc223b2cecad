"""Which users a registry was told to erase: marks that recognise their ids without keeping them.

A mark has the number that the user had, what stands in the place of the id in vocabularies, and a
salted SHA-256 of the id. Jobs leave the history of such a user out, should the data still have it,
and take no answer of the number. Once the data no longer have the user, a mark may be removed.

    salt.json    the salt of all marks
    000001.json  number, tombstone and hash of one user
"""

import dataclasses
import hashlib
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecct_tf.errors import DataError
from ecct_tf.files import write_text
from ecct_tf.locks import exclusive
from ecct_tf.sealed_json import seal_json, unseal_json

__all__ = ["Erased", "ErasedMarks", "ErasedUser"]

_NAME = re.compile(r"\d{6,}\.json")


@dataclasses.dataclass(frozen=True)
class ErasedUser:
    """One user that was erased.

    Attributes:
      number: by which the cloud knew the user; nobody else ever gets it.
      tombstone: what stands in the place of the id.
      digest: SHA-256 of salt and id, in hexadecimal.
    """

    number: int
    tombstone: str
    digest: str


@dataclasses.dataclass(frozen=True)
class Erased:
    """All users that were erased, the first of them first.

    Attributes:
      users: their marks.
      salt: of the hashes, in hexadecimal.
    """

    users: tuple[ErasedUser, ...] = ()
    salt: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Whose answers count no more."""
        return tuple(user.number for user in self.users)

    def find(self, token: str) -> ErasedUser | None:
        """The mark of an original id; None where there is none."""
        digest = _digest(self.salt, token)
        return next((user for user in self.users if user.digest == digest), None)

    def places(self, tokens: Sequence[str]) -> dict[int, str]:
        """The tombstone of each erased user among `tokens`, by its place there.

        >>> Erased().places(["u17"])
        {}
        """
        if not self.users:
            return {}
        known = {user.digest: user.tombstone for user in self.users}
        digests = (_digest(self.salt, token) for token in tokens)
        return {place: known[digest] for place, digest in enumerate(digests) if digest in known}


class ErasedMarks:
    """The marks in one folder.

    Args:
      folder: where they lie; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Erased:
        """All marks.

        Raises:
          DataError: one cannot be read: a job must not learn of a user who was erased.
        """
        paths = self._paths()
        if not paths:
            return Erased()
        salt = str(_read(self._salt)["salt"])
        users = (_read(path) for path in paths)
        return Erased(
            tuple(ErasedUser(int(u["number"]), u["tombstone"], u["digest"]) for u in users), salt
        )

    def add(self, token: str, number: int) -> ErasedUser:
        """Marks a user; one that is marked stays as it is."""
        with exclusive(self._folder / ".lock"):
            if not self._salt.exists():
                write_text(self._salt, seal_json({"salt": secrets.token_hex(32)}))
            known = self.read()
            found = known.find(token)
            if found is not None:
                return found
            salt = str(_read(self._salt)["salt"])
            mark = ErasedUser(number, f"erased-{secrets.token_hex(8)}", _digest(salt, token))
            paths = self._paths()
            name = f"{int(paths[-1].stem) + 1 if paths else 1:06d}.json"
            write_text(self._folder / name, seal_json(dataclasses.asdict(mark)))
        return mark

    @property
    def _salt(self) -> Path:
        return self._folder / "salt.json"

    def _paths(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        found = (path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
        return sorted(found, key=lambda path: int(path.stem))


def _digest(salt: str, token: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + token.encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        return unseal_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected the mark of a user who was erased: {error}; restore it from a copy: "
            "a job must not learn of a user who was erased"
        ) from error
