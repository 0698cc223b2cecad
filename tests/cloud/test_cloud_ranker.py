"""A cloud whose score is no product: the model of pairs, and the rows that it sends."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
from module_files import load_file

from cloud.best_items import choose_rows, popular_items
from cloud.two_tower import pair_features
from ecct_tf import RankerCloud
from ecct_tf.data import cloud_view, leave_one_out
from ecct_tf.errors import ConfigError
from ecct_tf.federated import TrainableCloud
from ecct_tf.knowledge import CloudRows, KnowledgeStore, UplinkRows
from ecct_tf.testing import cloud_findings

QUERIES, EDGE_DIM, ROWS = 4, 3, 9
EXAMPLE = Path(__file__).parents[2] / "examples" / "own_ranker"


SHOP = load_file("tests/cloud/own_shop.py")


@pytest.fixture(scope="module", autouse=True)
def _on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        patch.setitem(sys.modules, "own_test_rankers", sys.modules[__name__])
        yield


@pytest.fixture(scope="module")
def view():
    return SHOP.shop_view()


@pytest.fixture(scope="module")
def make(shop_clouds, view):
    made = shop_clouds(view, names="own_test_rankers:", rows=ROWS)
    return lambda builder="plain", *other, **changes: made(builder, *other, **changes)


@pytest.fixture(scope="module")
def trained(make):
    """A cloud, fitted and published, and its table: only to be read."""
    cloud = make()
    cloud.fit()
    return cloud, cloud.publish()


@pytest.fixture(scope="module")
def everybody(view):
    return np.arange(view.num_users, dtype=np.int32)


def _uplinks(cloud, users):
    items = cloud.queries(users, round_number=0)
    return UplinkRows(
        users=users,
        items=items,
        embeddings=np.random.default_rng(0).normal(size=(*items.shape, EDGE_DIM)).astype("f"),
        logits=np.where(items % 2 == 0, 3.0, -3.0).astype(np.float32),
    )


@pytest.fixture(scope="module")
def knowledge(trained, view, everybody):
    store = KnowledgeStore.empty(
        num_users=view.num_users, num_queries=QUERIES, embedding_dim=EDGE_DIM
    )
    return store.updated(_uplinks(trained[0], everybody[:-2]), round_number=0)


# Rankers that are as small as can be.


def plain(spec, **given):
    """Crosses of a user's and an item's vector, which no dot product is."""
    inputs = spec.pair_inputs("user_id", "item_id", "price")
    user = tf.keras.layers.Embedding(spec.queries["user_id"].size, 3)
    item = tf.keras.layers.Embedding(spec.candidates["item_id"].size, 3)
    crossed = tf.keras.layers.Dense(5, activation="relu")(
        tf.concat([user(inputs["user_id"]), item(inputs["item_id"])], axis=-1)
    )
    logit = tf.keras.layers.Dense(1)(crossed) + 0.01 * inputs["price"][:, None]
    ranker = tf.keras.Model(inputs, {"embedding": crossed, "logit": logit})
    return RankerCloud(**{"ranker": ranker, "tables": {"user": user, "item": item}, **given})


class Answers(tf.keras.Model):
    """Answers what it is told to."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def call(self, inputs):
        return self.answer(tf.cast(inputs["item_id"], tf.float32))


def a_tensor_alone(_spec):
    return RankerCloud(Answers(lambda item: item[:, None]))


def no_logit(_spec):
    return RankerCloud(Answers(lambda item: {"embedding": item[:, None]}))


def flat_embeddings(_spec):
    return RankerCloud(Answers(lambda item: {"embedding": item, "logit": item}))


def two_logits(_spec):
    return RankerCloud(Answers(lambda item: {"embedding": item[:, None], "logit": item[None]}))


def not_finite(_spec):
    return RankerCloud(
        Answers(lambda item: {"embedding": item[:, None], "logit": tf.math.log(-1.0 - item)})
    )


def a_function(spec):
    return plain(spec, ranker=lambda inputs: inputs)


def retrieves(spec):
    return plain(spec, task=tfrs.tasks.Retrieval())


def reads_the_town(_spec):
    return RankerCloud(Answers(lambda item: item["town"]))


