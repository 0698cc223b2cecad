"""A cloud of one's own as the cloud of a run: a round, a checkpoint, and questions to it."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from module_files import load_file

import ecct_tf as ecct
from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples" / "own_cloud")
        yield


@pytest.fixture(scope="module")
def shop():
    return load_file("tests/cloud/own_shop.py").shop(users=12, items=40)


@pytest.fixture(scope="module")
def whole(shop, small_config, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    config = small_config(
        "rounds=1",
        "edge.tiers={linear: 1.0}",
        "cloud.model=own_cloud:build",
        "cloud.fit_epochs=2",
        "cloud.next_item.epochs=0",
        "cloud.rank=3",
        "features.history_length=4",
        "evaluation.catalog=none",
        "exchange.queries=4",
    )
    simulate(config, out=out, dataset=shop)
    return out


@pytest.fixture
def killed(whole, tmp_path):
    """The run as if it had been killed after its round."""
    out = tmp_path / "killed"
    shutil.copytree(whole, out)
    RunFolder.open(out).set_status("running", round_number=1)
    return out


def test_both_sides_recommend_and_the_cloud_by_its_own_towers(whole, shop):
    run = ecct.open_run(whole, data=shop)
    cloud, edge = (run.recommend("u003", k=3, side=side) for side in ("cloud", "edge"))
    assert len(cloud.items) == len(edge.items) == 3
    assert np.isfinite([*cloud.scores, *edge.scores]).all()
    assert run.metrics["cloud_loss"][0] > 0


def test_a_changed_or_missing_cloud_is_not_resumed(killed, shop, monkeypatch):
    path = killed / "environment.json"
    environment = json.loads(path.read_text())
    environment["clouds"]["own_cloud:build"]["source_sha256"] = "0" * 64
    path.write_text(json.dumps(environment))
    with pytest.raises(CheckpointError, match=r"own_cloud:build.*0000….*Restore the source"):
        resume(killed, dataset=shop)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if "own_cl" not in each])
    monkeypatch.delitem(sys.modules, "own_cloud")
    with pytest.raises(ConfigError, match="no module own_cloud: install its package, or"):
        resume(killed, dataset=shop)
