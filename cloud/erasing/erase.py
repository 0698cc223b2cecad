"""Plans and takes the steps by which users leave all that the cloud keeps."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence

from cloud.erasing.jobs import job_folders, steps_in_job, steps_in_quarantine
from cloud.erasing.places import Places, Step
from cloud.erasing.publications import steps_in_publication
from cloud.erasing.users import FoundUser, marked
from cloud.erasing.versions import steps_in_half_notes, steps_in_notes, steps_in_versions
from cloud.registry import Erased, ErasedMarks, Registry
from cloud.service.tokens import TokenStore
from cloud.uplink_log import ASKED_FOLDER, AskedNotes, changing_log, erase_from_log, look_in_log
from ecct_tf.errors import DataError

__all__ = ["Erasure", "erase", "plan"]

# A device may have sent an answer while the first look was at work, before its token ended.
_LOOKS = 3


@dataclasses.dataclass(frozen=True)
class Erasure:
    """What was done.

    Attributes:
      steps: in their order.
      unknown: what lies in a log's folder and could not be looked into.
    """

    steps: tuple[Step, ...]
    unknown: tuple[str, ...]


def plan(places: Places, users: Sequence[FoundUser]) -> Erasure:
    """What `erase` would do; nothing is changed.

    Raises:
      DataError: something cannot be read, so that nobody knows whom it names.
      RegistryError: a version is damaged.
    """
    registry = Registry(places.registry)
    erased = ErasedMarks(registry.erased_path).read()
    tombstones = _tombstones(erased, users)
    marks = len(erased.users) + sum(
        user.token is not None and erased.find(user.token) is None for user in users
    )
    numbers = sorted({user.number for user in users})
    steps = _steps(places, registry, numbers, tombstones, marks=marks)
    return Erasure(tuple(steps), _unknown(places, numbers))


def erase(places: Places, users: Sequence[FoundUser]) -> Erasure:
    """Erases users: marks them, takes all steps, and looks again until there are none.

    Interrupted at any moment, it is made good by another call.

    Raises:
      DataError: as `plan`, or answers of the users keep coming.
      RegistryError: as `plan`, or a job is at work.
      RunFolderError: a job is at work.
      StorageError: a job, or a command, reads the log.
    """
    # First of all, so that what a kill leaves is found by the id, and no job learns it anew.
    registry = Registry(places.registry)
    marked(registry, users)
    done: list[Step] = []
    # A job at work is named at once, not after a minute of waiting for its log.
    registry.sweep()
    with contextlib.ExitStack() as held:
        for log in sorted({log.resolve() for log in places.logs if log.is_dir()}):
            # What is being joined has a copy of their answers that no look would find.
            held.enter_context(changing_log(log))
        for _ in range(_LOOKS):
            # Before anything is looked at: a job at work would bring back what is taken away.
            registry.sweep()
            found = plan(places, users)
            if not found.steps:
                return Erasure(tuple(done), found.unknown)
            for step in found.steps:
                step.run()
                done.append(step)
    raise DataError(
        f"erase: there was still something after {_LOOKS} looks, the last in {done[-1].where}; end "
        "what writes there, a service or a job, and give the same command again"
    )


def _tombstones(erased: Erased, users: Sequence[FoundUser]) -> dict[str, str]:
    """By id; of users who are not marked yet, as in a plan, any."""
    found = {}
    for user in users:
        if user.token is not None:
            mark = erased.find(user.token)
            found[user.token] = "erased" if mark is None else mark.tombstone
    return found


def _steps(
    places: Places,
    registry: Registry,
    users: Sequence[int],
    tombstones: dict[str, str],
    *,
    marks: int,
) -> Iterator[Step]:
    for path in places.tokens:
        store = TokenStore(path)
        for user in users:
            if count := sum(grant.user == user for grant in store.grants()):
                what = f"{count} tokens of user {user}"
                yield Step(path, what, "removed", functools.partial(store.erase, user))
        if store.holds_remains():
            yield Step(path, "remains of removed tokens", "removed", store.purge)
    for folder in places.publications:
        yield from steps_in_publication(folder, users, key=places.key)
    for log in places.logs:
        found = look_in_log(log, users)
        if found.records or found.parts:
            what = f"{sum(found.records.values())} answers in {len(found.records)} files"
            yield Step(log, what, "rewritten", functools.partial(erase_from_log, log, users))
        asked = AskedNotes(log / ASKED_FOLDER)
        if count := asked.count_of(users):
            yield Step(
                log / ASKED_FOLDER,
                f"items that they were asked about, in {_rounds(count)}",
                "rewritten",
                functools.partial(asked.erase, users),
            )
        yield from steps_in_half_notes(log / ASKED_FOLDER)
        yield from steps_in_quarantine(log / "quarantine", users)
    for folder in places.quarantines:
        yield from steps_in_quarantine(folder, users)
    for path in places.jobs:
        for job in job_folders(path):
            yield from steps_in_job(job, users, marks=marks)
    yield from steps_in_versions(registry, tombstones)
    yield from steps_in_notes(registry, users)


def _unknown(places: Places, users: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(log / name) for log in places.logs for name in look_in_log(log, users).unknown)


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"
