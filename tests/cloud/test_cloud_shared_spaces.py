"""What a space depends on decides who shares it, and a shared one is bit for bit the same."""

import dataclasses

import numpy as np
import pytest

from cloud import shared_spaces
from cloud.input_space import InputSpace, build_input_space
from cloud.recommender import CloudRecommender
from cloud.shared_spaces import InputSpaces
from ecct_tf.config import CloudConfig, FeatureConfig, NextItemConfig

CONFIG = CloudConfig(rank=3, next_item=NextItemConfig(epochs=1, rank=2))
FEATURES = FeatureConfig(history_length=6, decays=(1.0, 0.8), last_items=2, clock=False)


@pytest.fixture
def spaces(view):
    """Some spaces, the first of them computed already."""
    known = InputSpaces()
    known.of(view, CONFIG, features=FEATURES, seed=1)
    return known


def test_a_kept_space_is_what_computing_it_gives(view, spaces):
    kept = spaces.of(view, CONFIG, features=FEATURES, seed=1).to_arrays()
    fresh = build_input_space(view, CONFIG, features=FEATURES, seed=1).to_arrays()
    assert set(kept) == set(fresh)
    for name, values in fresh.items():
        np.testing.assert_array_equal(kept[name], values, err_msg=name)


def test_what_only_training_reads_shares_the_space(view, spaces):
    trained = dataclasses.replace(CONFIG, fit_epochs=8, batch_size=7, learning_rate=0.5)
    shared = spaces.of(view, trained, features=FEATURES, seed=1)
    assert shared is spaces.of(view, CONFIG, features=FEATURES, seed=1)
    assert len(spaces) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"rank": 2},
        {"regularization": 3.0},
        {"sequence_decay": 0.9},
        {"next_item": NextItemConfig(epochs=0)},
    ],
)
def test_another_cloud_has_a_space_of_its_own(view, spaces, changes):
    other = dataclasses.replace(CONFIG, **changes)
    own = spaces.of(view, other, features=FEATURES, seed=1).to_arrays()
    fresh = build_input_space(view, other, features=FEATURES, seed=1).to_arrays()
    assert len(spaces) == 2
    for name, values in fresh.items():
        np.testing.assert_array_equal(own[name], values, err_msg=name)


def test_other_data_features_or_seed_have_spaces_of_their_own(view, make_view, spaces):
    spaces.of(view, CONFIG, features=FEATURES, seed=2)
    wider = dataclasses.replace(FEATURES, decays=(1.0, 0.5))
    spaces.of(view, CONFIG, features=wider, seed=1)
    histories = [[1, 2, 3, 4, 5], [2, 3, 4], [5, 4, 1]]
    spaces.of(make_view(histories, num_items=5), CONFIG, features=FEATURES, seed=1)
    swapped = [[1, 2, 3, 4, 5], [2, 4, 3], [5, 4, 1]]
    spaces.of(make_view(swapped, num_items=5), CONFIG, features=FEATURES, seed=1)
    assert len(spaces) == 5


def test_what_is_left_out_of_the_key_is_never_read(view):
    class Watched:
        """A cloud configuration that notes which of its fields are read."""

        def __init__(self):
            self.read = set()

        def __getattr__(self, name):
            self.read.add(name)
            return getattr(CONFIG, name)

    watched = Watched()
    build_input_space(view, watched, features=FEATURES, seed=1)
    assert "rank" in watched.read
    assert not watched.read & shared_spaces._NOT_READ


def fitted(spaces, view, *, share=0.0, **changes):
    config = dataclasses.replace(CONFIG, **{"free_dim": 2, "hidden_dim": 4, **changes})
    return spaces.fitted(
        view, config, features=FEATURES, edge_dim=3, num_queries=2, seed=1, held_out_share=share
    )


def test_clouds_alike_learn_once_and_then_go_their_own_ways(view, monkeypatch):
    fits, fit, spaces = [], CloudRecommender.fit, InputSpaces()
    monkeypatch.setattr(CloudRecommender, "fit", lambda cloud: fits.append(1) or fit(cloud))
    first, second, alone = fitted(spaces, view), fitted(spaces, view), fitted(InputSpaces(), view)
    assert len(fits) == 2
    for name, values in alone.snapshot().items():
        np.testing.assert_array_equal(first.snapshot()[name], values, err_msg=name)
        np.testing.assert_array_equal(second.snapshot()[name], values, err_msg=name)
    np.testing.assert_array_equal(second.states, alone.states)
    first.fit()
    np.testing.assert_array_equal(
        second.user_embeddings(np.arange(3), knowledge=None, round_number=0),
        alone.user_embeddings(np.arange(3), knowledge=None, round_number=0),
    )
    third = fitted(spaces, view)
    for name, values in alone.snapshot().items():
        np.testing.assert_array_equal(third.snapshot()[name], values, err_msg=name)


@pytest.mark.parametrize("changes", [{"learning_rate": 0.1}, {"tail": 0.5}, {"share": 0.5}])
def test_another_training_is_fitted_by_itself(view, monkeypatch, changes):
    fits = []
    monkeypatch.setattr(CloudRecommender, "fit", lambda cloud: fits.append(cloud.config))
    spaces = InputSpaces()
    for given in ({}, changes, {}, changes):
        fitted(spaces, view, **given)
    assert len(fits) == 2


def test_only_the_newest_of_a_kind_are_kept():
    spaces, computed = InputSpaces(), []
    for key in [*range(9), 8, 1, 0]:
        assert spaces.once("number", key, lambda key=key: computed.append(key) or key) == key
    assert computed == [*range(9), 0]
    assert spaces.once("other", 1, lambda: "own") == "own"


def test_a_space_of_before_there_were_places_is_read_as_it_was(view):
    earlier = dataclasses.replace(CONFIG, item_places=False, symmetric_preference=False)
    space = build_input_space(view, earlier, features=FEATURES, seed=1)
    arrays = space.to_arrays()
    assert {"block/0/source", "block/0/target"} <= set(arrays)
    del arrays["has_places"]
    again = InputSpace.from_arrays(arrays)
    assert not again.has_places
    np.testing.assert_array_equal(again.item_inputs, space.item_inputs)
    assert again.model_attributes.shape == again.attributes.shape


def test_a_space_with_places_comes_back_with_one_array_of_preference(view):
    space = build_input_space(view, CONFIG, features=FEATURES, seed=1)
    again = InputSpace.from_arrays(space.to_arrays())
    assert again.has_places
    assert again.preference.is_symmetric
    np.testing.assert_array_equal(again.item_inputs, space.item_inputs)
