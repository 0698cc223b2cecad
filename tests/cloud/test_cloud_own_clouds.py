"""A cloud of one's own: what it reads, and how it takes part."""

import dataclasses
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
from module_files import load_file

from cloud.origin import changed_clouds, check_cloud, cloud_origins
from cloud.seeds import seeded
from ecct_tf.config import CloudConfig
from ecct_tf.config.cloud_names import cloud_names
from ecct_tf.data import CentralizedTable, Column, EncodedColumn, FeatureSchema, Kind, Side
from ecct_tf.errors import CheckpointError, ConfigError, DataError
from ecct_tf.federated import TrainableCloud
from ecct_tf.knowledge import KnowledgeStore, UplinkRows

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_cloud"
QUERIES, EDGE_DIM, HISTORY = 4, 3, 4


SHOP = load_file("tests/cloud/own_shop.py")


@pytest.fixture(scope="module", autouse=True)
def _on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        patch.setitem(sys.modules, "own_test_clouds", sys.modules[__name__])
        yield


@pytest.fixture(scope="module")
def view():
    return SHOP.shop_view()


@pytest.fixture(scope="module")
def make(shop_clouds, view):
    made = shop_clouds(view, names="own_test_clouds:")
    return lambda builder="own_cloud:build", *other, **changes: made(builder, *other, **changes)


@pytest.fixture(scope="module")
def trained(make):
    """The example's cloud, fitted and published, and its table: only to be read."""
    cloud = make(fit_epochs=6)
    losses = cloud.fit()
    return cloud, cloud.publish(), losses


@pytest.fixture(scope="module")
def knowledge(trained, view):
    cloud, _, _ = trained
    users = np.arange(view.num_users - 2, dtype=np.int32)
    items = cloud.queries(users, round_number=0)
    store = KnowledgeStore.empty(
        num_users=view.num_users, num_queries=QUERIES, embedding_dim=EDGE_DIM
    )
    draw = np.random.default_rng(0)
    return store.updated(
        UplinkRows(
            users=users,
            items=items,
            embeddings=draw.normal(size=(*items.shape, EDGE_DIM)).astype(np.float32),
            logits=np.where(items % 2 == 0, 3.0, -3.0).astype(np.float32),
        ),
        round_number=0,
    )


# Builders, whose towers are as small as can be.

towers = plain = SHOP.towers


def ranking(spec):
    return towers(
        spec,
        task=tfrs.tasks.Ranking(
            loss=tf.keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[tf.keras.metrics.BinaryAccuracy(name="right", threshold=0.0)],
        ),
    )


def all_features(spec):
    SEEN.append((dict(spec.queries), dict(spec.candidates)))
    return plain(spec)


SEEN = []


def without_tables(spec):
    return dataclasses.replace(plain(spec), tables={})


def test_towers_read_centralized_columns_and_no_others(make, view):
    SEEN.clear()
    make("all_features")
    queries, candidates = SEEN[0]
    assert sorted(queries) == ["history", "plan", "timestamp", "user_id"]
    assert sorted(candidates) == ["item_id", "price", "tags", "text"]
    # Numbers that only devices have appear in no array: the newest training item of each user,
    # which the view lacks, among them.
    for user in range(view.num_users):
        older = view.older.of(user)[-HISTORY:]
        assert queries["history"].values[user].tolist()[-len(older) :] == older.tolist()
    assert candidates["text"].values.shape == (24, 64)
    assert queries["plan"].vocabulary == ("a", "b")
    assert queries["plan"].size == 3
    assert candidates["tags"].size == 3


def test_it_is_all_that_a_run_asks_of_a_cloud(trained):
    cloud, table, losses = trained
    assert isinstance(cloud, TrainableCloud)
    assert losses[-1] < losses[0]
    assert table.cloud.shape == (25, 32)
    assert not table.cloud[0].any()


