"""What is under way in a run as arrays, and back; without anything there are no arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from ecct_tf.federated.changes import Changes
from ecct_tf.federated.under_way import Answers, SentUplinks

__all__ = [
    "LATE",
    "answer_arrays",
    "change_arrays",
    "stored_answers",
    "stored_changes",
    "stored_uplinks",
    "uplink_arrays",
]

Arrays = Mapping[str, npt.NDArray[Any]]

LATE = "under_way"
"""The names of all arrays here begin with it."""


def answer_arrays(answers: Answers) -> dict[str, npt.NDArray[Any]]:
    """Answers of devices."""
    if not len(answers.devices):
        return {}
    return {f"{LATE}/answers/{name}": part for name, part in answers._asdict().items()}


def stored_answers(arrays: Arrays) -> Answers:
    """What `answer_arrays` was given."""
    found = _below(arrays, f"{LATE}/answers")
    return Answers(*(found[name] for name in Answers._fields)) if found else Answers.none()


def uplink_arrays(uplinks: Sequence[SentUplinks]) -> dict[str, npt.NDArray[Any]]:
    """Uplinks, each round of a cohort by itself."""
    return {
        f"{LATE}/uplinks/{place}/{name}": part
        for place, sent in enumerate(uplinks)
        for name, part in sent.to_arrays().items()
    }


def stored_uplinks(arrays: Arrays) -> tuple[SentUplinks, ...]:
    """What `uplink_arrays` was given."""
    found: list[SentUplinks] = []
    while own := _below(arrays, f"{LATE}/uplinks/{len(found)}"):
        found.append(SentUplinks.from_arrays(own))
    return tuple(found)


def change_arrays(changes: Changes, owner: str) -> dict[str, npt.NDArray[Any]]:
    """Changes of the shared weights of `owner`."""
    if not len(changes.devices):
        return {}
    return {f"{LATE}/changes/{owner}/{name}": part for name, part in changes._asdict().items()}


def stored_changes(arrays: Arrays, owner: str) -> Changes:
    """What `change_arrays` was given."""
    found = _below(arrays, f"{LATE}/changes/{owner}")
    return Changes(*(found[name] for name in Changes._fields)) if found else Changes.none()


def _below(arrays: Arrays, prefix: str) -> dict[str, npt.NDArray[Any]]:
    start = f"{prefix}/"
    return {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
