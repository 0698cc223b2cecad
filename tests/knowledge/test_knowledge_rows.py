"""Looking rows up: whose they are, what is missing, and their bytes."""

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.edge import collaborative_loss
from ecct_tf.errors import DataError
from ecct_tf.knowledge import CloudRows, ExchangeSpec, ItemTable, look_up
from ecct_tf.knowledge.table_arrays import item_table, item_table_arrays


def _rows(lead, count, width, seed=0):
    draw = np.random.default_rng(seed)
    items = np.array([draw.permutation(9)[:count] for _ in range(int(np.prod(lead)))])
    return CloudRows(
        tf.constant(items.reshape(*lead, count), tf.int32),
        tf.constant(draw.normal(size=(*lead, count, width)), tf.float32),
        tf.constant(draw.normal(size=(*lead, count)), tf.float32),
    )


def _by_hand(rows, item):
    for place, other in enumerate(rows.items.numpy().tolist()):
        if item == other and item > 0:
            return rows.embeddings[place].numpy(), float(rows.logits[place]), 1.0
    return np.zeros(rows.embeddings.shape[-1]), 0.0, 0.0


@pytest.mark.parametrize("devices", [(), (2,)])
def test_each_user_s_candidates_are_looked_up_in_the_user_s_own_rows(devices):
    """Without and with a device axis; three users on a device, one row of padding somewhere."""
    rows = _rows((*devices, 3), 4, 2)
    draw = np.random.default_rng(1)
    owner = draw.integers(0, 3, (*devices, 20))
    candidates = draw.integers(0, 9, (*devices, 20))
    told = tf.function(look_up)(
        rows, tf.constant(candidates, tf.int32), owner=tf.constant(owner, tf.int32)
    )
    assert told.embedding.shape == (*devices, 20, 2)
    assert 0 < told.known.numpy().mean() < 1
    for place in np.ndindex(*candidates.shape):
        mine = CloudRows(*(part[place[:-1]][owner[place]] for part in rows))
        embedding, logit, known = _by_hand(mine, int(candidates[place]))
        np.testing.assert_array_equal(told.embedding[place], embedding)
        assert (float(told.logit[place]), float(told.known[place])) == (logit, known)


def test_a_user_s_own_rows_need_no_owner():
    rows = _rows((5,), 4, 2)
    candidates = tf.tile(tf.range(9)[None], [5, 1])
    told = look_up(rows, candidates)
    for user in range(5):
        mine = CloudRows(*(part[user] for part in rows))
        for item in range(9):
            embedding, logit, known = _by_hand(mine, item)
            np.testing.assert_array_equal(told.embedding[user, item], embedding)
            assert (float(told.logit[user, item]), float(told.known[user, item])) == (logit, known)


@pytest.mark.parametrize(("codec", "each"), [("float32", 4 + 20 + 4), ("float16", 4 + 10 + 2)])
def test_bytes_are_those_of_what_crosses(codec, each):
    spec = ExchangeSpec(cloud_dim=5, embedding_dim=2, num_queries=3, codec=codec, num_rows=7)
    assert spec.downlink_bytes == 7 * each + 3 * 4
    known = CloudRows(*map(tf.constant, spec.nothing_known([1])))
    encoded = spec.encode_known(known)
    sizes = [np.asarray(part).nbytes for part in tf.nest.flatten(encoded)]
    assert sum(sizes) == spec.known_bytes
    for one, other in zip(spec.as_received(known), known, strict=True):
        np.testing.assert_array_equal(one, other)


def test_int8_has_a_scale_for_each_row_and_one_for_the_logits():
    spec = ExchangeSpec(cloud_dim=5, embedding_dim=2, num_queries=3, num_rows=7)
    assert spec.known_bytes == 7 * (4 + 5 + 2) + (7 + 2)
    rows = _rows((3,), 7, 5)
    received = spec.as_received(rows)
    np.testing.assert_array_equal(received.items, rows.items)
    worst = np.abs(rows.embeddings).max(axis=-1, keepdims=True) / 127
    assert (np.abs(received.embeddings - rows.embeddings) <= 0.51 * worst + 1e-3).all()


def test_nothing_is_distilled_where_there_is_no_teacher():
    logits, labels = tf.constant([0.3, -1.0]), tf.constant([1.0, 0.0])
    given = {"labels": labels, "weights": tf.ones(2), "temperature": 2.0}
    with tf.GradientTape() as tape:
        tape.watch(logits)
        half = collaborative_loss(
            logits,
            teacher=tf.constant([2.0, 9.0]),
            distillation_weight=0.5,
            taught=tf.constant([1.0, 0.0]),
            **given,
        )
    # BCE: log(1 + e^-0.3) and log(1 + e^-1); at temperature 2 the teacher of the first says
    # sigmoid(1) to a student at 0.15: 4 (log(1 + e^0.15) - 0.15 sigmoid(1)) / 2.
    sigmoid = 1 / (1 + np.exp(-1.0))
    own = np.log1p(np.exp(-0.3)) + np.log1p(np.exp(-1.0))
    taught = 0.5 * 4 * (np.log1p(np.exp(0.15)) - 0.15 * sigmoid)
    assert float(half) == pytest.approx((own + taught) / 2, abs=1e-6)
    slope = tape.gradient(half, logits).numpy()
    assert slope[1] == pytest.approx(0.5 / (1 + np.exp(1.0)), abs=1e-6)


def test_a_table_of_rows_is_kept_as_such_and_has_no_vectors():
    moments = np.zeros(3, np.float32)
    table = ItemTable(
        (), np.zeros((4, 1), "f"), np.zeros((4, 0), "f"), np.zeros(4, "f"), moments, moments,
        row_dim=6,
    )  # fmt: skip
    again = item_table(item_table_arrays(table))
    assert (again.row_dim, again.cloud_dim, again.num_items) == (6, 6, 3)
    assert "row_dim" not in item_table_arrays(
        ItemTable((), table.attributes, np.zeros((4, 2), "f"), table.bias, moments, moments)
    )
    with pytest.raises(DataError, match="no cloud embeddings of items where rows of 6"):
        ItemTable(
            (), table.attributes, np.zeros((4, 2), "f"), table.bias, moments, moments, row_dim=6
        )
