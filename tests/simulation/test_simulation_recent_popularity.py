"""What devices tell of single items before the first round of a simulation."""

import dataclasses

import numpy as np
import pytest

from cloud.start_samples import hidden_popularity, inner_view
from ecct_tf.config import load_config
from ecct_tf.config.table_names import LARGE_CATALOG
from ecct_tf.errors import CheckpointError
from ecct_tf.knowledge.recent_popularity import recent_popularity
from ecct_tf.privacy import PrivacyAccount, gaussian_epsilon
from ecct_tf.simulation import starts
from ecct_tf.simulation.attack import attack_of
from ecct_tf.simulation.device_sums import DeviceSums, collect_sums
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import ABLATIONS, build_algorithm
from ecct_tf.simulation.recent_popularity import collect_popularity, popularity_spec
from ecct_tf.simulation.run_cloud import fitted_cloud, restored_cloud

TOLD = "exchange.recent_popularity.positions=4"


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(TOLD, "rounds=2", "edge.tiers={linear: 1.0}", "cloud.next_item.epochs=1")


@pytest.fixture(scope="module")
def experiment(config):
    return build_experiment(config)


@pytest.fixture(scope="module")
def algorithm(experiment):
    return build_algorithm(experiment)


def with_config(experiment, config):
    return dataclasses.replace(experiment, config=config)


def test_the_item_table_says_how_many_met_an_item_lately(experiment, algorithm):
    met = np.zeros(experiment.dataset.num_items + 1, int)
    for group in experiment.groups:
        for view in group:
            met[np.unique(view.history[view.num_older :][-4:])] += 1
    assert met.any()
    np.testing.assert_array_equal(algorithm.sums.newest.total, met)
    table = algorithm.table
    assert table.counts_newest
    # The codec rounds.
    np.testing.assert_allclose(table.attributes[1:, -1], recent_popularity(met)[1:], atol=0.3)
    cohort = algorithm.process.cohorts[0]
    assert cohort.work.task.counts_newest


def test_the_cloud_itself_does_not_read_it(experiment, algorithm, config):
    quiet = dataclasses.replace(config.exchange.recent_popularity, positions=0)
    exchange = dataclasses.replace(config.exchange, recent_popularity=quiet)
    plain = build_algorithm(with_config(experiment, dataclasses.replace(config, exchange=exchange)))
    assert plain.sums == DeviceSums()
    assert not plain.table.counts_newest
    width = plain.table.attributes.shape[1]
    assert algorithm.table.attributes.shape[1] == width + 1
    for name, value in plain.initialize().cloud.items():
        np.testing.assert_array_equal(value, algorithm.initialize().cloud[name], err_msg=name)


def test_starting_weights_learn_it_from_what_the_cloud_hides(experiment, small_config, monkeypatch):
    config = small_config(TOLD, "edge.start=cloud", "edge.tiers={linear: 1.0}")
    seen = []

    def fitted(run, view, **options):
        seen.append((view, options["recent"]))
        return fitted_cloud(run, view, **options)

    monkeypatch.setattr(starts, "fitted_cloud", fitted)
    build_algorithm(with_config(experiment, config))
    ((inner, recent),) = seen
    view = experiment.view
    spec = collect_popularity(experiment).spec
    np.testing.assert_array_equal(recent, hidden_popularity(view, inner, spec=spec, seed=(1, 2)))
    assert recent.any()
    known = inner_view(view, config.start.inner_fraction)
    np.testing.assert_array_equal(inner.older.items, known.older.items)


def test_starting_weights_learn_it_with_the_noise_of_the_sum(experiment):
    view = experiment.view
    inner = inner_view(view, 0.5)
    plain = collect_popularity(experiment).spec
    noisy = dataclasses.replace(
        plain, config=dataclasses.replace(plain.config, noise_multiplier=50.0)
    )
    counts, noised = (
        2 * np.expm1(hidden_popularity(view, inner, spec=spec, seed=(1, 2)).astype(np.float64))
        for spec in (plain, noisy)
    )
    # Half of the normal distribution, whose other half is below nobody.
    met = np.maximum(noised[1:] - counts[1:], 0)
    assert 0.7 * noisy.noise < np.sqrt(2 * np.mean(met**2)) < 1.3 * noisy.noise
    again = hidden_popularity(view, inner, spec=noisy, seed=(1, 3))
    assert (again != recent_popularity(noised.round().astype(int))).any()


def test_devices_that_push_an_item_push_it_in_the_sum(experiment, config):
    poisoned = dataclasses.replace(config.attack, share=0.25, kind="push")
    attacked = with_config(experiment, dataclasses.replace(config, attack=poisoned))
    attack = attack_of(attacked)
    told = collect_popularity(attacked).total - collect_popularity(experiment).total
    views = [view for group in experiment.groups for view in group if view.user in attack.users]
    assert len(views) == len(attack.users) > 1
    expected = np.zeros_like(told)
    for view in views:
        newest, pretended = view.recent, [*view.recent, attack.item]
        expected[np.unique(newest[-4:])] -= 1
        expected[np.unique(pretended[-4:])] += 1
    np.testing.assert_array_equal(told, expected)
    assert told[attack.item] > 0


