"""What a conformance kit finds, and the error that a failure raises."""

import dataclasses
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from ecct_tf.errors import ConfigError, EcctError

__all__ = ["CheckFailedError", "ConformanceError", "Finding", "raise_failures", "words_of"]

# The innermost line of neither the library nor what it rests on is that of the part.
_NOT_THE_PART = sys.stdlib_module_names | {
    *("cloud", "ecct_tf", "mobile_export"),
    *("keras", "numpy", "pandas", "scipy", "tensorflow", "tensorflow_recommenders", "tf_keras"),
}
# TensorFlow names the operator that failed around its own sentence.
_OPERATOR = re.compile(r"\{\{[^}]*\}\} |\s*\[Op:\w+\]( name: \S*)?")


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


def words_of(error: BaseException) -> str:
    """What a part's error says, on one line, and where in the part it was raised.

    Args:
      error: as it was caught by a check.
    """
    words = " ".join(_OPERATOR.sub("", str(error)).split())
    told = words if isinstance(error, ConfigError) else f"{type(error).__name__}: {words}"
    places = [
        f"{Path(frame.f_code.co_filename).name}, line {line}: "
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _NOT_THE_PART
    ]
    return f"{places[-1] if places else ''}{told}"
