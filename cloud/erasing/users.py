"""By which numbers the cloud knows users."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from cloud.registry import Erased, ErasedMarks, Registry, Version
from ecct_tf.errors import DataError, RegistryError
from ecct_tf.files import read_plain_text

__all__ = ["FoundUser", "find_users", "known_users", "marked", "tokens_of"]


@dataclasses.dataclass(frozen=True)
class FoundUser:
    """A user to erase.

    Attributes:
      number: by which uplinks, downlinks and tokens name the user.
      token: the original id; None for a number that no version has given to anybody.
    """

    number: int
    token: str | None


def known_users(registry: Registry) -> dict[int, tuple[str, ...]]:
    """The users of each stored version by its number; versions that no job made have none.

    Raises:
      RegistryError: a version is damaged, so that nobody knows whom it names.
    """
    found = registry.inventory()
    for number, message in found.damaged.items():
        raise RegistryError(
            f"{message} Whom version {number} names cannot be known until then; remove "
            f"{registry.path / 'versions' / f'{number:06d}'} where there is no copy."
        )
    return {version.number: tokens_of(version) for version in found.versions}


def tokens_of(version: Version) -> tuple[str, ...]:
    """The original ids of a version's users, by number.

    Raises:
      RegistryError: its vocabulary cannot be read.
    """
    path = version.path / "vocabulary.json"
    if "vocabulary.json" not in version.manifest.files:
        return ()
    try:
        return tuple(json.loads(read_plain_text(path))["users"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{path}: expected the ids of version {version.number}: {error!r}; restore the version "
            f"from a copy, or remove {version.path}"
        ) from error


def find_users(
    registry: Path, *, tokens: Sequence[str] = (), numbers: Sequence[int] = ()
) -> tuple[FoundUser, ...]:
    """The users by their ids, or by their numbers.

    Args:
      registry: its folder.
      tokens: original ids, of any stored version, or of users who were erased before.
      numbers: as uplinks name users; those of nobody too, whose answers were refused.

    Raises:
      DataError: an id is in no version, or a number stands for several users.
      RegistryError: a version is damaged.
    """
    opened = Registry(registry)
    versions = known_users(opened)
    erased = ErasedMarks(opened.erased_path).read()
    tombstones = {user.number: user.tombstone for user in erased.users}
    found = []
    for token in tokens:
        places = {users.index(token) for users in versions.values() if token in users}
        mark = erased.find(token)
        if mark is not None:
            places.add(mark.number)
        if not places:
            raise DataError(
                f"erase: there is no user {token!r} in any version of {registry}; expected an id "
                "as in the data, or the number of a user whose answers were refused (--number)"
            )
        if len(places) > 1:
            raise DataError(
                f"erase: user {token!r} has the numbers {sorted(places)} in versions of "
                f"{registry}; collect the versions of one of the branches first (ecct cloud gc)"
            )
        found.append(FoundUser(places.pop(), token))
    for number in numbers:
        names = _names(versions, number) - {tombstones.get(number)}
        found.append(FoundUser(number, next(iter(names)) if len(names) == 1 else None))
        _refuse_several(names, number, registry)
    for user in found:
        if user.token is not None:
            names = _names(versions, user.number) - {tombstones.get(user.number)}
            _refuse_several(names | {user.token}, user.number, registry)
    return tuple(dict.fromkeys(found))


def _names(versions: dict[int, tuple[str, ...]], number: int) -> set[str | None]:
    return {users[number] for users in versions.values() if number < len(users)}


def _refuse_several(names: set[str | None], number: int, registry: Path) -> None:
    if len(names) > 1:
        raise DataError(
            f"erase: number {number} stands for {len(names)} users in versions of {registry}, "
            "which came apart after a rollback; collect the versions of one of the branches first "
            "(ecct cloud gc), so that no answer of another user is erased"
        )


def marked(registry: Registry, users: Sequence[FoundUser]) -> Erased:
    """Marks `users`, so that no job learns of them any more, and returns all marks.

    A number that no version has given to anybody may be given to somebody later: it has no mark.
    """
    marks = ErasedMarks(registry.erased_path)
    for user in users:
        if user.token is not None:
            marks.add(user.token, user.number)
    return marks.read()
