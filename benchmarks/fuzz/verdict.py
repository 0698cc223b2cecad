"""What a case came to."""

import dataclasses
import re
from pathlib import Path
from typing import Literal

__all__ = ["Fault", "Job", "Outcome", "Verdict", "refusal"]

Outcome = Literal["accepted", "refused", "fault"]

_INTERNAL = re.compile(r"^\s*Traceback \(most recent call last\)|Fatal Python error", re.MULTILINE)


class Fault(Exception):  # noqa: N818 - the field's word for what a fuzzer looks for
    """A command did what it must not do."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a case came to.

    Attributes:
      family: `data` or `log`.
      number: the case's.
      kind: what was altered.
      outcome: what the commands made of it.
      why: of a fault what was expected and what came.
      seconds: that it took.
    """

    family: str
    number: int
    kind: str
    outcome: Outcome
    why: str = ""
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Job:
    """A case to run.

    Attributes:
      family: `data`, `log`, or `base`, which makes what `log` cases are copied from.
      seed: of the whole run.
      number: of the case.
      folder: to work in; what is left of it is the caller's.
      base: of `log` cases.
    """

    family: str
    seed: int
    number: int
    folder: Path
    base: Path


def refusal(code: int, said: str) -> str:
    """Checks that a command that did not end with 0 refused in words, and returns them."""
    if code < 0 or code > 130:
        raise Fault(f"expected an exit code from 1 to 130, got {code}")
    if _INTERNAL.search(said):
        raise Fault(f"expected a refusal in words with exit code {code}, got a traceback:\n{said}")
    words = said.strip()
    if len(words) < 10:
        raise Fault(f"expected the reason of exit code {code}, got {words!r}")
    return words
