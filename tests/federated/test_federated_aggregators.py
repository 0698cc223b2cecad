"""Aggregators of one's own: what a round makes of TFF's factories, and what is refused."""

import dataclasses
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import RunConfig, RuntimeConfig, ServerConfig
from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.federated import AggregatorSpec, build_ecct_process, chosen_engine, engine
from ecct_tf.federated.aggregators import Aggregator, aggregator_of, check_aggregators
from ecct_tf.federated.device_work import DeviceResult
from ecct_tf.federated.server import begin_server
from ecct_tf.federated.stages import (
    Work,
    WorkTypes,
    build_distribute,
    build_finalize,
    build_round,
)
from ecct_tf.simulation.edge_state import edge_arrays, edge_state

pytestmark = pytest.mark.skipif(chosen_engine() != "tff", reason="TFF is not installed")
AVERAGE = ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0)


@pytest.fixture
def named(monkeypatch):
    """A module of aggregators; gives each function a `module:name`."""
    module = types.ModuleType("own_aggregators")
    monkeypatch.setitem(sys.modules, "own_aggregators", module)

    def name(function):
        module.made = function
        return "own_aggregators:made"

    return name


@pytest.fixture
def tff(runtime):
    del runtime
    import tensorflow_federated as tff

    return tff


def _stages(name):
    """A round by hand: a client adds its own number to both weights, and weighs as much."""
    spec = WorkTypes(
        shared=tf.TensorSpec([2], tf.float32),
        round_number=tf.TensorSpec([], tf.int32),
        items=(),
        data=tf.TensorSpec([], tf.float32),
        private=tf.TensorSpec([1], tf.float32),
        downlink=tf.TensorSpec([], tf.float32),
    )

    @tf.function(input_signature=spec, autograph=False)
    def compute(shared, round_number, items, data, private, downlink):
        del round_number, items, downlink
        return DeviceResult(
            private=private,
            delta=data * data * tf.ones_like(shared),
            weight=data,
            loss=data,
            samples=data,
            uplink=(),
        )

    return build_round(
        build_distribute(2, "float32"),
        Work(compute, spec, compute),
        None,
        build_finalize(2, AVERAGE),
        aggregator=Aggregator(name, "server.aggregator", AggregatorSpec(size=2, devices=4)),
    )


def _run(name, numbers=(1, 3), *, state=(), built=None):
    """Shared weights after a round that began with zeros, and what the aggregator leaves."""
    made = engine.build_engine(RuntimeConfig(engine="tff"))
    built = built or made.build(_stages(name))
    data = made.keep_at_clients(list(map(np.float32, numbers)), tf.TensorSpec([], tf.float32))
    private = [np.zeros(1, np.float32)] * len(numbers)
    sent = [np.float32(0)] * len(numbers)
    begin = begin_server(np.zeros(2, np.float32))
    after, _, _, left = built(begin, (), data, private, sent, state)
    return np.asarray(after.shared), left


def test_means_by_hand(tff, named):
    """Clients 1 and 3, which weigh as much: (1 + 9) / 4 weighted, 2 without weights."""
    shared, left = _run(named(tff.aggregators.MeanFactory))
    np.testing.assert_allclose(shared, [2.5, 2.5])
    assert (left.state, dict(left.measured)) == ((), {})
    shared, _ = _run(named(tff.aggregators.UnweightedMeanFactory))
    np.testing.assert_allclose(shared, [2.0, 2.0])


def test_each_device_is_clipped_before_the_mean(tff, named):
    """Norms are 1.4142 and 4.2426; the bound 2 leaves [1, 1] and makes 1.4142 of each 3."""
    private = tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed
    shared, _ = _run(named(lambda: private(0.0, clients_per_round=2, clip=2.0)))
    np.testing.assert_allclose(shared, [(1 + np.sqrt(2)) / 2] * 2, rtol=1e-6)
    noisy, _ = _run(named(lambda: private(1.0, clients_per_round=2, clip=2.0)))
    assert np.abs(noisy - shared).min() > 1e-6


