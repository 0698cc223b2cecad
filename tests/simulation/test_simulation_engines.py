"""Runs by the local engine: resumed to the last bit, and by either engine."""

import json
import logging
import sys

import numpy as np
import pytest

from ecct_tf.config import RuntimeConfig
from ecct_tf.federated import chosen_engine
from ecct_tf.simulation import engines
from ecct_tf.simulation.loop import Callback
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate

TFF = chosen_engine() == "tff"
needs_tff = pytest.mark.skipif(not TFF, reason="TFF is not installed")


class StopAfterOne(Callback):
    def on_round(self, result, state):
        del result, state
        raise KeyboardInterrupt


def _stopped(config, out):
    with pytest.raises(KeyboardInterrupt):
        simulate(config, out=out, callbacks=[StopAfterOne()])


def _recorded(out):
    environment = json.loads((out / "environment.json").read_text("utf-8"))
    return [environment["engine"], *(part["engine"] for part in environment["resumed"])]


def _last(out):
    return RunFolder.open(out).checkpoints.newest().arrays


@pytest.fixture(scope="module")
def federated(small_config):
    """A run without a cloud to fit."""

    def make(engine, *more):
        own = ("federated_baseline.rounds=2", "federated_baseline.embedding_dim=4")
        return small_config("method=fedavg", f"runtime.engine={engine}", *own, *more)

    return make


def test_a_local_run_is_resumed_to_the_last_bit(federated, tmp_path):
    config = federated("local")
    simulate(config, out=tmp_path / "undisturbed")
    _stopped(config, tmp_path / "run")
    resume(tmp_path / "run")
    expected, found = _last(tmp_path / "undisturbed"), _last(tmp_path / "run")
    assert {name: array.tobytes() for name, array in expected.items()} == {
        name: array.tobytes() for name, array in found.items()
    }
    assert _recorded(tmp_path / "run") == ["local", "local"]


@pytest.mark.skipif(TFF, reason="TFF is installed, and computes whole runs in other tests")
def test_a_run_of_ecct_without_tff(small_config, tmp_path):
    small = ("rounds=1", "edge.tiers={mlp: 1.0}", "cloud.fit_epochs=1", "cloud.next_item.epochs=0")
    result = simulate(small_config(*small), out=tmp_path / "run")
    assert {row.side for row in result.rows} == {"edge", "cloud"}
    assert RunFolder.open(tmp_path / "run").status == "complete"
    assert _recorded(tmp_path / "run") == ["local"]
    assert "tensorflow_federated" not in sys.modules


@pytest.mark.slow
@needs_tff
@pytest.mark.parametrize("method", ["fedavg", "pfedrec", "fedrecon", "fedmd"])
def test_a_baseline_by_two_workers_ends_like_that_of_one(method, small_config):
    own = ("federated_baseline.rounds=2", "federated_baseline.embedding_dim=4")
    options = (f"method={method}", "runtime.engine=tff", *own)
    one, two = (
        simulate(small_config(*options, *more)).state
        for more in ((), ("runtime.workers=[local, local]",))
    )
    for name, expected in one.server._asdict().items():
        np.testing.assert_array_equal(getattr(two.server, name), expected, err_msg=name)


@pytest.mark.slow
@needs_tff
@pytest.mark.parametrize(("first", "then"), [("tff", "local"), ("local", "tff")])
def test_a_run_may_be_resumed_by_the_other_engine(first, then, federated, tmp_path, caplog):
    config = federated(first, "exchange.weights_codec=float32")
    undisturbed = simulate(config).state
    _stopped(config, tmp_path / "run")
    with caplog.at_level(logging.WARNING, "ecct_tf"):
        state = resume(tmp_path / "run", engine=then).state
    np.testing.assert_allclose(state.server.shared, undisturbed.server.shared, atol=2e-6)
    assert f"the engine {first} computed the run so far, {then} resumes it" in caplog.text
    assert _recorded(tmp_path / "run") == [first, then]
    # What the run is set to stays.
    assert RunFolder.open(tmp_path / "run").config == config


def _warnings(caplog):
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.fixture
def alone(monkeypatch):
    """As where TFF is not installed."""
    monkeypatch.setattr(engines, "chosen_engine", lambda engine: engine or "local")
    engines._say_local.cache_clear()


@pytest.mark.usefixtures("alone")
def test_an_engine_that_nobody_chose_is_said_once(caplog):
    for _ in range(2):
        engines.report_engine(RuntimeConfig(), before=None)
    assert _warnings(caplog) == [
        "TFF is not installed: rounds run as TensorFlow functions in this process "
        "(runtime.engine=local)"
    ]


@pytest.mark.usefixtures("alone")
def test_settings_of_the_worker_have_no_effect_and_that_is_said(caplog):
    engines.report_engine(RuntimeConfig(engine="local", threads=2), before="local")
    engines.report_engine(RuntimeConfig(engine="tff", threads=2), before="tff")
    assert _warnings(caplog) == [
        "runtime.threads: a setting of TFF's worker, without effect with the engine local"
    ]


def test_a_folder_of_before_there_was_a_choice_was_computed_by_tff(small_config, tmp_path):
    folder = RunFolder.create(tmp_path / "run", small_config("runtime.engine=local"))
    path = tmp_path / "run/environment.json"
    environment = json.loads(path.read_text("utf-8"))
    assert folder.engine == environment.pop("engine") == "local"
    path.write_text(json.dumps(environment))
    assert folder.engine == "tff"
    path.write_text("{")
    assert folder.engine is None
