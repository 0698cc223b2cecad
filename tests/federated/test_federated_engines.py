"""The engines: the same round by TFF and in this process. Where TFF is missing, the local one."""

import dataclasses
import functools
import threading

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import RuntimeConfig, ServerConfig
from ecct_tf.errors import ConfigError, WorkerError
from ecct_tf.federated import (
    build_ecct_process,
    chosen_engine,
    engine,
    federated_runtime,
)
from ecct_tf.federated.device_work import DeviceResult
from ecct_tf.federated.local_engine import LocalEngine, local_runtime
from ecct_tf.federated.server import begin_server
from ecct_tf.federated.stages import (
    Work,
    WorkTypes,
    build_distribute,
    build_finalize,
    build_round,
)

TFF = chosen_engine() == "tff"
ENGINES = ("tff", "local") if TFF else ("local",)
needs_tff = pytest.mark.skipif(not TFF, reason="TFF is not installed")


@pytest.fixture(scope="module")
def process(cohorts, experiment, dataset):
    """Devices with weights of their own and shared ones; `rate` is that of their training."""

    @functools.cache
    def build(engine, *, rate=0.1):
        work = cohorts["mlp"].work
        training = dataclasses.replace(
            work.training, learning_rate=rate, private_learning_rate=rate
        )
        work = work.changed(sharing="backbone", training=training)
        return build_ecct_process(
            [(work, cohorts["mlp"].devices)],
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=0,
            server=ServerConfig(optimizer="average", learning_rate=2.0, momentum=0.5),
            runtime=RuntimeConfig(engine=engine, shard_size=3),
        )

    return build


@pytest.fixture(scope="module")
def one_round(process, make_cloud, runtime):
    """State and report of a round that everyone answers."""
    del runtime

    def run(engine, state=None, **changes):
        made = process(engine, **changes)
        everybody = np.arange(made.num_devices)
        begin = made.initialize(1) if state is None else state
        return made.next(begin, make_cloud(), everybody, everybody)

    return run


@pytest.fixture(scope="module")
def first(one_round):
    return {engine: one_round(engine) for engine in ENGINES}


def _uplink_bytes(report):
    """The rows of each cohort, in the order of users."""
    return [
        [part[np.argsort(uplink.users)].tobytes() for part in tf.nest.flatten(uplink)]
        for _, uplink in report.uplinks
    ]


@needs_tff
def test_a_round_is_the_same_by_both_engines(first, assert_states_equal):
    (state, report), (other, repeated) = first["tff"], first["local"]
    # Answers sum up fifty weights and more, times inputs of up to 10.
    assert_states_equal(state, other, atol=1e-6, answers=1e-4)
    assert repeated.train_loss == pytest.approx(report.train_loss, abs=1e-6)
    assert repeated == dataclasses.replace(report, train_loss=repeated.train_loss)


@needs_tff
def test_uplinks_of_the_same_weights_are_the_same_bytes(first, one_round):
    """With a rate that moves no trained weight, both engines answer from the same ones."""
    begin = first["tff"][0]
    (state, report), (other, repeated) = (
        one_round(engine, begin, rate=1e-30) for engine in ENGINES
    )
    for cohort, same in zip(state.cohorts, other.cohorts, strict=True):
        assert np.asarray(cohort.private).tobytes() == np.asarray(same.private).tobytes()
    assert _uplink_bytes(report) == _uplink_bytes(repeated)


@needs_tff
@pytest.mark.parametrize("begin", ENGINES)
def test_a_run_begun_by_one_engine_goes_on_with_the_other(
    begin, first, one_round, assert_states_equal
):
    other = next(engine for engine in ENGINES if engine != begin)
    crossed, _ = one_round(other, first[begin][0])
    stayed, _ = one_round(begin, first[begin][0])
    # Two rounds, each of which may differ by 1e-6.
    assert_states_equal(crossed, stayed, atol=5e-6)
    assert crossed.round_number == 2


def test_a_local_round_repeats_itself_to_the_last_bit(first, one_round, assert_states_equal):
    state, report = first["local"]
    again, repeated = one_round("local")
    assert_states_equal(state, again)
    assert (repeated, _uplink_bytes(repeated)) == (report, _uplink_bytes(report))


def _sums(*, sends=False):
    """A round by hand: a client adds its own number to the weights, and weighs as much."""
    types = WorkTypes(
        shared=tf.TensorSpec([2], tf.float32),
        round_number=tf.TensorSpec([], tf.int32),
        items=(),
        data=tf.TensorSpec([], tf.float32),
        private=tf.TensorSpec([1], tf.float32),
        downlink=tf.TensorSpec([], tf.float32),
    )

    @tf.function(input_signature=types, autograph=False)
    def compute(shared, round_number, items, data, private, downlink):
        del round_number, items
        return DeviceResult(
            private=private + downlink,
            delta=data * data * tf.ones_like(shared),
            weight=data,
            loss=2.0 * data,
            samples=data,
            uplink=data[None] if sends else (),
        )

    return build_round(
        build_distribute(2, "float32"),
        Work(compute, types, compute),
        None,
        build_finalize(2, ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0)),
    )


@pytest.mark.parametrize("name", ENGINES)
def test_a_round_by_hand(name, runtime):
    """Clients 1 and 3: the mean change is (1 * 1 + 3 * 3) / (1 + 3)."""
    del runtime
    made = engine.build_engine(RuntimeConfig(engine=name))
    zeros = np.zeros(2, np.float32)
    data = made.keep_at_clients([np.float32(1), np.float32(3)], tf.TensorSpec([], tf.float32))
    private = [np.array([value], np.float32) for value in (10, 20)]
    sent = [np.float32(5), np.float32(7)]
    state, kept, totals = made.build(_sums())(begin_server(zeros), (), data, private, sent)
    np.testing.assert_allclose(state.shared, [2.5, 2.5])
    assert int(state.round_number) == 1
    assert [float(np.asarray(values)[0]) for values in kept] == [15.0, 27.0]
    assert [float(total) for total in totals] == [8.0, 4.0]


def test_stages_that_send_what_nobody_joins_are_refused():
    with pytest.raises(ConfigError, match="work's uplink"):
        _sums(sends=True)


def test_null_is_tff_where_it_is_installed(monkeypatch):
    assert RuntimeConfig().engine is None
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _: object())
    assert chosen_engine() == "tff"
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _: None)
    assert (chosen_engine(), chosen_engine("tff")) == ("local", "tff")


def test_the_local_engine_starts_no_worker():
    with federated_runtime(engine="local") as worker:
        assert worker is None


@pytest.mark.skipif(TFF, reason="TFF is installed")
def test_tff_that_is_missing_is_named_with_the_way_out():
    with pytest.raises(WorkerError, match=r"runtime\.engine=local"):
        engine.build_engine(RuntimeConfig(engine="tff"))


def test_memory_that_runs_out_is_reported_with_what_decides():
    with (
        pytest.raises(WorkerError, match=r"ran out of memory: no room\. .*shard_size=64\."),
        local_runtime(load="runtime.shard_size=64"),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "no room\nand more")


@pytest.mark.parametrize(("calls", "most"), [(1, 1), (3, 3)])
def test_no_more_client_values_at_once_than_configured(calls, most):
    busy, seen, gate = 0, [], threading.Lock()
    together = threading.Barrier(most)

    def client(index):
        nonlocal busy
        with gate:
            busy += 1
            seen.append(busy)
        together.wait(timeout=10)
        with gate:
            busy -= 1
        return index

    assert LocalEngine(concurrent_calls=calls)._side_by_side(client, 6) == list(range(6))
    assert max(seen) == most
