"""What devices tell of pairs of items before the first round of a simulation."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import load_config
from ecct_tf.data import DeviceGroups
from ecct_tf.errors import CheckpointError
from ecct_tf.federated.device_sums import sum_federated, sum_here
from ecct_tf.simulation import ecct, starts
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.increments import collect_increments, increment_spec
from ecct_tf.simulation.methods import ABLATIONS, build_algorithm
from ecct_tf.simulation.run_cloud import fitted_cloud, restored_cloud
from ecct_tf.simulation.simulate import simulate

WIDTH = (
    "exchange.item_increments.positions=4",
    "exchange.item_increments.width=4096",
    "cloud.next_item.epochs=1",
)
NONE = "exchange.item_increments.positions=0"


@pytest.fixture(scope="module")
def config(small_config):
    return small_config(*WIDTH, "rounds=2", "edge.tiers={linear: 1.0}")


@pytest.fixture(scope="module")
def experiment(config):
    return build_experiment(config)


@pytest.fixture(scope="module")
def algorithm(experiment):
    return build_algorithm(experiment)


def with_config(experiment, config):
    return dataclasses.replace(experiment, config=config)


def test_the_sum_says_what_devices_met_lately_and_no_more(experiment, algorithm):
    new = np.zeros(experiment.dataset.num_items + 1)
    for group in experiment.groups:
        for view in group:
            newest = view.history[view.num_older :][-4:]
            before = view.history[: len(view.history) - len(newest)]
            np.add.at(new, np.setdiff1d(newest, before), 1.0)
    np.testing.assert_array_equal(algorithm.sums.pairs.counts.items, new)
    assert new.any()


def test_what_the_cloud_knows_already_is_not_sent(experiment):
    class Known(DeviceGroups):
        """Devices of whose history the cloud knows all."""

        def __getitem__(self, index):
            views = super().__getitem__(index)
            return tuple(dataclasses.replace(view, num_older=len(view.history)) for view in views)

        def subset(self, members):
            return [self[member] for member in members]

    users = [experiment.groups.users_of(device) for device in range(len(experiment.groups))]
    groups = Known(experiment.dataset, experiment.split, users)
    nothing = collect_increments(dataclasses.replace(experiment, groups=groups))
    assert not nothing.total.any()


def test_the_item_table_holds_it(experiment, algorithm, small_config):
    plain = build_algorithm(with_config(experiment, small_config(*WIDTH, NONE)))
    names = [block.name for block in algorithm.table.blocks]
    changed = {
        name
        for name, old, new in zip(names, plain.table.blocks, algorithm.table.blocks, strict=True)
        if not np.array_equal(old.source, new.source)
    }
    assert changed == {"preference", "sequence", "next item"}
    assert plain.sums.pairs is None
    assert "item_increments" not in plain.to_arrays(plain.initialize())


def test_starting_weights_are_trained_on_a_table_that_holds_it(
    experiment, small_config, monkeypatch
):
    config = small_config(*WIDTH, "edge.start=cloud", "edge.tiers={linear: 1.0}")
    built = []

    def fitted(config, view, **options):
        built.append(options["increments"])
        return fitted_cloud(config, view, **options)

    monkeypatch.setattr(starts, "fitted_cloud", fitted)
    algorithm = ecct.build_ecct(with_config(experiment, config))
    assert built == [algorithm.sums.pairs]


def test_an_ablation_without_uplinks_sends_none(experiment, config, caplog):
    for name in ("no exchange", "down only"):
        assert collect_increments(with_config(experiment, ABLATIONS[name].of(config))) is None
    assert not caplog.text


def test_a_catalog_that_is_not_written_out_sends_none_and_says_so(small_config, caplog):
    config = small_config(*WIDTH, "cloud.similarity.form=factored")
    assert increment_spec(config, 120, older_counts=np.full(24, 4), num_devices=24) is None
    assert "cloud.similarity.form=factored" in caplog.text


def by_itself(*settings, older=4, users=200, devices=200):
    """What a run does that leaves `positions` open, with short histories unless said otherwise."""
    config = load_config(overrides=settings)
    counts = np.full(users, older)
    return increment_spec(config, 1000, older_counts=counts, num_devices=devices)


def test_devices_tell_by_themselves_where_histories_are_short():
    assert by_itself().positions == 4
    # A fifth is recent: of 16 older ones 4 newer are expected, of 17 more.
    assert by_itself(older=16).positions == 4
    assert by_itself(older=17) is None
    # One new interaction and four steps of each of 2,048 users fill half of a row.
    assert by_itself(users=2048) is not None
    assert by_itself(users=2049) is None
    assert by_itself(devices=100) is not None
    assert by_itself(devices=99) is None


@pytest.mark.parametrize(
    "setting",
    [
        "exchange.item_increments.positions=0",
        "exchange.noise_multiplier=1",
        "exchange.item_increments.noise_multiplier=1",
        "exchange.rows=item",
        "exchange.up=false",
        "privacy.max_epsilon=8",
        "cloud.similarity.form=factored",
        "data.recent_fraction=0",
    ],
)
def test_devices_tell_nothing_by_themselves_where(setting, caplog):
    assert by_itself(setting) is None
    assert not caplog.text


def test_devices_drop_out_of_the_sum_too(experiment, config):
    half = dataclasses.replace(config.participation, dropout=0.5, devices_per_round=1)
    some = collect_increments(
        with_config(experiment, dataclasses.replace(config, participation=half))
    )
    everyone = collect_increments(experiment)
    assert 0 < some.counts.items.sum() < everyone.counts.items.sum()
    assert some.uplink_bytes < 0.6 * everyone.uplink_bytes


def test_its_bytes_are_sums_of_the_first_round(algorithm, experiment):
    everyone, state = np.arange(algorithm.num_devices), algorithm.initialize()
    nobody = np.zeros(0, np.int64)
    spec = algorithm.sums.pairs.spec
    reports = []
    for number in range(2):
        state, report = algorithm.next(
            state, round_number=number, participants=everyone, answering=nobody
        )
        assert report.uplink_bytes == 0
        reports.append(report.sums_bytes)
    # 9 bits of a device, and 5 since 24 are summed.
    assert spec.sum_bits(24) == 9 + 5
    expected = len(experiment.groups) * -(-spec.size * 14 // 8)
    assert reports == [expected, 0]


@pytest.mark.parametrize(("engine", "expected"), [("tff", sum_federated), ("local", sum_here)])
def test_a_run_sums_by_its_engine(config, monkeypatch, engine, expected):
    class SeenError(Exception):
        """Ends the run where the method is built."""

    def build(experiment, *, spaces, summed):
        del experiment, spaces
        raise SeenError(summed)

    monkeypatch.setattr("ecct_tf.simulation.running.build_algorithm", build)
    runtime = dataclasses.replace(config.runtime, engine=engine)
    with pytest.raises(SeenError) as caught:
        simulate(dataclasses.replace(config, runtime=runtime))
    assert caught.value.args == (expected,)


def test_a_checkpoint_holds_the_sum_that_its_cloud_was_built_with(config, experiment, algorithm):
    state = algorithm.initialize()
    arrays = algorithm.to_arrays(state)
    np.testing.assert_array_equal(arrays["item_increments"], algorithm.sums.pairs.total)
    assert algorithm.from_arrays(arrays).edge.round_number == 0
    cloud, test = restored_cloud(experiment, arrays, algorithm.table), experiment.test
    np.testing.assert_allclose(
        cloud.scores(test.users, test.items, knowledge=state.edge.knowledge, round_number=0),
        algorithm.scores(state, test)["cloud"],
        rtol=1e-4,
        atol=1e-4,
    )
    quiet = dataclasses.replace(config.exchange.item_increments, positions=0)
    exchange = dataclasses.replace(config.exchange, item_increments=quiet)
    silent = with_config(experiment, dataclasses.replace(config, exchange=exchange))
    with pytest.raises(CheckpointError, match="not ask for"):
        restored_cloud(silent, arrays, algorithm.table)
