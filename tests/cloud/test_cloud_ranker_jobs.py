"""A ranker in the retraining job: versions, growth, a serving export pair by pair."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from module_files import load_file

from cloud.publishing import publish
from cloud.ranker_serving import export_ranker_serving
from cloud.registry import Registry
from cloud.registry.version import SAVED_MODEL
from cloud.retraining import load_job_config, retrain
from cloud.serving import Retrieval, ServingContent
from cloud.version_files import StoredCloud
from ecct_tf.errors import ConfigError, ExportError, RegistryError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples" / "own_ranker")
        yield


def _shops():
    return load_file("tests/cloud/own_shop.py")


def _job(jobs, folder, schema, **changes):
    own = {
        "cloud__model": "own_ranker:build",
        "cloud__next_item__epochs": 0,
        "cloud__update_epochs": 1,
        "gate__minimum_gain": -1,
        "data__dataset": "files",
        "data__schema": schema,
    }
    given = [
        line
        for line in jobs.settings(folder, **{**own, **changes})
        if not line.startswith(("data.synthetic", "data.dataset=synthetic"))
    ]
    return load_job_config(None, overrides=given)


@pytest.fixture(scope="module")
def chain(jobs, tmp_path_factory):
    """Two versions: of a shop and its uplinks, then with a tenth more of users and items."""
    folder, shops = tmp_path_factory.mktemp("ranker_chain"), _shops()
    jobs.write_log(folder, range(20), name="a")
    small = shops.write_shop(folder / "small", shops.shop(users=20, items=120))
    first = retrain(_job(jobs, folder, small), folder / "job_1", show=False)
    large = shops.write_shop(folder / "large", shops.shop(users=22, items=132))
    second = retrain(_job(jobs, folder, large), folder / "job_2", show=False)
    assert (first.promoted, second.promoted) == (True, True)
    return folder


@pytest.mark.slow
@pytest.mark.current
def test_versions_of_a_ranker_grow_serve_and_go_back(chain, jobs):
    registry = Registry(chain / "registry")
    old, new = (StoredCloud.of(registry.version(number)) for number in (1, 2))
    assert (old.table.row_dim, new.table.row_dim, new.table.cloud.shape) == (12, 12, (133, 0))
    cloud = new.recommender()
    users = np.arange(22, dtype=np.int32)
    sent = cloud.downlinks(users, round_number=1)
    assert sent.items.shape == (22, new.config.rows)
    assert np.isfinite(sent.embeddings).all()
    # Rows are for new items, too.
    assert sent.items.max() > 120

    served = tf.saved_model.load(str(registry.version(2).path / SAVED_MODEL))
    candidates = np.tile(np.arange(1, 7, dtype=np.int32), (3, 1))
    some = np.array([0, 21, 999], np.int32)
    said = served.signatures["score"](user=some, candidates=candidates)
    expected = cloud.scores(
        some[:2], candidates[:2], knowledge=new.knowledge, round_number=new.round_number
    )
    np.testing.assert_allclose(said["logits"][:2], expected, atol=1e-5)
    everybody = cloud.scores(
        users, np.tile(candidates[:1], (22, 1)), knowledge=new.knowledge,
        round_number=new.round_number,
    )  # fmt: skip
    np.testing.assert_allclose(said["logits"][2], everybody.mean(axis=0), atol=1e-4)
    assert said["h_c"].shape == (3, 6, 12)

    nothing = np.zeros((3, 0), np.int32)
    found = served.signatures["retrieve"](
        user=some, exclude=nothing, exclude_known=np.array([True, False, True])
    )
    every = np.tile(np.arange(1, 133, dtype=np.int32), (2, 1))
    scores = cloud.scores(some[:2], every, knowledge=new.knowledge, round_number=new.round_number)
    scores[0, new.older.of(0) - 1] = -np.inf
    for row in range(2):
        best = np.sort(scores[row])[::-1][:5]
        np.testing.assert_allclose(found["logits"][row][:5], best, atol=1e-5)
        items = found["items"][row].numpy()[:5]
        np.testing.assert_allclose(scores[row][items - 1], best, atol=1e-5)

    with pytest.raises(RegistryError, match="its cloud sends rows"):
        publish(registry, chain / "public", now_seconds=1)
    assert registry.rollback().version == 1
    registry.promote(2, expected=1)
    config = _job(jobs, chain, chain / "large" / "schema.yaml", cloud__rows=40)
    with pytest.raises(ConfigError, match=r"cloud\.rows: expected 64.*start=scratch"):
        retrain(config, chain / "job_other", show=False)


@pytest.mark.slow
def test_scann_finds_no_pairs(chain, tmp_path):
    content = ServingContent.of(StoredCloud.of(Registry(chain / "registry").version(1)))
    with pytest.raises(ExportError, match="ScaNN looks items up by a product"):
        export_ranker_serving(content, tmp_path / "model", retrieval=Retrieval(index="scann"))
