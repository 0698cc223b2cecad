"""The conformance kit for methods finds each planted fault, and passes what is sound."""

import dataclasses
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.commands.check import check
from ecct_tf.config import RunConfig, method_names
from ecct_tf.errors import ConfigError
from ecct_tf.federated import RoundReport
from ecct_tf.testing import ConformanceError, check_method, method_findings

PAGE = Path(__file__).parents[2] / "docs" / "extend_method.md"


@pytest.fixture(scope="module")
def page():
    scripts = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    module = types.ModuleType("page_methods")
    for script in scripts:
        if "def test_" not in script:
            exec(script, vars(module))
    return module


def _faulty(page, **changes):
    kind = type("Faulty", (page.Trending,), changes)
    return lambda experiment: kind(experiment, rounds=2)


class _Counter:
    value = 0


def _restless(self):
    _Counter.value += 1
    return np.full(self.experiment.dataset.num_items + 1, _Counter.value, np.float32)


def _in_place(_, state, *, answering, **rest):
    del rest
    state += 1.0
    return state, RoundReport(0, len(answering), 0.0)


def _divided(_, state, *, answering, **rest):
    del rest
    with np.errstate(invalid="ignore", divide="ignore"):
        return state / np.float32(len(answering)), RoundReport(0, len(answering), 0.0)


FAULTS = {
    "start": {"initialize": _restless},
    "round": {"next": _in_place},
    "absent": {"next": _divided},
    "stored": {"from_arrays": lambda _, arrays: arrays["counts"] + np.float32(1.0)},
    "scores": {"scores": lambda _, __, candidates: {"edge": candidates.items * 1.0}},
}


def test_the_method_of_the_page_is_one(page) -> None:
    told = {finding.check: finding.told for finding in check_method(page.trending)}
    # 16 devices, three newest of the five that are for training, four bytes each.
    assert told["round"] == "16 devices, 192 bytes up"
    assert told["scores"] == "edge: 16 rows of 6"
    told = {finding.check: finding.told for finding in check_method(page.following)}
    assert told["scores"] == "everything: 16 rows of 6"


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_alone(page, fault) -> None:
    findings = method_findings(_faulty(page, **FAULTS[fault]))
    assert [finding.check for finding in findings if finding.passed is False] == [fault]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"to_arrays": lambda _, __: {"a": np.array([{}], object)}}, "'a' holds objects"),
        ({"to_arrays": lambda _, state: [state]}, "expected arrays by name, got list"),
        ({"scores": lambda *_: {"phone": None}}, "expected sides out of"),
        (
            {"scores": lambda _, state, candidates: {"edge": np.log(state[candidates.items])}},
            "not finite",
        ),
        ({"next": lambda _, state, **__: (state, None)}, "expected a RoundReport"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_fault_is_told(page, changes, told) -> None:
    with pytest.raises(ConformanceError, match=told):
        check_method(_faulty(page, **changes))


def test_what_is_no_algorithm_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Half:
        rounds: int = 1

        def initialize(self) -> None:
            return None

    with pytest.raises(ConformanceError, match="got Half without next, scores, to_arrays"):
        check_method(lambda _: Half())


def test_no_rounds_are_not_asked_for() -> None:
    told = {finding.check: finding.passed for finding in check_method("popularity")}
    assert told["round"] is None


def test_the_command_checks_a_named_method(page, monkeypatch) -> None:
    from click.testing import CliRunner

    monkeypatch.setitem(sys.modules, "page_methods", page)
    found = CliRunner().invoke(check, ["method", "page_methods:trending"])
    assert found.exit_code == 0, found.output
    assert "192 bytes up" in found.output


@pytest.mark.parametrize("name", ["fedavgg", "my-pkg:run", "ECCT"])
def test_what_names_no_method_is_refused(name) -> None:
    with pytest.raises(ConfigError, match="method: expected a"):
        RunConfig(method=name)


def test_a_package_registers_a_name(monkeypatch) -> None:
    from importlib import metadata

    point = metadata.EntryPoint("trending", "page_methods:trending", "ecct_tf.methods")
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [point])
    assert method_names()["trending"] == "page_methods:trending"
    assert RunConfig(method="trending").method == "trending"
