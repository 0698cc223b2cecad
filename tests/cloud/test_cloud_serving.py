"""The serving export: loaded without this package's code, equal to the recommender."""

import dataclasses
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from cloud.serving import Retrieval, ServingContent, export_serving
from ecct_tf.errors import DataError, ExportError
from ecct_tf.knowledge.table_arrays import item_table, item_table_arrays

TOP = 7


@pytest.fixture(scope="module")
def content(stored_cloud):
    return ServingContent.of(stored_cloud)


@pytest.fixture(scope="module")
def path(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "1"
    export_serving(content, path, retrieval=Retrieval(top_k=TOP))
    return path


@pytest.fixture(scope="module")
def served(path):
    loaded = tf.saved_model.load(str(path))
    return loaded, loaded.signatures


@pytest.fixture(scope="module")
def logits(taught_cloud, knowledge, everybody, view):
    """All of them, `[users, items]`, from the recommender."""
    items = np.broadcast_to(np.arange(1, view.num_items + 1), (len(everybody), view.num_items))
    return taught_cloud.scores(everybody, items, knowledge=knowledge, round_number=1)


def test_scores_are_those_of_the_recommender(served, everybody, view, logits, content):
    _, signatures = served
    items = np.tile(np.arange(1, view.num_items + 1, dtype=np.int32), (len(everybody), 1))
    found = signatures["score"](user=tf.constant(everybody), candidates=tf.constant(items))
    np.testing.assert_allclose(found["logits"], logits, atol=1e-5)
    expected = content.users[:, None, :] * content.table.cloud[items]
    np.testing.assert_allclose(found["h_c"], expected, atol=1e-6)


def test_original_ids_lead_to_the_same_scores(served, logits):
    _, signatures = served
    found = signatures["score_tokens"](
        user=tf.constant(["ü3", "ü0"]), candidates=tf.constant([["i40", "i1"], ["i2", "i3"]])
    )["logits"]
    np.testing.assert_allclose(
        found, [[logits[3, 39], logits[3, 0]], [logits[0, 1], logits[0, 2]]], atol=1e-5
    )


def test_who_is_unknown_counts_as_the_mean(served, logits, content):
    _, signatures = served
    unknown = signatures["score_tokens"](
        user=tf.constant(["nobody"]), candidates=tf.constant([["i5", "nothing"]])
    )["logits"].numpy()
    assert unknown[0, 0] == pytest.approx(logits[:, 4].mean(), abs=1e-5)
    padding = content.users.mean(axis=0) @ content.table.cloud[0] + content.table.bias[0]
    assert unknown[0, 1] == pytest.approx(padding, abs=1e-5)
    for user in (-1, 1000):
        found = signatures["score"](user=[user], candidates=[[5, 4000]])["logits"]
        np.testing.assert_allclose(found, unknown, atol=1e-6)


def test_retrieval_returns_the_best_in_order(served, logits):
    _, signatures = served
    found = signatures["retrieve"](
        user=[2, 9], exclude=np.zeros((2, 0), np.int32), exclude_known=[False, False]
    )
    for row, user in enumerate((2, 9)):
        best = np.argsort(-logits[user])[:TOP]
        np.testing.assert_array_equal(found["items"][row], best + 1)
        np.testing.assert_allclose(found["logits"][row], logits[user, best], atol=1e-5)


def test_what_is_excluded_does_not_come_back(served, logits, view):
    _, signatures = served
    best = 1 + np.argsort(-logits[2])
    exclude = best[[0, 2]].astype(np.int32)
    found = signatures["retrieve"](
        user=[2, 2], exclude=[exclude, exclude], exclude_known=[False, True]
    )
    kept = [item for item in best if item not in exclude]
    np.testing.assert_array_equal(found["items"][0], kept[:TOP])
    unknown = [item for item in kept if item not in view.older.of(2)]
    assert unknown[:TOP] != kept[:TOP]  # Otherwise the flag could do nothing.
    np.testing.assert_array_equal(found["items"][1], unknown[:TOP])
    tokens = signatures["retrieve_tokens"](
        user=tf.constant(["ü2"]),
        exclude=tf.constant([[f"i{item}" for item in exclude]]),
        exclude_known=[True],
    )["items"]
    assert [token.decode() for token in tokens.numpy()[0]] == [f"i{k}" for k in unknown[:TOP]]


def test_when_nothing_is_left_the_rest_is_padding(served, view):
    _, signatures = served
    exclude = np.arange(4, view.num_items + 1, dtype=np.int32)[None]
    found = signatures["retrieve"](user=[0], exclude=exclude, exclude_known=[False])
    assert sorted(found["items"].numpy()[0].tolist()) == [0, 0, 0, 0, 1, 2, 3]
    assert np.isfinite(found["logits"]).all()


def test_the_item_table_comes_back_whole(served, content):
    _, signatures = served
    found = {name: value.numpy() for name, value in signatures["item_table"]().items()}
    table = item_table(found)
    assert [block.is_symmetric for block in table.blocks] == [
        block.is_symmetric for block in content.table.blocks
    ]
    assert any(block.is_symmetric for block in table.blocks)
    for one, other in zip(table.blocks, content.table.blocks, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.source, other.source)
        np.testing.assert_array_equal(one.target, other.target)
    for field in ("attributes", "cloud", "bias", "feature_mean", "feature_scale"):
        np.testing.assert_array_equal(getattr(table, field), getattr(content.table, field))
    assert (table.logit_mean, table.logit_scale) == (
        content.table.logit_mean,
        content.table.logit_scale,
    )


def test_tables_lie_in_variables_not_in_the_graph(path, content):
    assert (path / "saved_model.pb").stat().st_size < 400_000
    needle = content.table.cloud[1:3].tobytes()
    assert needle not in (path / "saved_model.pb").read_bytes()


def test_scann_finds_what_is_best_or_says_how_to_get_it(content, tmp_path, logits):
    asked = Retrieval(top_k=TOP, index="scann", leaves=2, leaves_searched=2)
    if importlib.util.find_spec("scann"):
        # It searches both leaves and scores all items anew, so it must find what is best.
        export_serving(content, tmp_path / "1", retrieval=asked)
        signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
        best = np.argsort(-logits[2])[:TOP]
        found = signatures["retrieve"](
            user=[2], exclude=(1 + best[None, :1]).astype(np.int32), exclude_known=[False]
        )
        np.testing.assert_array_equal(found["items"][0, : TOP - 1], 1 + best[1:])
        return
    with pytest.raises(ExportError, match=r"pip install 'ecct-tf\[scann\]'"):
        export_serving(content, tmp_path / "1", retrieval=asked)


def test_a_retrieval_of_nothing_is_refused():
    with pytest.raises(ExportError, match="brute_force or scann"):
        Retrieval(top_k=0)


def test_parts_of_different_versions_are_refused(content):
    with pytest.raises(ExportError, match="different versions"):
        dataclasses.replace(content, users=content.users[1:])
    arrays = item_table_arrays(content.table)
    del arrays["cloud"]
    with pytest.raises(DataError, match="expected the arrays of an item table"):
        item_table(arrays)


def test_nothing_of_this_package_is_needed_to_load_it(path):
    program = """
import sys
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
found = served(user=tf.constant([0]), candidates=tf.constant([[1, 2]]))
ours = {"cloud", "ecct_tf", "mobile_export", "tensorflow_recommenders"}
assert found["logits"].shape == (1, 2)
assert not ours & {name.partition(".")[0] for name in sys.modules}
"""
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=120)
