"""A DLRM-like ranker as the cloud of a run: rounds, bytes, a kill, questions to both sides."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from module_files import load_file

import ecct_tf as ecct
from ecct_tf.commands.simulate import _exports
from ecct_tf.errors import ConfigError
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import resume, simulate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples" / "own_ranker")
        yield


@pytest.fixture(scope="module")
def shop():
    return load_file("tests/cloud/own_shop.py").shop(users=12, items=40)


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(
        "rounds=2",
        "runtime.engine=local",
        "edge.tiers={linear: 1.0}",
        "cloud.model=own_ranker:build",
        "cloud.fit_epochs=2",
        "cloud.rows=10",
        "cloud.next_item.epochs=0",
        "cloud.rank=3",
        "features.history_length=4",
        "evaluation.catalog=none",
        "exchange.queries=4",
    )


@pytest.fixture(scope="module")
def simulated(shop, config, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, simulate(config, out=out, dataset=shop)


@pytest.fixture(scope="module")
def whole(simulated):
    return simulated[0]


def test_no_export_is_suggested(simulated):
    assert not _exports(simulated[1])


def test_rows_cross_and_both_sides_recommend(whole, shop):
    run = ecct.open_run(whole, data=shop)
    # Of each user 10 rows: an id, h_c of 12 numbers and a scale; z_c and its scale; 4 queries.
    assert run.metrics["downlink_bytes"].tolist() == [12 * (10 * (4 + 12 + 2) + 10 + 2 + 16)] * 2
    assert run.metrics["cloud_loss"][1] > 0
    table = RunFolder.open(whole).read_item_table()
    assert (table.cloud.shape, table.row_dim) == ((41, 0), 12)
    cloud, edge = (run.recommend("u003", k=3, side=side) for side in ("cloud", "edge"))
    assert len(cloud.items) == len(edge.items) == 3
    assert np.isfinite([*cloud.scores, *edge.scores]).all()


def test_what_files_cannot_hold_is_refused_with_the_way_out(whole, shop, tmp_path):
    run = ecct.open_run(whole, data=shop)
    with pytest.raises(ConfigError, match=r"sends rows.*exported files.*TwoTowerCloud"):
        run.export(tmp_path / "phone", variants=["trainable-int8"])


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_end(whole, shop, tmp_path):
    out = tmp_path / "killed"
    shutil.copytree(whole, out)
    folder = RunFolder.open(out)
    expected = folder.checkpoints.newest()
    assert expected.round_number == 2
    (newest,) = (out / "checkpoints").glob("round-000002-*.npz")
    newest.unlink()
    folder.set_status("running", round_number=1)
    resume(out, dataset=shop)
    again = RunFolder.open(out).checkpoints.newest()
    assert again.round_number == 2
    for name, array in expected.arrays.items():
        # Gradients of a ranker are sums of three or more, in an order that a trace may change.
        np.testing.assert_allclose(again.arrays[name], array, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_the_bound_with_all_data_is_refused(shop, small_config, tmp_path):
    common = ("cloud.model=own_ranker:build", "cloud.fit_epochs=1", "cloud.next_item.epochs=0")
    config = small_config("method=centralized", "cloud.rank=3", "evaluation.catalog=none", *common)
    with pytest.raises(ConfigError, match=r"method centralized.*own_ranker:build, a ranker"):
        simulate(config, out=tmp_path / "bound", dataset=shop)
