"""An aggregator with state in a whole run: measured, kept in checkpoints, and resumed."""

import csv
import json
import shutil
import sys
import types

import pytest

from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.federated import chosen_engine
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate

pytestmark = pytest.mark.skipif(chosen_engine() != "tff", reason="TFF is not installed")
SETTING = "federated_baseline.server.aggregator"


@pytest.fixture(scope="module", autouse=True)
def _adaptive():
    """Clipping whose bound follows the devices' norms, from round to round."""

    def adaptive():
        import tensorflow_federated as tff

        bound = tff.aggregators.PrivateQuantileEstimationProcess.no_noise(
            initial_estimate=0.01, target_quantile=0.5, learning_rate=1.0
        )
        return tff.aggregators.clipping_factory(bound, tff.aggregators.MeanFactory())

    module = types.ModuleType("own_aggregators")
    module.adaptive = adaptive
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "own_aggregators", module)
        yield


@pytest.fixture(scope="module")
def config(small_config):
    def make(*more):
        return small_config(
            "method=fedavg",
            "federated_baseline.rounds=2",
            f"{SETTING}=own_aggregators:adaptive",
            "runtime.shard_size=0",
            "evaluation.catalog=none",
            *more,
        )

    return make


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    simulate(config(), out=out)
    return out


@pytest.fixture
def killed(whole, tmp_path):
    """The run as if it had been killed after its first round."""
    out = tmp_path / "killed"
    shutil.copytree(whole, out)
    RunFolder.open(out).set_status("running", round_number=1)
    max((out / "checkpoints").iterdir()).unlink()
    return out


def _outcome(run):
    with (run / "metrics.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    # The name of a checkpoint carries its hash.
    return rows, max(path.name for path in (run / "checkpoints").iterdir())


def test_its_state_is_resumed_to_the_last_bit(whole, killed):
    resume(killed)
    rows, checkpoint = _outcome(whole)
    assert _outcome(killed) == (rows, checkpoint)
    norms = [float(row["aggregator_clipping_norm"]) for row in rows]
    assert norms[0] != norms[1]


def test_rounds_that_nobody_answers_leave_the_columns(config, tmp_path):
    out = tmp_path / "run"
    simulate(config("participation.dropout=1.0", "federated_baseline.rounds=1"), out=out)
    assert [row["aggregator_clipped_count"] for row in _outcome(out)[0]] == [""]


def test_another_engine_is_refused_before_anything_is_done(config, killed, tmp_path):
    with pytest.raises(ConfigError, match="engine local"):
        simulate(config("runtime.engine=local"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=rf"{SETTING} 'own_aggregators:adaptive'.*engine local"):
        resume(killed, engine="local")


def test_an_aggregator_of_other_source_is_not_resumed(killed):
    path = killed / "environment.json"
    environment = json.loads(path.read_text())
    assert environment["aggregators"][SETTING]["target"] == "own_aggregators:adaptive"
    environment["aggregators"][SETTING]["source_sha256"] = "0" * 64
    path.write_text(json.dumps(environment))
    with pytest.raises(CheckpointError, match=r"0000….*Restore the source"):
        resume(killed)