def test_a_secure_sum_makes_the_mean_of_what_it_adds(tff, named):
    def secure():
        summed = tff.aggregators.SecureSumFactory(upper_bound_threshold=2.0)
        return tff.aggregators.UnweightedMeanFactory(value_sum_factory=summed)

    shared, left = _run(named(secure))
    np.testing.assert_allclose(shared, [1.5, 1.5], atol=1e-5)
    assert left.measured["mean_value_secure_upper_clipped_count"] == 1.0


def test_state_goes_on_and_measurements_have_names(tff, named):
    """A bound that follows the largest norm of a round: half of the way to it each time."""

    def adaptive(spec):
        assert (spec.size, spec.devices) == (2, 4)
        bound = tff.aggregators.PrivateQuantileEstimationProcess.no_noise(
            initial_estimate=1.0, target_quantile=0.8, learning_rate=1.0
        )
        return tff.aggregators.clipping_factory(bound, tff.aggregators.MeanFactory())

    name = named(adaptive)
    built = engine.build_engine(RuntimeConfig(engine="tff")).build(_stages(name))
    first, left = _run(name, built=built)
    np.testing.assert_allclose(first, [np.sqrt(0.5)] * 2, rtol=1e-6)
    assert left.measured["clipped_count"] == 2.0
    # exp(0.8) times the first bound, since none of the norms was below it.
    second, after = _run(name, built=built, state=left.state)
    clipped = np.exp(0.8) * np.sqrt(0.5)
    np.testing.assert_allclose(second, [(1.0 + 3.0 * clipped) / 4.0] * 2, rtol=1e-5)
    assert after.measured["clipping_norm"] != left.measured["clipping_norm"]
    repeated, _ = _run(name, built=built, state=left.state)
    assert repeated.tobytes() == second.tobytes()
    with pytest.raises(CheckpointError, match=r"server\.aggregator"):
        _run(name, built=built, state=(*left.state, np.float32(1)))


def test_devices_without_samples_move_nothing(tff, named):
    shared, _ = _run(named(tff.aggregators.MeanFactory), numbers=(0, 0))
    np.testing.assert_array_equal(shared, [0.0, 0.0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: 7, "got int"),
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda tff: tff.aggregators.SumFactory(), "got SumFactory, which yields their sum"),
        (lambda tff: tff.aggregators.SecureSumFactory(1.0), "got SecureSumFactory"),
        (
            lambda tff: tff.aggregators.concat_factory(_refusing(tff)),
            r"create\(.*\) failed: RuntimeError: not of this type",
        ),
        (
            lambda tff: tff.aggregators.UnweightedReservoirSamplingFactory(1),
            r"expected an aggregate of the type float32\[2\]",
        ),
    ],
)
def test_what_is_no_factory_of_means_is_refused(tff, named, make, said):
    name = named(lambda: make(tff))
    with pytest.raises(ConfigError, match=rf"^server\.aggregator 'own_aggregators:made': .*{said}"):
        engine.build_engine(RuntimeConfig(engine="tff")).build(_stages(name))


def _refusing(tff):
    class Refusing(tff.aggregators.UnweightedAggregationFactory):
        def create(self, value_type):
            del value_type
            raise RuntimeError("not of this type")

    return Refusing()


def test_the_local_engine_refuses_factories_and_names_itself(tff, named):
    name = named(tff.aggregators.MeanFactory)
    with pytest.raises(ConfigError, match="expected mean with the engine local"):
        engine.build_engine(RuntimeConfig(engine="local")).build(_stages(name))


