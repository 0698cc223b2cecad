"""Files of a run for phones: what is said of them before they are written."""

from types import SimpleNamespace

import pytest

from ecct_tf.config import load_config
from ecct_tf.runs.exporting import export_models
from ecct_tf.runs.models import RunModels


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["exchange.rows=item"], True),
        ([], False),
        (["exchange.rows=item", "exchange.up=false"], False),
        (["exchange.rows=item", "method=edge-only"], False),
    ],
)
def test_files_of_a_run_of_sums_are_said_to_send_rows(overrides, said, tmp_path, caplog):
    run = SimpleNamespace(
        experiment=SimpleNamespace(config=load_config(overrides=overrides)), holding=None
    )
    run.tiers, run.sends_sums = [], RunModels.sends_sums.fget(run)
    assert list(export_models(run, tmp_path)) == []
    assert ("an uplink of theirs is the row of a user" in caplog.text) == said


@pytest.mark.parametrize(("bound", "said"), [("0.5", True), ("0", False)])
def test_files_of_a_run_with_silent_devices_are_said_to_answer(bound, said, tmp_path, caplog):
    config = load_config(overrides=[f"exchange.speak_above={bound}"])
    run = SimpleNamespace(
        experiment=SimpleNamespace(config=config), tiers=[], sends_sums=False, holding=None
    )
    assert list(export_models(run, tmp_path)) == []
    assert ("a device with one of its files always answers" in caplog.text) == said