def test_a_score_is_the_product_of_the_published_parts(trained):
    cloud, table, _ = trained
    users, items = np.array([3, 5], np.int32), np.array([[1, 2], [9, 24]], np.int32)
    sent = cloud.downlinks(users, round_number=0)
    expected = np.einsum("nd,ncd->nc", sent, table.cloud[items]) + table.bias[items]
    found = cloud.scores(users, items, knowledge=None, round_number=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_another_build_restores_what_the_first_learned_and_adapted_to(make, trained):
    cloud, table, _ = trained
    everything = np.arange(25)
    first, other = make(), make()
    snapshot = first.snapshot()
    # The mean of the prices, as if it had been measured on other data.
    mean = next(n for n, v in snapshot.items() if n.startswith("model/candidate/") and not v.shape)
    other.restore({**snapshot, mean: snapshot[mean] + 1.0})
    expected = first.model.item_vectors(everything).numpy()
    assert np.abs(other.model.item_vectors(everything).numpy() - expected).max() > 1e-3
    other.restore(snapshot)
    np.testing.assert_array_equal(other.model.item_vectors(everything).numpy(), expected)
    other.freeze()
    snapshot = cloud.snapshot()
    other.restore(snapshot)
    np.testing.assert_array_equal(other.publish().cloud, table.cloud)
    everybody = np.arange(16, dtype=np.int32)
    np.testing.assert_array_equal(
        other.downlinks(everybody, round_number=0), cloud.downlinks(everybody, round_number=0)
    )
    with pytest.raises(CheckpointError, match="does not fit"):
        other.restore({**snapshot, "model/query/0": np.zeros((2, 2))})


def test_uplinks_teach_it_and_downlinks_stay_as_published(make, trained, knowledge):
    published, table, _ = trained
    cloud = make(downlink_rate=0.0)
    cloud.freeze()
    cloud.restore(published.snapshot())
    users = np.arange(16, dtype=np.int32)
    before = cloud.downlinks(users, round_number=0)
    alone = cloud.user_embeddings(users, knowledge=None, round_number=0)
    assert cloud.update(knowledge, round_number=0, use_logits=True)["cloud_loss"] > 0
    np.testing.assert_array_equal(cloud.downlinks(users, round_number=1), before)
    learned = cloud.user_embeddings(users, knowledge=None, round_number=1)
    assert np.abs(learned - alone).max() > 1e-4
    fused = cloud.user_embeddings(users, knowledge=knowledge, round_number=1)
    assert np.abs(fused - learned)[:14].max() > 1e-3
    np.testing.assert_allclose(fused[14:], learned[14:], atol=1e-6)
    # The item side is what devices hold.
    np.testing.assert_array_equal(cloud.publish().cloud, table.cloud)


def test_learning_goes_on_bit_by_bit_from_a_snapshot(make, trained, knowledge):
    ends = []
    for _ in range(2):
        cloud = make()
        cloud.freeze()
        cloud.restore(trained[0].snapshot())
        cloud.update(knowledge, round_number=0, use_logits=True)
        ends.append(cloud.snapshot())
    for name, value in ends[0].items():
        np.testing.assert_array_equal(value, ends[1][name], err_msg=name)


def test_declared_tables_grow_and_what_is_in_none_is_named(make):
    small, large = SHOP.shop_view(users=6, items=9), SHOP.shop_view(users=8, items=12)
    before, after = make("plain", small), make("plain", large)
    for cloud in (before, after):
        cloud.freeze()
    old = before.snapshot()
    after.restore(after.grown(old, space=before.space))
    new = after.snapshot()
    users, items = old["model/query/0"], old["model/candidate/0"]
    np.testing.assert_array_equal(new["model/query/0"][:6], users)
    np.testing.assert_allclose(new["model/query/0"][6:], [users.mean(axis=0)] * 2, atol=1e-6)
    # Items 10, 11 and 12 have the tags x, y and z, as 1, 2, 3 and every third after them.
    for number in (10, 11, 12):
        kin = items[number - 9 : 10 : 3]
        np.testing.assert_allclose(new["model/candidate/0"][number], kin.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(new["model/published/0"][:10], old["model/published/0"])
    np.testing.assert_array_equal(new["model/published/0"][10:], new["model/candidate/0"][10:])
    forgotten = make("without_tables", small), make("without_tables", large)
    with pytest.raises(ConfigError, match="query/0 has 8 rows, 6 before; name its layer"):
        forgotten[1].grown(forgotten[0].snapshot(), space=forgotten[0].space)


def test_published_items_stay_whatever_becomes_of_their_columns(make, trained, view):
    prices = view.items["price"]
    dearer = dataclasses.replace(prices, values=prices.values * np.float32(2))
    items = tuple(dearer if c is prices else c for c in view.items.columns)
    other = make(
        other=dataclasses.replace(view, items=dataclasses.replace(view.items, columns=items))
    )
    other.freeze()
    other.restore(trained[0].snapshot())
    np.testing.assert_array_equal(other.publish().cloud, trained[1].cloud)


def test_downlinks_follow_by_their_rate(make, knowledge):
    users = np.arange(16, dtype=np.int32)
    cloud = make("plain", downlink_rate=0.5)
    cloud.fit()
    cloud.freeze()
    before = cloud.downlinks(users, round_number=0)
    cloud.update(knowledge, round_number=0, use_logits=True)
    learned = cloud.user_embeddings(users, knowledge=None, round_number=1)
    # The tower is one embedding, so that half of the way is half of the difference.
    np.testing.assert_allclose(
        cloud.downlinks(users, round_number=1), (before + learned) / 2, atol=1e-6
    )


def test_losses_are_means_over_the_rows(make):
    """By hand: with zero embeddings, log 8 of a batch of 8 and log 2 of every label."""
    for builder, expected in (("plain", np.log(8)), ("ranking", np.log(2))):
        cloud = make(builder)
        items = tf.reshape(tf.range(1, 17, dtype=tf.int32), [8, 2])
        labels = tf.constant([[1.0, 0.0]] * 8)
        cloud.model.candidate_tower.layers[-1].embeddings.assign(tf.zeros([25, 3]))
        found = cloud.model.label_loss(tf.zeros([8, 3]), items, labels)
        np.testing.assert_allclose(float(found), expected, rtol=1e-5)


def test_a_loss_that_takes_its_own_mean_works_on_several_devices_too(make):
    model = make("ranking").model
    arguments = tf.zeros([8, 3]), tf.ones([8, 2], tf.int32), tf.constant([[1.0, 0.0]] * 8)
    # Keras refuses such a loss there.
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        within = model.label_loss(*arguments)
    assert float(within) == float(model.label_loss(*arguments))


def test_metrics_of_a_task_are_measured_since_they_were_last_asked(make):
    model = make("ranking").model
    labels = tf.constant([[1.0, 0.0]] * 8)
    model.label_loss(tf.zeros([8, 3]), tf.ones([8, 2], tf.int32), labels)
    # Logits of zero say no to all: right of the negatives.
    assert model.measured() == {"right": 0.5}
    assert model.measured() == {"right": 0.0}


def test_a_build_does_not_depend_on_what_was_built_before(make):
    first, _, second = make("plain"), make("ranking"), make("plain")
    for one, other in zip(first.variables(), second.variables(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_build_leaves_all_generators_as_they_were():
    """A seed that stays would make repeatable what nobody seeded."""
    tf.random.set_seed(None)
    glorot = tf.keras.initializers.GlorotUniform
    before = random.getstate(), np.random.get_state()[1].tolist()
    drawn = []
    for _ in range(2):
        with seeded(3):
            drawn.append((glorot()([2, 2]).numpy(), random.random(), tf.random.uniform([]).numpy()))
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    assert drawn[0][1:] == drawn[1][1:]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    free = []
    for _ in range(2):
        with seeded(3):
            pass
        free.append((glorot()([2, 2]).numpy().tolist(), float(tf.random.uniform([]))))
    assert free[0][0] != free[1][0]
    assert free[0][1] != free[1][1]


def test_names_are_checked_and_sources_recorded():
    check_cloud("ecct")
    assert cloud_origins("ecct") == {}
    with pytest.raises(ConfigError, match="did you mean own_cloud:build"):
        check_cloud("own_cloud:buld")
    with pytest.raises(ConfigError, match=r"cloud\.model 'no_such:build'.*no module no_such"):
        check_cloud("no_such:build")
    with pytest.raises(ConfigError, match=r"cloud\.model: expected a cloud model out of ecct"):
        check_cloud("two_tower")
    recorded = cloud_origins("own_cloud:build")
    assert changed_clouds(recorded) == []
    recorded["own_cloud:build"]["source_sha256"] = "0" * 64
    (change,) = changed_clouds(recorded)
    assert change.startswith("cloud.model 'own_cloud:build': source SHA-256 0000")


def with_age(view):
    age = Column("age", "user", Side.CENTRALIZED, Kind.NUMERIC)
    schema = FeatureSchema("shop", (*view.users.schema.columns, age))
    ages = EncodedColumn(age, np.arange(view.num_users, dtype=np.float32))
    return dataclasses.replace(
        view,
        users=CentralizedTable(schema, (*view.users.columns, ages)),
        items=CentralizedTable(schema, view.items.columns),
    )


def test_numbers_of_users_reach_towers_and_the_library_s_cloud_refuses_them(make, view):
    SEEN.clear()
    make("all_features", with_age(view))
    assert SEEN[0][0]["age"].values.tolist() == list(range(16))
    with pytest.raises(DataError, match=r"user column 'age' is numeric, and cloud\.model=ecct"):
        make("ecct", with_age(view))


def test_a_package_registers_a_name(tmp_path, monkeypatch):
    """As the example's `pyproject.toml` does, once it is installed."""
    text = (EXAMPLE / "pyproject.toml").read_text()
    points = re.search(r'"ecct_tf.clouds"\]\n(\w+) = "([\w:]+)"', text)
    assert points.groups() == ("two_towers", "own_cloud:build")
    info = tmp_path / "own_cloud-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-cloud\nVersion: 0.1.0\n")
    (info / "top_level.txt").write_text("own_cloud\n")
    (info / "entry_points.txt").write_text("[ecct_tf.clouds]\ntwo_towers = own_cloud:build\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert cloud_names()["two_towers"] == "own_cloud:build"
    check_cloud("two_towers")
    origin = cloud_origins("two_towers")["two_towers"]
    assert (origin["target"], origin["version"]) == ("own_cloud:build", "0.1.0")
    with pytest.raises(ConfigError, match=r"ecct, two_towers.*did you mean two_towers\?"):
        check_cloud("two_tower")


def test_towers_that_begin_at_random_must_be_fitted():
    with pytest.raises(ConfigError, match=r"cloud\.fit_epochs: expected at least 1"):
        CloudConfig(model="own_cloud:build")
