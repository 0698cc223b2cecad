"""Notes in a registry what the next job is to forget."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud.registry import Registry
from cloud.retraining.config import JobConfig
from cloud.retraining.forgetting import forget_knowledge
from cloud.uplink_log import ForgetNotes, log_files, note_of, reading_log
from cloud.version_files import StoredCloud
from ecct_tf.errors import ConfigError, DataError

__all__ = ["ForgetRequest", "request"]


@dataclasses.dataclass(frozen=True)
class ForgetRequest:
    """What was noted.

    Attributes:
      answers: in the log that are to be forgotten.
      held: users of whom the version in force knows one of them.
      version: number of that version; None when none is in force.
    """

    answers: int
    held: int
    version: int | None


def request(
    config: JobConfig,
    *,
    users: Sequence[str],
    files: Sequence[str],
    since_seconds: int | None,
) -> ForgetRequest:
    """Notes what is to be forgotten of the log of `config`, as it is now.

    Args:
      config: the job, for its log and its registry.
      users: original ids.
      files: names of files of the log, or their paths.
      since_seconds: answers that were made then or later, in seconds since 1970, UTC.

    Raises:
      ConfigError: nothing was named, or the job has no log.
      DataError: a user is in no version, or a file not in the log.
    """
    if not users and not files and since_seconds is None:
        raise ConfigError(
            "forget: expected users, files or a time, got none; give --user, --file or --since"
        )
    if config.uplinks is None:
        raise ConfigError("forget: the job names no uplink log; set `uplinks` in job.yaml")
    registry, log = Registry(config.registry), Path(config.uplinks)
    promoted = registry.promoted()
    stored = None if promoted is None else StoredCloud.of(promoted)
    numbers = {} if stored is None else {u: n for n, u in enumerate(stored.vocabulary.users)}
    unknown = [user for user in users if user not in numbers]
    if unknown:
        raise DataError(
            f"forget: there is no user {unknown[0]!r} in the version in force of {registry.path}; "
            f"expected ids as in the data, one of {len(numbers)} such as {[*numbers][:3]}"
        )
    # A file must not be joined before the note that names it is there.
    with reading_log(log):
        note = note_of(
            log,
            log_files(log),
            users=[numbers[user] for user in users],
            whole_files=[_name(file, log) for file in files],
            since_seconds=since_seconds,
        )
        held = 0
        if stored is not None:
            left = forget_knowledge(stored.knowledge, [note], present=stored.round_number)
            held = int(np.count_nonzero((stored.knowledge.rounds >= 0) & (left.rounds < 0)))
        ForgetNotes(registry.forgotten_path).add(note)
    return ForgetRequest(len(note.answers), held, None if promoted is None else promoted.number)


def _name(file: str, log: Path) -> str:
    """The name in the log of what was given as a name or a path."""
    path, folder = Path(file).resolve(), log.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else file
