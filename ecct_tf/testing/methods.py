"""The conformance kit for methods: what a run, its checkpoints and its tables rely on."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import (
    DataConfig,
    EvaluationConfig,
    RunConfig,
    is_own_method,
    method_target,
)
from ecct_tf.data import Dataset
from ecct_tf.federated import Algorithm, RoundReport
from ecct_tf.plugins import find_function
from ecct_tf.simulation.experiment import Experiment, build_experiment
from ecct_tf.simulation.own_methods import check_algorithm
from ecct_tf.testing.cloud_data import SMALL_SHOP
from ecct_tf.testing.findings import CheckFailedError, Finding, raise_failures, words_of

__all__ = ["check_method", "method_findings"]

Build = Callable[[Experiment], Algorithm[Any]]
Arrays = dict[str, npt.NDArray[Any]]

_SIDES = {"edge", "cloud", "everything"}


def check_method(
    method: str | Build, data: Dataset = SMALL_SHOP, *, seed: int = 0
) -> tuple[Finding, ...]:
    """Checks a method, for the tests of the package that brings it.

    Args:
      method: its name, as in the setting `method`, or its function.
      data: a small data set.
      seed: of the run.

    Returns:
      What was found.

    Raises:
      ConformanceError: it failed in anything; the message names every failure.

    >>> [finding.check for finding in check_method("popularity")]
    ['build', 'start', 'round', 'absent', 'stored', 'scores']
    """
    findings = method_findings(method, data, seed=seed)
    name: object = method
    if not isinstance(method, str):
        name = getattr(method, "__qualname__", method)
    raise_failures(findings, what=f"method {name!r}")
    return findings


def method_findings(
    method: str | Build, data: Dataset = SMALL_SHOP, *, seed: int = 0
) -> tuple[Finding, ...]:
    """What each check of `check_method` finds; nothing is raised for a failure.

    Args:
      method: its name, as in the setting `method`, or its function.
      data: a small data set.
      seed: of the run.
    """
    try:
        case = _Case.of(method, data, seed=seed)
    except Exception as error:
        rest = [Finding(name, None, "there is no method") for name in _CHECKS]
        return (Finding("build", False, words_of(error)), *rest)
    made = case.algorithm
    findings = [Finding("build", True, f"{made.rounds} rounds of {made.num_devices} devices")]
    for name, check in _CHECKS.items():
        try:
            found = check(case)
            findings.append(Finding(name, None if found is None else True, found or "no rounds"))
        except CheckFailedError as failure:
            findings.append(Finding(name, False, str(failure)))
        except Exception as error:
            findings.append(Finding(name, False, words_of(error)))
    return tuple(findings)


@dataclasses.dataclass(frozen=True, eq=False)
class _Case:
    """A method that is built for a small experiment."""

    build: Build
    experiment: Experiment
    algorithm: Algorithm[Any]

    @classmethod
    def of(cls, method: str | Build, data: Dataset, *, seed: int) -> "_Case":
        named = method if isinstance(method, str) and is_own_method(method) else "ecct"
        experiment = build_experiment(
            RunConfig(
                method=named,
                rounds=2,
                seed=seed,
                data=DataConfig(dataset="synthetic"),
                evaluation=EvaluationConfig(negatives=5, k=3),
            ),
            dataset=data,
        )
        build = _builder(method)
        algorithm = check_algorithm(build(experiment), what="method")
        return cls(build, experiment, algorithm)

    def arrays(self, state: Any) -> Arrays:
        """A copy of all that a checkpoint would hold of a state."""
        found = self.algorithm.to_arrays(state)
        if not isinstance(found, Mapping):
            raise CheckFailedError(
                f"to_arrays: expected arrays by name, got {type(found).__name__}"
            )
        arrays = {name: np.array(np.asarray(value)) for name, value in found.items()}
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise CheckFailedError(f"to_arrays: {name!r} holds objects, which no file keeps")
        return arrays

    def round(self, state: Any, *, number: int = 0, answering: bool = True) -> tuple[Any, Any]:
        """A round in which all devices take part and all or none of them answer."""
        everyone = np.arange(self.algorithm.num_devices, dtype=np.int64)
        after, report = self.algorithm.next(
            state,
            round_number=number,
            participants=everyone,
            answering=everyone if answering else everyone[:0],
        )
        if not isinstance(report, RoundReport):
            raise CheckFailedError(f"next: expected a RoundReport, got {type(report).__name__}")
        return after, report

    def scores(self, state: Any) -> dict[str, npt.NDArray[Any]]:
        """Scores of each side for the test candidates."""
        found = self.algorithm.scores(state, self.experiment.test)
        return {side: np.asarray(values) for side, values in found.items()}


def _builder(method: str | Build) -> Build:
    if not isinstance(method, str):
        return method
    if is_own_method(method):
        from ecct_tf.simulation.methods import build_algorithm

        return build_algorithm
    found: Build = find_function(method_target(method, setting="method"), what=f"method {method!r}")
    return found


def _start(case: _Case) -> str:
    """The state before the first round is a function of the seed."""
    first = case.arrays(case.algorithm.initialize())
    _same(first, case.arrays(case.algorithm.initialize()), "initialize twice")
    return f"{len(first)} arrays"


def _round(case: _Case) -> str | None:
    """A round is a function of state, participants and number, and leaves its state alone."""
    if not case.algorithm.rounds:
        return None
    state = case.algorithm.initialize()
    before = case.arrays(state)
    after, report = case.round(state)
    _same(before, case.arrays(state), "the state that next was given, before and after it")
    again, repeated = case.round(state)
    _same(case.arrays(after), case.arrays(again), "next twice from one state")
    if repeated != report and not np.isnan(report.train_loss):
        raise CheckFailedError(f"next twice from one state reported {report} and {repeated}")
    if report.devices != case.algorithm.num_devices:
        raise CheckFailedError(
            f"next: expected a report of the {case.algorithm.num_devices} devices that answered, "
            f"got {report.devices}"
        )
    return f"{report.devices} devices, {report.uplink_bytes + report.weights_up_bytes:,} bytes up"


def _absent(case: _Case) -> str | None:
    """A round without answers does no harm."""
    if not case.algorithm.rounds:
        return None
    after, report = case.round(case.algorithm.initialize(), answering=False)
    if report.devices:
        raise CheckFailedError(f"nobody answered, and the report has {report.devices} devices")
    for name, array in case.arrays(after).items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckFailedError(f"nobody answered, and {name!r} has numbers that are not finite")
    return "nobody answers, all stays finite"


def _stored(case: _Case) -> str:
    """Another build goes on from the arrays of a state as this one does from the state."""
    state = case.algorithm.initialize()
    if case.algorithm.rounds:
        state, _ = case.round(state)
    arrays = case.arrays(state)
    other = dataclasses.replace(case, algorithm=case.build(case.experiment))
    restored = other.algorithm.from_arrays(arrays)
    _same(arrays, other.arrays(restored), "to_arrays of the state that from_arrays made")
    if case.algorithm.rounds:
        state, restored = case.round(state, number=1)[0], other.round(restored, number=1)[0]
        _same(case.arrays(state), other.arrays(restored), "a round from a state and its arrays")
    _same(case.scores(state), other.scores(restored), "scores of a state and of its arrays")
    return f"{sum(array.nbytes for array in arrays.values()):,} bytes"


def _scores(case: _Case) -> str:
    """Scores are finite, one a candidate, and a function of the state."""
    state = case.algorithm.initialize()
    found, shape = case.scores(state), case.experiment.test.items.shape
    unknown = sorted(set(found) - _SIDES)
    if unknown or not found:
        raise CheckFailedError(f"expected sides out of {sorted(_SIDES)}, got {sorted(found)}")
    for side, values in found.items():
        if values.shape != shape or values.dtype != np.float32:
            raise CheckFailedError(
                f"{side}: expected {list(shape)} float32, got {list(values.shape)} {values.dtype}"
            )
        if not np.isfinite(values).all():
            raise CheckFailedError(f"{side}: there are scores that are not finite")
    _same(found, case.scores(state), "scores twice")
    return f"{', '.join(sorted(found))}: {shape[0]} rows of {shape[1]}"


_CHECKS: Mapping[str, Callable[[_Case], str | None]] = {
    "start": _start,
    "round": _round,
    "absent": _absent,
    "stored": _stored,
    "scores": _scores,
}


def _same(first: Arrays, second: Arrays, what: str) -> None:
    if set(first) != set(second):
        raise CheckFailedError(f"{what}: {sorted(set(first) ^ set(second))} is in one of the two")
    for name, array in first.items():
        if array.shape != second[name].shape or array.tobytes() != second[name].tobytes():
            raise CheckFailedError(f"{what}: {name!r} differs")