@pytest.mark.parametrize("name", ["no exchange", "down only"])
def test_an_ablation_without_uplinks_sends_none(name, experiment, config):
    ablation = ABLATIONS[name].of(config)
    assert collect_popularity(with_config(experiment, ablation)) is None


def by_itself(*settings, items=1682, devices=943):
    config = load_config(overrides=settings)
    return popularity_spec(config, items, num_devices=devices)


def test_devices_tell_by_themselves():
    assert by_itself().positions == 128
    # Of all that a device trains on, so that it takes its own bit out of what holds it.
    assert by_itself("samples.max_positions=30").positions == 30
    assert by_itself(devices=100) is not None
    assert by_itself(devices=99) is None
    assert by_itself(items=LARGE_CATALOG) is not None
    assert by_itself(items=LARGE_CATALOG + 1) is None
    config = load_config()
    told = {"num_devices": 943, "tells_pairs": True}
    assert popularity_spec(config, 1682, **told) is None
    named = by_itself("exchange.recent_popularity.positions=9", items=10**6, devices=2)
    assert named.positions == 9


@pytest.mark.parametrize(
    "setting",
    [
        "exchange.recent_popularity.positions=0",
        "exchange.noise_multiplier=1",
        "exchange.recent_popularity.noise_multiplier=1",
        "exchange.item_increments.noise_multiplier=1",
        "exchange.rows=item",
        "exchange.up=false",
        "privacy.max_epsilon=8",
        "data.recent_fraction=0",
        "data.recent_fraction=1",
    ],
)
def test_devices_tell_nothing_by_themselves_where(setting):
    assert by_itself(setting) is None


def test_its_bytes_are_sums_of_the_first_round(algorithm, experiment):
    everyone, state = np.arange(algorithm.num_devices), algorithm.initialize()
    nobody = np.zeros(0, np.int64)
    reports = []
    for number in range(2):
        state, report = algorithm.next(
            state, round_number=number, participants=everyone, answering=nobody
        )
        assert report.uplink_bytes == 0
        reports.append(report.sums_bytes)
    items = experiment.dataset.num_items + 1
    # 24 devices: five bits an item.
    assert reports == [24 * -(-items * 5 // 8), 0]


def test_devices_that_drop_out_tell_nothing(experiment, config):
    half = dataclasses.replace(config.participation, dropout=0.5)
    some = collect_sums(with_config(experiment, dataclasses.replace(config, participation=half)))
    everyone = collect_sums(experiment)
    assert 0 < some.newest.total.sum() < everyone.newest.total.sum()
    assert 0 < some.uplink_bytes < everyone.uplink_bytes


def test_a_checkpoint_holds_the_sum(config, experiment, algorithm):
    state = algorithm.initialize()
    arrays = algorithm.to_arrays(state)
    np.testing.assert_array_equal(arrays["recent_popularity"], algorithm.sums.newest.total)
    assert algorithm.from_arrays(arrays).edge.round_number == 0
    restored_cloud(experiment, arrays, algorithm.table)
    quiet = dataclasses.replace(config.exchange.recent_popularity, positions=0)
    exchange = dataclasses.replace(config.exchange, recent_popularity=quiet)
    silent = with_config(experiment, dataclasses.replace(config, exchange=exchange))
    with pytest.raises(CheckpointError, match=r"\(recent_popularity\).* not ask for"):
        restored_cloud(silent, arrays, algorithm.table)


def test_its_noise_is_in_the_account():
    told = "exchange.recent_popularity."
    settings = ("edge.shared=none", "exchange.noise_multiplier=4", f"{told}positions=64")
    account = PrivacyAccount.of(load_config(overrides=settings))
    assert any("items met lately" in each for each in account.unprotected)
    noised = (*settings, f"{told}noise_multiplier=2")
    account = PrivacyAccount.of(load_config(overrides=noised))
    assert account.unprotected == ()
    assert account.epsilon(0, 0) == gaussian_epsilon(1.0, 1e-5)


@pytest.mark.parametrize("name", ["item_increments", "recent_popularity"])
def test_noise_without_positions_is_told_to_send_nothing(name, small_config, experiment, caplog):
    noised = small_config(f"exchange.{name}.noise_multiplier=1")
    assert collect_sums(with_config(experiment, noised)) == DeviceSums()
    assert f"set exchange.{name}.positions" in caplog.text
    caplog.clear()
    collect_sums(with_config(experiment, small_config()))
    assert not caplog.text