def tables_of_nothing(spec):
    made = plain(spec)
    return dataclasses.replace(made, tables={"user": made.tables["item"]})


def with_dropout(spec):
    inputs = spec.pair_inputs("price")
    pair = tf.keras.layers.Dropout(0.5)(inputs["price"][:, None])
    return plain(spec, ranker=tf.keras.Model(inputs, {"embedding": pair, "logit": pair}), tables={})


@pytest.mark.parametrize(
    ("builder", "told"),
    [
        ("a_tensor_alone", "dictionary of embedding .*, got"),
        ("no_logit", r"got \['embedding'\]"),
        ("flat_embeddings", r"expected the ranker's embedding \[n, d\], got \(2,\) for n=2"),
        ("two_logits", r"expected the ranker's logit \[n\] or \[n, 1\], got \(1, 2\)"),
        ("not_finite", "finite logit of the ranker"),
        ("a_function", "expected a tf.keras.Model as ranker, got function"),
        ("retrieves", r"Retrieval task .* two towers \(TwoTowerCloud\)"),
        ("reads_the_town", r"ranker failed at \w+\.py.*is given user_id, hist.*centralized"),
        ("tables_of_nothing", r"tables\['user'\]: expected 16 rows.*shape \(25, 3\)"),
        ("with_dropout", r"ranker: layer 'dropout\w*' \(Dropout\) draws random numbers"),
    ],
)
def test_what_no_exchange_can_be_made_of_is_refused(make, builder, told):
    with pytest.raises(ConfigError, match=rf"^cloud.model 'own_test_rankers:{builder}'.*{told}"):
        make(builder)


def test_fewer_rows_than_queries_and_one_name_on_both_sides_are_refused(make):
    with pytest.raises(ConfigError, match=r"cloud.rows: expected at least exchange.queries=4.*3"):
        make(rows=3)
    with pytest.raises(ConfigError, match="column 'price': users and items have one of this name"):
        pair_features({"plan": 1, "price": 2}, {"price": 3})


def test_it_is_all_that_a_run_asks_of_a_cloud_and_publishes_no_items(trained):
    cloud, table = trained
    assert isinstance(cloud, TrainableCloud)
    assert (table.cloud.shape, table.row_dim, table.cloud_dim) == ((25, 0), 5, 5)
    assert not table.bias.any()
    assert table.transmitted("int8").row_dim == 5


def test_rows_say_what_the_model_says_of_items_that_the_cloud_chose(trained, view, everybody):
    cloud, _ = trained
    sent = cloud.downlinks(everybody, round_number=2)
    assert isinstance(sent, CloudRows)
    assert sent.items.shape == (16, ROWS)
    assert sent.embeddings.shape == (16, ROWS, 5)
    said = cloud.scores(everybody, sent.items, knowledge=None, round_number=2)
    np.testing.assert_allclose(sent.logits, said, atol=1e-5)
    asked = cloud.queries(everybody, round_number=2)
    every = np.tile(np.arange(1, 25, dtype=np.int32), (16, 1))
    scores = cloud.scores(everybody, every, knowledge=None, round_number=2)
    for user in everybody.tolist():
        known = view.older.of(user)
        expected = choose_rows(
            asked=asked[user],
            best=(1 + np.argsort(-scores[user])).astype(np.int32),
            popular=popular_items(view),
            known=known,
            size=ROWS,
            popular_share=0.25,
        )
        assert sent.items[user].tolist() == expected.tolist()
        assert not set(known.tolist()) & set(expected.tolist())


