"""Starting weights: what the cloud may learn them from, and what they are good for."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cloud import CloudRecommender
from cloud.start import starting_weights
from cloud.start_samples import StartSamples, inner_view
from ecct_tf.config import FeatureConfig, StartConfig
from ecct_tf.config.loss_names import DEFAULT_LOSS
from ecct_tf.edge import EdgeSpec, build_edge_model
from ecct_tf.errors import ConfigError

FEATURES = FeatureConfig(history_length=6, decays=(1.0, 0.8), last_items=2, clock=False)
START = StartConfig(epochs=1, min_steps=0, negatives=3, batch_size=16)


@pytest.fixture(scope="module")
def models(cloud):
    table = cloud.publish()
    spec = EdgeSpec(
        interaction_dim=len(table.feature_mean),
        history_length=FEATURES.history_length,
        num_blocks=len(table.blocks),
        profile_sizes=(3, 4),
        cloud_dim=table.cloud.shape[1],
        embedding_dim=3,
        hidden_dim=4,
        profile_dim=2,
    )
    return [build_edge_model(tier, spec) for tier in ("linear", "mlp", "attention")]


@pytest.fixture(scope="module")
def train(view, models, make_cloud):
    def made(inner):
        cloud = make_cloud(inner)
        cloud.fit()
        return cloud

    def train(config=START, *, seed=0, which=models, **options):
        return starting_weights(
            view, which, config, features=FEATURES, build=made, seed=seed, **options
        )

    return train


@pytest.fixture(scope="module")
def starts(train):
    return train()


def test_the_newest_share_of_each_history_is_hidden(make_view):
    histories = [[1, 2, 3, 4, 5], [1, 2, 3, 4], [1, 2], [1], []]
    inner = inner_view(make_view(histories, num_items=5), 0.25)
    found = [inner.older.of(user).tolist() for user in range(5)]
    # ceil(5 / 4) = 2, ceil(4 / 4) = 1, ceil(2 / 4) = 1; one interaction always stays.
    assert found == [[1, 2, 3], [1, 2, 3], [1], [1], []]


def test_every_tier_gets_finite_weights_of_its_size(starts, models):
    assert {tier: value.shape for tier, value in starts.items()} == {
        model.tier: (model.layout.size,) for model in models
    }
    assert all(np.isfinite(value).all() for value in starts.values())


def test_few_positions_are_gone_over_up_to_five_times_as_often(train, models):
    found = [
        train(dataclasses.replace(START, epochs=epochs, min_steps=steps), which=models[:1])
        for epochs, steps in ((1, 10**6), (5, 0))
    ]
    np.testing.assert_array_equal(found[0]["linear"], found[1]["linear"])


def test_the_loss_that_is_named_trains_the_start(train, models):
    """And a batch of a loss by position is whole positions: 16 rows hold four of four."""
    by_position, single = (dataclasses.replace(START, loss=one) for one in (DEFAULT_LOSS, "bce"))
    found = train(by_position, which=models[:1])["linear"]
    assert np.isfinite(found).all()
    assert not np.array_equal(found, train(single, which=models[:1])["linear"])
    whole = dataclasses.replace(by_position, batch_size=19)
    np.testing.assert_array_equal(found, train(whole, which=models[:1])["linear"])
    # A batch that holds no whole position has one all the same.
    small, one = (dataclasses.replace(by_position, batch_size=size) for size in (1, 4))
    np.testing.assert_array_equal(
        *(train(each, which=models[:1])["linear"] for each in (small, one))
    )


def test_the_same_seed_gives_the_same_bits_and_another_others(train, starts, models):
    again = train(which=models[:1])["linear"]
    other = train(which=models[:1], seed=1)["linear"]
    np.testing.assert_array_equal(again, starts["linear"])
    assert not np.array_equal(other, starts["linear"])


def test_weights_that_read_the_cloud_embedding_are_silent(starts, models):
    for model in models:
        named = model.layout.to_dict(starts[model.tier])
        width, silent = model.spec.interaction_dim, model.spec.cloud_dim
        first = named["embedding/kernel" if model.tier == "linear" else "hidden/kernel"]
        rows = slice(width, width + silent)
        assert not first[rows].any()
        assert not named["head/inputs"][rows].any()
        assert first[:width].any()
        # The logit right behind is read.
        assert named["head/inputs"][width + silent] != 0.0


def test_weights_of_devices_that_hear_no_logit_do_not_lean_on_one(train, models):
    model = models[1]
    named = model.layout.to_dict(train(which=[model], reads_logit=False)["mlp"])
    silent = slice(model.spec.interaction_dim, model.spec.interaction_dim + model.spec.cloud_dim)
    assert not named["head/inputs"][silent].any()
    assert named["head/inputs"][silent.stop] == 0.0
    assert named["hidden/kernel"][: silent.start].any()


def test_samples_that_two_methods_share_give_each_its_own_bits(
    train, starts, models, make_cloud, view
):
    def build(inner):
        cloud = make_cloud(inner)
        cloud.fit()
        return cloud

    samples = StartSamples(view, START, features=FEATURES, build=build, seed=0)
    # Of one tier with the logit and without it, of another, and of the first again.
    linear, mlp = models[:2]
    for model, reads_logit in ((mlp, True), (mlp, False), (linear, True), (mlp, True)):
        found = train(which=[model], reads_logit=reads_logit, samples=samples)[model.tier]
        if reads_logit:
            np.testing.assert_array_equal(found, starts[model.tier])
        else:
            alone = train(which=[model], reads_logit=False)[model.tier]
            np.testing.assert_array_equal(found, alone)
            assert not np.array_equal(found, starts[model.tier])


def test_no_value_of_a_private_column_stays_untrained(starts, models):
    """Drawn at random, all rows move; a row left out would keep its first values."""
    model = models[1]
    first = model.layout.to_dict(model.layout.initial(0))
    trained = model.layout.to_dict(starts["mlp"])
    for name in ("profile_0", "profile_1"):
        assert (trained[name] != first[name]).all()


def test_a_model_of_ones_own_learns_from_item_vectors(train, models, cloud, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples" / "own_edge_models")
    width = sum(block.source.shape[1] for block in cloud.publish().blocks)
    spec = dataclasses.replace(models[0].spec, item_dim=width)
    model = build_edge_model("own_edge_models.gru:gru4rec", spec)
    (found,) = train(which=[model]).values()
    first, trained = (model.layout.to_dict(each) for each in (model.layout.initial(0), found))
    for name in ("gru/kernel", "gru/recurrent", "candidate/kernel"):
        assert np.abs(trained[name] - first[name]).max() > 1e-4, name


def test_a_model_of_another_table_is_refused(train, models):
    spec = dataclasses.replace(models[0].spec, interaction_dim=5)
    with pytest.raises(ConfigError, match="reads 5"):
        train(which=[build_edge_model("linear", spec)])


def test_histories_of_one_interaction_are_refused_with_the_way_out(make_view, models):
    view = make_view([[1], [2]], num_items=4)
    with pytest.raises(ConfigError, match=r"edge\.start=random"):
        starting_weights(view, models, START, features=FEATURES, build=CloudRecommender, seed=0)


def test_the_start_learns_to_read_the_clock_from_older_times(view, config):
    features = dataclasses.replace(FEATURES, clock=True)
    next_item = dataclasses.replace(config.next_item, epochs=0)

    def build(inner):
        return CloudRecommender(
            inner,
            dataclasses.replace(config, next_item=next_item),
            features=features,
            edge_dim=3,
            num_queries=2,
            seed=0,
        )

    table = build(view).publish()
    model = build_edge_model(
        "linear",
        EdgeSpec(
            interaction_dim=len(table.feature_mean),
            history_length=FEATURES.history_length,
            num_blocks=len(table.blocks),
            profile_sizes=(3,),
            cloud_dim=table.cloud.shape[1],
        ),
    )
    read = slice(
        len(table.feature_mean) - features.clock_features(num_blocks=len(table.blocks)),
        len(table.feature_mean),
    )

    def weights(times):
        older = dataclasses.replace(view.older, timestamps=times)
        known = dataclasses.replace(view, older=older)
        start = starting_weights(known, [model], START, features=features, build=build, seed=0)[
            "linear"
        ]
        return model.layout.to_dict(start)["head/inputs"]

    times = view.older.timestamps
    with_times, with_numbers = weights(times), weights(np.arange(len(times)))
    assert with_times[read].all()
    # Numbers of rows are no times: nothing reaches those weights.
    assert not with_numbers[read].any()
    assert with_numbers[: read.start].any()
