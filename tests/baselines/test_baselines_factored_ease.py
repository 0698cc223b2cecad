"""Factored EASE: equal to the dense form where nothing is left out, near it elsewhere."""

import numpy as np
import pytest
from scipy.sparse.linalg import svds

from ecct_tf.baselines import Ease, FactoredEase, ease_scores, fit_ease, fit_factored_ease
from ecct_tf.baselines import factored_ease as module
from ecct_tf.baselines.ease import fit_item_weights
from ecct_tf.config import SimilarityConfig
from ecct_tf.errors import ConfigError

LAMBDA = 3.0


def draw(users, items, *, seed=3):
    """Histories with structure: a user likes the items of one of two halves."""
    rng = np.random.default_rng(seed)
    halves = np.array_split(np.arange(1, items + 1), 2)
    return [
        rng.choice(halves[user % 2], rng.integers(2, items // 2), replace=False).astype(np.int32)
        for user in range(users)
    ]


def weights(model):
    return model.left @ model.right.T - np.diag(model.own)


@pytest.mark.parametrize(
    ("users", "items", "factors"),
    [
        pytest.param(6, 14, 100, id="more items than users"),
        pytest.param(40, 12, 12, id="more users than items"),
        pytest.param(40, 12, 11, id="one direction left out"),
    ],
)
def test_with_all_directions_it_is_ease(users, items, factors):
    histories = draw(users, items)
    dense = fit_ease(histories, num_items=items, regularization=LAMBDA).weights
    model = fit_factored_ease(histories, num_items=items, regularization=LAMBDA, factors=factors)
    # What is left out is given back on the diagonal, so that even then little is lost.
    error = np.linalg.norm(weights(model) - dense) / np.linalg.norm(dense)
    assert error < (1e-5 if factors >= min(users, items) else 0.2)
    assert model.left.shape[1] <= min(users, items, factors)
    assert model.left.dtype == model.right.dtype == np.float32
    assert not model.left[0].any()
    assert not model.right[0].any()


def test_what_is_left_out_goes_to_the_diagonal():
    """By hand: two items that nobody shares, one direction kept of two."""
    histories = [np.array([1])] * 4 + [np.array([2])]
    model = fit_factored_ease(histories, num_items=2, regularization=1.0, factors=1)
    np.testing.assert_allclose(weights(model), np.zeros((3, 3)), atol=1e-6)
    # Item 1 is the kept direction, G = 4 of it: F = 4/5 / (1 + 4/5 ...) by Woodbury.
    inverse = 1.0 / (4.0 + 1.0)
    np.testing.assert_allclose(model.own[1], (1.0 - inverse) / inverse, rtol=1e-5)
    np.testing.assert_allclose(model.own[2], 0.0, atol=1e-6)


def test_scores_are_those_of_the_weights_written_out(monkeypatch):
    monkeypatch.setattr(module, "_USERS_AT_ONCE", 3)
    histories = draw(20, 12)
    model = fit_factored_ease(histories, num_items=12, regularization=LAMBDA, factors=5)
    written = Ease(weights(model).astype(np.float32))
    rng = np.random.default_rng(0)
    candidates = np.stack([rng.permutation(12)[:6] + 1 for _ in range(8)]).astype(np.int32)
    asked = [*histories[:7], np.zeros(0, np.int32)]
    for decay in (1.0, 0.8):
        np.testing.assert_allclose(
            ease_scores(model, asked, candidates, decay=decay),
            ease_scores(written, asked, candidates, decay=decay),
            atol=1e-5,
        )


def test_products_and_decompositions_are_those_of_the_weights_written_out():
    model = fit_factored_ease(draw(20, 12), num_items=12, regularization=LAMBDA, factors=6)
    written = weights(model)
    columns = np.random.default_rng(1).standard_normal((13, 3)).astype(np.float32)
    np.testing.assert_allclose(model.applied_to(columns), written @ columns, atol=1e-5)
    found = np.sort(svds(model.operator(), k=3, v0=np.ones(13))[1])
    np.testing.assert_allclose(found, np.sort(np.linalg.svd(written)[1])[-3:], rtol=1e-5)


def test_it_repeats_bit_by_bit():
    histories = draw(60, 40)
    one, other = (
        fit_factored_ease(histories, num_items=40, regularization=LAMBDA, factors=7)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.left, other.left)
    np.testing.assert_array_equal(one.right, other.right)


def test_few_directions_rank_as_the_dense_form_does():
    """The half that a user likes stays on top."""
    histories = draw(60, 40)
    model = fit_factored_ease(histories, num_items=40, regularization=LAMBDA, factors=7)
    candidates = np.arange(1, 41, dtype=np.int32)[None].repeat(2, axis=0)
    first, second = ease_scores(model, [np.array([1, 2]), np.array([39, 40])], candidates)
    assert np.median(first[2:20]) > 10 * np.abs(first[20:]).max()
    assert np.median(second[20:38]) > 10 * np.abs(second[:20]).max()


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, Ease),
        ({"dense_items": 11}, FactoredEase),
        ({"form": "factored"}, FactoredEase),
        ({"form": "dense", "dense_items": 1}, Ease),
    ],
)
def test_the_size_of_the_catalog_decides_unless_told(settings, kind):
    model = fit_item_weights(
        draw(8, 12), num_items=12, regularization=1.0, similarity=SimilarityConfig(**settings)
    )
    assert isinstance(model, kind)


@pytest.mark.parametrize(("regularization", "factors"), [(0.0, 3), (np.inf, 3), (1.0, 0)])
def test_what_it_cannot_mean_is_refused(regularization, factors):
    with pytest.raises(ConfigError, match="factors"):
        fit_factored_ease(draw(8, 12), num_items=12, regularization=regularization, factors=factors)


@pytest.mark.parametrize("factors", [1, 6])
def test_without_a_basis_of_the_users_it_is_the_same(monkeypatch, factors):
    histories = draw(60, 20, seed=5)
    settings = {"num_items": 20, "regularization": 3.0, "factors": factors}
    expected = weights(fit_factored_ease(histories, **settings))
    monkeypatch.setattr(module, "LARGEST_BASIS_BYTES", 0)
    monkeypatch.setattr(module, "_MULTIPLIED_AT_ONCE", 7)
    found = weights(fit_factored_ease(histories, **settings))
    np.testing.assert_allclose(found, expected, atol=1e-6)