def test_names_are_checked_before_a_run(named):
    assert aggregator_of(AVERAGE, section="server", size=2, devices=4, shard_size=64) is None
    check_aggregators(RunConfig())
    for name, said in {
        "mode": "expected an aggregator out of mean",
        "nowhere_at_all:mean": "there is no module nowhere_at_all",
        "math:fsumm": "did you mean math:fsum",
    }.items():
        with pytest.raises(ConfigError, match=rf"edge_only\.server\.aggregator.*{said}"):
            check_aggregators(_config("edge_only", name))
    name = named(lambda: None)
    check_aggregators(_config("server", name))
    with pytest.raises(ConfigError, match="engine local"):
        check_aggregators(_config("federated_baseline", name, engine="local"))


def test_sums_of_several_devices_are_no_devices():
    """A bound on the sum of a shard would bind none of its devices."""
    for section in ("server", "edge_only", "federated_baseline"):
        with pytest.raises(ConfigError, match=r"aggregator: .*expected runtime\.shard_size=0"):
            _config(section, "my_pkg.privacy:clipped", shard_size=2)
    _config("server", "my_pkg.privacy:clipped", shard_size=1)
    # Also where a program composes a process without a run's settings.
    own = dataclasses.replace(AVERAGE, aggregator="my_pkg.privacy:clipped")
    with pytest.raises(ConfigError, match=r"server\.aggregator: .*got 2, which adds up"):
        aggregator_of(own, section="server", size=2, devices=4, shard_size=2)
    with pytest.raises(ConfigError, match=r"edge\.shared=none shares no weights"):
        dataclasses.replace(
            _config("server", "a:b"), edge=dataclasses.replace(RunConfig().edge, shared="none")
        )


def _config(section, name, *, engine="tff", shard_size=0):
    default = RunConfig()
    server = dataclasses.replace(AVERAGE, aggregator=name)
    if section != "server":
        server = dataclasses.replace(getattr(default, section), server=server)
    runtime = RuntimeConfig(engine=engine, shard_size=shard_size)
    return dataclasses.replace(default, **{section: server}, runtime=runtime)


def test_an_exchange_with_tffs_mean_is_that_of_the_library(
    tff, named, cohorts, experiment, dataset, make_cloud, assert_states_equal
):
    """Within a bound that no device reaches, and whose state is kept in checkpoints."""

    def unbound():
        bound = tff.aggregators.PrivateQuantileEstimationProcess.no_noise(
            initial_estimate=1e6, target_quantile=0.5, learning_rate=1.0
        )
        return tff.aggregators.clipping_factory(bound, tff.aggregators.MeanFactory())

    def process(name):
        work = cohorts["mlp"].work.changed(sharing="backbone")
        return build_ecct_process(
            [(work, cohorts["mlp"].devices)],
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=0,
            server=dataclasses.replace(AVERAGE, momentum=0.5, aggregator=name),
            runtime=RuntimeConfig(shard_size=0),
        )

    own, theirs = process("mean"), process(named(unbound))
    everybody = np.arange(own.num_devices)
    expected, _ = own.next(own.initialize(1), make_cloud(), everybody, everybody)
    state, report = theirs.next(theirs.initialize(1), make_cloud(), everybody, everybody)
    assert_states_equal(expected, state, atol=1e-6)
    assert np.abs(state.cohorts[0].server.shared - own.initialize(1).cohorts[0].server.shared).any()
    assert report.aggregated["clipped_count"] == 0.0
    stored = edge_state(edge_arrays(state, theirs.cohorts), theirs.cohorts)
    after, measured = theirs.next(state, make_cloud(), everybody, everybody)
    again, repeated = theirs.next(stored, make_cloud(), everybody, everybody)
    assert_states_equal(after, again)
    assert 0 < measured.aggregated["clipping_norm"] < 1e6
    assert measured.aggregated == repeated.aggregated
    _, silent = theirs.next(after, make_cloud(), everybody, everybody[:0])
    assert set(silent.aggregated) == set(measured.aggregated)
    assert np.isnan(list(silent.aggregated.values())).all()
