"""Edge models of the example package go the whole way by name: run, resume, file, device."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.runs.opening import open_models
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_edge_models"
GRU, DCN = "own_edge_models.gru:gru4rec", "own_edge_models.dcn:dcn"


@pytest.fixture(scope="module", autouse=True)
def _on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(
        "rounds=2",
        f'edge.tiers={{mlp: 0.34, "{GRU}": 0.33, "{DCN}": 0.33}}',
        "edge.start=random",
        "edge.embedding_dim=4",
        "edge.hidden_dim=4",
        "features.history_length=3",
        "cloud.next_item.epochs=0",
        "evaluation.catalog=none",
        "exchange.queries=4",
        "exchange.stage_1_rounds=0",
    )


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    simulate(config, out=out)
    return out


@pytest.fixture
def killed(whole, tmp_path):
    """The run as if it had been killed in its second round: a row, but no checkpoint."""
    out = tmp_path / "killed"
    shutil.copytree(whole, out)
    RunFolder.open(out).set_status("running", round_number=1)
    max((out / "checkpoints").iterdir()).unlink()
    return out


def metrics(run):
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_killed_run_is_resumed_bit_by_bit(whole, killed):
    resume(killed)
    assert metrics(killed) == metrics(whole)
    last = [max(path.name for path in (run / "checkpoints").iterdir()) for run in (whole, killed)]
    assert last[0] == last[1]


def test_a_changed_source_is_not_resumed_and_is_told_where_it_is_opened(killed, caplog):
    path = killed / "environment.json"
    environment = json.loads(path.read_text())
    assert sorted(environment["edge_models"]) == [DCN, GRU]
    environment["edge_models"][GRU]["source_sha256"] = "0" * 64
    path.write_text(json.dumps(environment))
    with pytest.raises(CheckpointError, match=rf"{GRU}.*0000….*Restore the source and resume, or"):
        resume(killed)
    open_models(killed)
    assert f"edge model {GRU!r}: source SHA-256 0000" in caplog.text


def test_a_run_whose_package_is_gone_opens_but_does_not_resume(killed, monkeypatch):
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(EXAMPLES)])
    for name in [name for name in sys.modules if name.startswith("own_edge_models")]:
        monkeypatch.delitem(sys.modules, name)
    assert RunFolder.open(killed).config.edge.tiers[GRU] == 0.33
    for opened in (resume, open_models):
        with pytest.raises(ConfigError, match="no module own_edge_models: install its package, or"):
            opened(killed)


@pytest.mark.slow
def test_its_file_is_verified_against_the_run(whole, tmp_path):
    from mobile_export.checking.verification import verify_file
    from mobile_export.making.export import export_edge_model
    from mobile_export.runtime.interpreter import Interpreter

    models = open_models(whole)
    reference = models.reference(GRU, user=None, steps=20)
    (file,) = export_edge_model(
        reference.model,
        reference.weights,
        reference.table,
        task=reference.task,
        out=tmp_path,
        labels=models.labels(GRU),
    )
    assert file.path.name == "edge-own_edge_models.gru.gru4rec-trainable-int4.tflite"
    with Interpreter("tensorflow") as interpreter:
        checks = verify_file(
            file.path,
            [interpreter],
            examples=reference.examples,
            reference=reference,
            damaged=2,
            hostile=2,
        )
    assert not [check for check in checks if check.passed is False]
    parity = {check.name for check in checks if check.passed}
    assert {"output parity", "training parity", "operators"} <= parity


def test_the_order_of_the_history_reaches_the_gru(whole):
    """Interaction features that weigh all three alike cannot tell it: item vectors do."""
    reference = open_models(whole).reference(GRU, user=None, steps=0)
    source, example = reference.float_source(), reference.examples[0]

    def logits(*history):
        given = {
            "history": np.array(history, np.int32),
            "candidates": example.candidates,
            "profile": example.profile,
            "user_embedding": example.user_embedding,
            "user_embedding_scale": example.user_embedding_scale,
        }
        return source.answer("score", given)["logit"]

    assert np.abs(logits(3, 1, 2) - logits(1, 3, 2)).max() > 1e-4
    # Padding at the front leaves the state as it is.
    assert np.isfinite(logits(0, 0, 0)).all()