def test_rows_follow_from_the_cloud_s_view_alone(make):
    """Devices' recent and held-out interactions are others, the older ones the same."""
    dataset = SHOP.shop()
    split = leave_one_out(dataset)
    older = cloud_view(dataset, split).older
    items = dataset.items.copy()
    draw = np.random.default_rng(5)
    changed = 0
    for user in range(16):
        (places,) = np.nonzero(dataset.users == user)
        places = places[np.argsort(dataset.timestamps[places])][len(older.of(user)) :]
        items[places] = 1 + draw.permutation(24)[: len(places)]
        changed += len(places)
    assert changed > 30
    other = dataclasses.replace(dataset, items=items)
    clouds = [make(other=cloud_view(each, leave_one_out(each))) for each in (dataset, other)]
    users = np.arange(16, dtype=np.int32)
    one, two = (cloud.downlinks(users, round_number=1) for cloud in clouds)
    for name in CloudRows._fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_rows_stay_as_published_while_the_model_learns(make, trained, knowledge, everybody):
    cloud = make()
    cloud.freeze()
    cloud.restore(trained[0].snapshot())
    before = cloud.downlinks(everybody, round_number=1)
    alone = cloud.scores(everybody, before.items, knowledge=None, round_number=1)
    assert cloud.update(knowledge, round_number=0, use_logits=True)["cloud_loss"] > 0
    for name, array in cloud.downlinks(everybody, round_number=1)._asdict().items():
        np.testing.assert_array_equal(array, getattr(before, name), err_msg=name)
    learned = cloud.scores(everybody, before.items, knowledge=None, round_number=1)
    assert np.abs(learned - alone).max() > 1e-4
    fused = cloud.scores(everybody, before.items, knowledge=knowledge, round_number=1)
    assert np.abs(fused - learned)[:14].max() > 1e-3
    np.testing.assert_allclose(fused[14:], learned[14:], atol=1e-6)
    other = make(downlink_rate=1.0)
    other.freeze()
    other.restore(trained[0].snapshot())
    other.update(knowledge, round_number=0, use_logits=True)
    # Another build learned the same of the same, bit by bit; its downlinks follow at once.
    for name, array in other.model.named_variables().items():
        if not name.startswith("sent/"):
            np.testing.assert_array_equal(array, cloud.model.named_variables()[name], err_msg=name)
    newest = other.downlinks(everybody, round_number=1)
    said = other.scores(everybody, newest.items, knowledge=None, round_number=1)
    np.testing.assert_allclose(newest.logits, said, atol=1e-5)


def test_uplinks_move_scores_by_the_embedding_of_the_pair(trained, knowledge, everybody):
    """`z_c` with uplinks is `z_c + w · h_c`, and `user_embeddings` is `w`."""
    cloud, _ = trained
    items = np.tile(np.arange(1, 6, dtype=np.int32), (16, 1))
    weights = cloud.user_embeddings(everybody, knowledge=knowledge, round_number=1)
    embeddings, logits = cloud.model.pairs(cloud.states[everybody], items)
    expected = logits.numpy() + np.einsum("nd,ncd->nc", weights, embeddings.numpy())
    found = cloud.scores(everybody, items, knowledge=knowledge, round_number=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not cloud.user_embeddings(everybody, knowledge=None, round_number=1).any()


def test_choice_by_hand():
    """An item that the user touched, 2, and repeated and empty places of what is given."""
    names = ("asked", "best", "popular", "known")
    given = ([5, 0, 5], [9, 5, 8, 7, 0], [1, 2, 9, 3, 4], [2])
    ids = dict(zip(names, (np.array(each, np.int32) for each in given), strict=True))

    def chosen(size, share):
        return choose_rows(**ids, size=size, popular_share=share).tolist()

    # Four places, one for the query; of the three that are left one is for a popular item.
    assert chosen(4, 0.4) == [1, 5, 8, 9]
    assert chosen(4, 0.0) == [5, 7, 8, 9]
    assert chosen(5, 1.0) == [1, 3, 4, 5, 9]
    assert chosen(10, 0.4) == [1, 3, 4, 5, 7, 8, 9, 0, 0, 0]


@pytest.mark.slow
def test_the_kit_passes_it_and_finds_rows_of_their_own_way():
    def builder(spec):
        inputs = spec.pair_inputs("user_id", "item_id")
        user = tf.keras.layers.Embedding(spec.queries["user_id"].size, 3)
        item = tf.keras.layers.Embedding(spec.candidates["item_id"].size, 3)
        pair = user(inputs["user_id"]) * item(inputs["item_id"])
        logit = tf.keras.layers.Dense(1)(tf.nn.relu(pair))
        ranker = tf.keras.Model(inputs, {"embedding": pair, "logit": logit})
        return RankerCloud(ranker, tables={"user": user, "item": item})

    findings = cloud_findings(builder)
    assert [each.check for each in findings if not each.passed] == []
    assert len(findings) == 11
