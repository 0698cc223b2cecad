"""A version read back is the version that was written."""

import dataclasses
import json

import numpy as np
import pytest

from cloud.version_files import StoredCloud
from cloud.vocabulary import Vocabulary
from ecct_tf.config import FeatureConfig
from ecct_tf.errors import RegistryError


@pytest.fixture(scope="module")
def trained(make_cloud, knowledge):
    cloud = make_cloud(update_epochs=1)
    cloud.publish()
    cloud.update(knowledge, round_number=0, use_logits=True)
    return cloud


@pytest.fixture(scope="module")
def stored(trained, view, knowledge):
    return StoredCloud(
        config=trained.config,
        features=FeatureConfig(history_length=6, decays=(1.0, 0.8), last_items=2, clock=False),
        edge_dim=3,
        num_queries=6,
        seed=0,
        space=trained.space,
        snapshot=trained.snapshot(),
        states=trained.states,
        older=view.older,
        table=trained.publish(),
        knowledge=knowledge,
        round_number=3,
        vocabulary=Vocabulary(
            tuple(f"u{user}" for user in range(view.num_users)),
            tuple(f"é{item}" for item in range(view.num_items)),
        ),
    )


def test_what_is_read_back_serves_alike(stored, trained, tmp_path, everybody):
    stored.write(tmp_path)
    read = StoredCloud.read(tmp_path)
    cloud = read.recommender()
    for fused in (None, read.knowledge):
        np.testing.assert_array_equal(
            cloud.user_embeddings(everybody, knowledge=fused, round_number=3),
            trained.user_embeddings(everybody, knowledge=fused, round_number=3),
        )
    np.testing.assert_array_equal(
        cloud.queries(everybody, round_number=4), trained.queries(everybody, round_number=4)
    )
    assert (read.vocabulary, read.round_number) == (stored.vocabulary, 3)
    assert [block.is_symmetric for block in read.table.blocks] == [
        block.is_symmetric for block in stored.table.blocks
    ]
    np.testing.assert_array_equal(read.table.cloud, stored.table.cloud)
    assert read.table.logit_scale == stored.table.logit_scale


def test_equal_versions_have_equal_bytes(stored, tmp_path):
    stored.write(tmp_path / "one")
    StoredCloud.read(tmp_path / "one").write(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_version_of_before_a_setting_means_what_held_then(stored, tmp_path):
    told = dataclasses.replace(stored, config=dataclasses.replace(stored.config, answer_ridge=0.0))
    told.write(tmp_path)
    path = tmp_path / "recommender.json"
    settings = json.loads(path.read_text())
    for section, name in (("cloud", "answer_ridge"), ("cloud", "answers_kept")):
        del settings[section][name]
    settings["features"] = {
        name: value for name, value in settings["features"].items() if not name.startswith("clock")
    }
    path.write_text(json.dumps(settings))
    read = StoredCloud.read(tmp_path)
    assert read.features == stored.features
    assert (read.config.answer_ridge, read.config.num_earlier) == (0.0, 0)
    del settings["cloud"]["rank"]
    path.write_text(json.dumps(settings))
    with pytest.raises(RegistryError, match=r"lacks cloud\.rank"):
        StoredCloud.read(tmp_path)


@pytest.mark.parametrize("name", ["recommender.npz", "vocabulary.json", "item_table.npz"])
def test_a_damaged_version_is_refused(name, stored, tmp_path):
    stored.write(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RegistryError, match="restore"):
        StoredCloud.read(tmp_path)


def test_a_snapshot_of_another_form_is_refused(stored):
    other = dataclasses.replace(stored, edge_dim=4)
    with pytest.raises(Exception, match="does not fit this cloud recommender"):
        other.recommender()
