"""A cloud of one's own in the retraining job: versions, growth, publication, a way back."""

import json
from pathlib import Path

import numpy as np
import pytest
from module_files import load_file

from cloud.publishing import publish
from cloud.registry import Registry
from cloud.retraining import load_job_config, retrain
from cloud.retraining.inputs import read_inputs
from cloud.retraining.preparation import prepare
from cloud.version_files import StoredCloud
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.wire import CURRENT_NAME, Publication

ROOT = Path(__file__).parents[2]
CLOUD = "own_cloud:build"


@pytest.fixture(scope="module", autouse=True)
def _on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples" / "own_cloud")
        yield


@pytest.fixture(scope="module")
def shops():
    return load_file("tests/cloud/own_shop.py")


def job(jobs, folder, schema, **changes):
    own = {"cloud__model": CLOUD, "cloud__next_item__epochs": 0, "cloud__update_epochs": 1}
    own["gate__minimum_gain"] = -1
    data = {"data__dataset": "files", "data__schema": schema}
    # The small job's data come before: what is given twice means the last.
    given = [
        line
        for line in jobs.settings(folder, **{**own, **data, **changes})
        if not line.startswith(("data.synthetic", "data.dataset=synthetic"))
    ]
    return load_job_config(None, overrides=given)


@pytest.fixture(scope="module")
def chain(jobs, shops, tmp_path_factory):
    """Two versions: of a shop and its uplinks, then with a tenth more of users, items and a tag."""
    folder = tmp_path_factory.mktemp("own_chain")
    jobs.write_log(folder, range(20), name="a")
    small = shops.write_shop(folder / "small", shops.shop(users=20, items=120))
    first = retrain(job(jobs, folder, small), folder / "job_1", show=False)
    before = publish(Registry(folder / "registry"), folder / "public", now_seconds=1)
    large = shops.write_shop(
        folder / "large", shops.shop(users=22, items=132), tags=("a new tag", "x", "y")
    )
    second = retrain(job(jobs, folder, large), folder / "job_2", show=False)
    return folder, first, second, before


def test_versions_grow_and_what_devices_hold_stays(chain):
    folder, first, second, _ = chain
    assert (first.promoted, second.promoted) == (True, True)
    registry = Registry(folder / "registry")
    old, new = (StoredCloud.of(registry.version(number)) for number in (1, 2))
    assert (len(old.vocabulary.users), len(new.vocabulary.users)) == (20, 22)
    np.testing.assert_array_equal(new.table.cloud[:121], old.table.cloud)
    assert np.isfinite(new.table.cloud).all()
    assert (np.abs(new.table.cloud[121:]).max(axis=1) > 0).all()
    # Codes stay, and what is new comes behind.
    tags = {
        name: found.columns.items["tags"].vocabulary for name, found in (("old", old), ("new", new))
    }
    assert set(tags["old"]) == {"x", "y", "z"}
    assert tags["new"][: len(tags["old"])] == tags["old"]
    assert tags["new"][-1] in ("a", "new", "tag")
    for name in ("model/query/0", "model/sent/0"):
        assert len(new.snapshot[name]) == 133, name
    # What is about single users is the owner's alone.
    assert (registry.version(1).path / "columns.npz").stat().st_mode & 0o077 == 0


def test_a_version_serves_as_it_was_stored_without_its_data(chain):
    folder, *_ = chain
    stored = StoredCloud.of(Registry(folder / "registry").version(2))
    cloud = stored.recommender()
    everybody = np.arange(22, dtype=np.int32)
    again = stored.recommender()
    np.testing.assert_array_equal(
        cloud.downlinks(everybody, round_number=1), again.downlinks(everybody, round_number=1)
    )
    np.testing.assert_allclose(
        cloud.model.item_vectors(np.arange(133)).numpy()[:121], stored.table.cloud[:121], atol=1e-6
    )


def test_a_way_back_publishes_the_older_version_again(chain):
    folder, _, _, before = chain
    registry = Registry(folder / "registry")
    publish(registry, folder / "public", now_seconds=2)
    newer = Publication.from_json((folder / "public" / CURRENT_NAME).read_text())
    assert newer.cloud_version == 2
    assert "plan=a" in newer.segment_names
    registry.rollback()
    publish(registry, folder / "public", now_seconds=3)
    back = Publication.from_json((folder / "public" / CURRENT_NAME).read_text())
    assert back.cloud_version == 1
    assert back.item_table.sha256 == before.publication.item_table.sha256
    registry.promote(2, expected=1)


def test_another_cloud_does_not_go_on_from_it(chain, jobs):
    folder, *_ = chain
    config = job(jobs, folder, folder / "large" / "schema.yaml", cloud__model="ecct")
    with pytest.raises(ConfigError, match=r"cloud\.model: expected own_cloud:build.*start=scratch"):
        retrain(config, folder / "job_other", show=False)


def test_a_source_may_change_until_something_is_trained(chain, jobs, tmp_path, monkeypatch):
    """As where the builder had an error: its fix goes on in the same folder."""
    folder, *_ = chain
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shop_towers.py").write_text("def build(spec):\n    return None\n")
    schema = folder / "small" / "schema.yaml"
    changes = {"cloud__model": "shop_towers:build", "registry": tmp_path / "registry"}
    config = job(jobs, folder, schema, start="scratch", **changes)
    job_folder = tmp_path / "job[1]"
    with pytest.raises(ConfigError, match="expected a function that returns a TwoTowerCloud"):
        retrain(config, job_folder, show=False)
    first, _ = read_inputs(job_folder)
    (tmp_path / "shop_towers.py").write_text("def build(spec):\n    return 1\n")
    prepare(config, job_folder, is_chief=True, show=False)
    second, _ = read_inputs(job_folder)
    assert first.clouds != second.clouds
    assert first.draft == second.draft
    (tmp_path / "shop_towers.py").write_text("def build(spec):\n    return 2\n")
    (job_folder / "checkpoints").mkdir()
    with pytest.raises(RunFolderError, match="source of the cloud changed since the job began"):
        prepare(config, job_folder, is_chief=True, show=False)


def test_a_changed_source_is_logged_and_not_resumed(chain, jobs, caplog, tmp_path):
    folder, *_ = chain
    stored = StoredCloud.of(Registry(folder / "registry").version(2))
    stored.origin[CLOUD]["source_sha256"] = "0" * 64
    stored.recommender()
    assert "source SHA-256 0000" in caplog.text
    import shutil

    again = tmp_path / "job"
    shutil.copytree(folder / "job_2", again)
    (again / "result.json").unlink()
    path = again / "inputs.json"
    from ecct_tf.sealed_json import seal_json, unseal_json

    inputs = unseal_json(path.read_text())
    inputs["clouds"][CLOUD]["source_sha256"] = "0" * 64
    path.write_text(seal_json(inputs))
    config = job(jobs, folder, folder / "large" / "schema.yaml")
    with pytest.raises(RunFolderError, match="source of the cloud changed since the job began"):
        retrain(config, again, show=False)


def test_a_damaged_file_of_columns_is_named(chain, tmp_path):
    import shutil

    from ecct_tf.errors import RegistryError

    folder, *_ = chain
    copied = tmp_path / "version"
    shutil.copytree(Registry(folder / "registry").version(2).path, copied)
    (copied / "columns.json").write_text(json.dumps([{"name": "price"}]))
    with pytest.raises(RegistryError, match=r"columns\.json.*restore the version from a copy"):
        StoredCloud.read(copied)
