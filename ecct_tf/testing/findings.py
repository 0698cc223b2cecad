"""What a conformance kit finds, and the error that a failure raises."""

import dataclasses
from collections.abc import Iterable, Sequence

from ecct_tf.errors import EcctError

__all__ = ["CheckFailedError", "ConformanceError", "Finding", "raise_failures"]


class ConformanceError(EcctError, AssertionError):
    """A custom part does not do what the library relies on."""


class CheckFailedError(Exception):
    """A check failed, for a reason."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
      check: its name.
      passed: whether the part passed; None where there was nothing to check.
      told: what was found.
    """

    check: str
    passed: bool | None
    told: str


def raise_failures(findings: Sequence[Finding], *, what: str) -> None:
    """Raises an error that names every failure, if there is one.

    Args:
      findings: of all checks.
      what: was checked.

    Raises:
      ConformanceError: a check failed.
    """
    failures: Iterable[Finding] = [each for each in findings if each.passed is False]
    told = "; ".join(f"{each.check}: {each.told}" for each in failures)
    if told:
        failed = sum(each.passed is False for each in findings)
        raise ConformanceError(f"{what} failed {failed} of {len(findings)} checks: {told}")
