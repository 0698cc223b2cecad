"""Dropout: masks of whole numbers that anybody can compute, in training alone."""

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.edge import architecture, row_keys
from ecct_tf.edge import layers as kit
from ecct_tf.edge.building import model_of
from ecct_tf.edge.operators import check_operators
from ecct_tf.errors import ConfigError
from ecct_tf.testing import edge_model_findings

PRIME = 46_337


def mixed(key, other):
    total = (key * 27_149 + other % PRIME * 20_011 % PRIME) % PRIME
    return total**3 % PRIME


def dropping(spec, rate=0.4, declared=True):
    """A model that drops inputs and hidden values."""
    joined = kit.Inputs(spec)
    hidden = kit.Dense("hidden", joined.width, spec.hidden_dim, "tanh")
    embedding = kit.Dense("embedding", spec.hidden_dim, spec.embedding_dim, "tanh")
    head = kit.Head(spec.embedding_dim, spec.hidden_dim)
    first, second = kit.Dropout(rate), kit.Dropout(rate, seed=1)

    def forward(weights, inputs):
        values = first(joined(weights, inputs), inputs)
        values = second(hidden(weights, values), inputs)
        return head(weights, embedding(weights, values), values)

    layers = [joined, hidden, embedding, head]
    return architecture([*layers, first, second] if declared else layers, forward)


class Keyed:
    def __init__(self, keys):
        self.dropout = keys


def test_a_mask_is_what_whole_numbers_of_python_say():
    users = tf.constant([[0.25, -0.5, 99.0]])
    keys = row_keys(tf.constant([3.0]), tf.zeros([2]), items=tf.constant([7, 50_000]), users=users)
    told = 256 + 512 + 16 * 1024
    expected = [mixed(mixed(mixed(3, row), item), told) for row, item in enumerate((7, 50_000))]
    assert keys.numpy().tolist() == expected
    dropped = kit.Dropout(0.25, seed=11)(tf.ones([2, 5]), Keyed(keys)).numpy()
    for row, key in enumerate(expected):
        drawn = [mixed(mixed(key, 11), 11 + column) for column in range(5)]
        kept = [1 / 0.75 if each >= round(0.25 * PRIME) else 0.0 for each in drawn]
        np.testing.assert_allclose(dropped[row], kept, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_the_rate_says_in_rows_and_columns(rate):
    keys = row_keys(tf.constant([1.0]), tf.zeros([2000]), items=tf.range(2000) % 40)
    left = kit.Dropout(rate)(tf.ones([2000, 32]), Keyed(keys)).numpy()
    gone = left == 0
    assert gone.mean() == pytest.approx(rate, abs=0.01)
    assert left.mean() == pytest.approx(1.0, abs=0.1)
    assert np.abs(gone.mean(axis=0) - rate).max() < 0.06
    spread = np.sqrt(rate * (1 - rate) / 32)
    assert gone.mean(axis=1).std() == pytest.approx(spread, rel=0.15)
    apart = np.corrcoef(gone.T.astype(float)) - np.eye(32)
    assert np.abs(apart).max() < 0.15


def test_keys_differ_by_step_row_item_and_user():
    def keys(step=1.0, item=3, user=0.5, rows=2):
        items = tf.fill([rows], item)
        users = tf.fill([1, 2], user)
        return row_keys(tf.constant([step]), items, items=items, users=users).numpy()

    one = keys()
    assert one[0] != one[1]
    for other in (keys(step=2.0), keys(item=4), keys(user=0.6)):
        assert (one != other).all()
    # The number of rows of a batch, be it padded, changes nothing.
    assert keys(rows=5)[:2].tolist() == one.tolist()
    stacked = row_keys(
        tf.constant([[1.0], [2.0]]),
        tf.zeros([2, 2]),
        items=tf.fill([2, 2], 3),
        users=tf.fill([2, 2, 2], 0.5),
    )
    assert stacked.numpy().tolist() == [one.tolist(), keys(step=2.0).tolist()]


def test_where_nothing_trains_all_values_pass():
    values = tf.random.stateless_normal([3, 4], [0, 1])
    assert kit.Dropout(0.9)(values, Keyed(None)) is values
    assert kit.Dropout(0.0)(values, Keyed(tf.range(3))) is values


def test_a_model_that_drops_passes_the_kit():
    found = edge_model_findings(dropping)
    assert [finding.told for finding in found if not finding.passed] == []
    (told,) = [finding.told for finding in found if finding.check == "repeatable"]
    assert "what is dropped follows from the keys alone" in told


def test_the_kit_finds_a_model_that_declares_it_and_drops_nothing():
    def build(spec):
        return dropping(spec, rate=0.0)

    *_, finding = edge_model_findings(build, only=["repeatable"])
    assert finding.passed is False
    assert "gives the same answers for all of them" in finding.told


def test_what_is_not_listed_or_fits_no_rows_is_refused(spec):
    model = model_of("mine:dropping", spec, dropping(spec, declared=False))
    with pytest.raises(ConfigError, match=r"reads dropout at .*declare it.*reads=\['dropout'\]"):
        check_operators(model)
    with pytest.raises(
        ConfigError, match=r"expected values \[\.\.\., rows, width\], got \(3, 4, 2\)"
    ):
        kit.Dropout(0.5)(tf.ones([3, 4, 2]), Keyed(tf.range(3)))
    for rate, seed, message in ((1.0, 0, "rate from 0 to below 1"), (0.5, -1, "whole number")):
        with pytest.raises(ConfigError, match=message):
            kit.Dropout(rate, seed=seed)
