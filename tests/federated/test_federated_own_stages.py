"""Stages of one's own: what they are given, what they keep and measure, and what is refused."""

import dataclasses
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import RuntimeConfig, ServerConfig
from ecct_tf.errors import CheckpointError, ConfigError
from ecct_tf.federated import Stages, build_ecct_process, chosen_engine
from ecct_tf.federated.named_stages import stages_of
from ecct_tf.federated.stages import ChangeAggregate, distribute_by
from ecct_tf.simulation.edge_state import edge_arrays, edge_state

ENGINES = ("tff", "local") if chosen_engine() == "tff" else ("local",)
AVERAGE = ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0)


@pytest.fixture
def compose(cohorts, experiment, dataset, runtime):
    """A process of the tier mlp with shared weights, each client value one device."""
    del runtime

    def compose(stages, engine="local", *, shard_size=0, server=AVERAGE, **more):
        work = cohorts["mlp"].work.changed(sharing="backbone")
        return build_ecct_process(
            [(work, cohorts["mlp"].devices)],
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=0,
            server=server,
            runtime=RuntimeConfig(engine=engine, shard_size=shard_size),
            stages=stages,
            **more,
        )

    return compose


@pytest.fixture
def run(make_cloud):
    def run(process, state=None, members=None):
        everybody = (
            np.arange(process.num_devices) if members is None else np.asarray(members, np.int64)
        )
        begun = process.initialize(1) if state is None else state
        return process.next(begun, make_cloud(), everybody, everybody)

    return run


def _shared(state):
    return np.asarray(state.cohorts[0].server.shared)


def _mean(spec, *, begin=None, report=None, clip=np.inf):
    """The library's weighted mean as a `ChangeAggregate`, of changes up to a norm."""

    def prepare(change, weight):
        scale = tf.minimum(1.0, tf.math.divide_no_nan(clip, tf.norm(change)))
        return change * scale * weight, weight

    def join(one, other):
        return one[0] + other[0], one[1] + other[1]

    joined = (tf.TensorSpec([spec.size], tf.float32), tf.TensorSpec([], tf.float32))
    return ChangeAggregate(
        prepare,
        lambda: (tf.zeros([spec.size]), tf.zeros([])),
        join,
        join,
        report or (lambda sums: sums),
        joined,
        begin,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mean_of_ones_own_is_that_of_the_library(engine, compose, run, assert_states_equal):
    expected, _ = run(compose(None, engine))
    found, report = run(compose(Stages(changes=_mean), engine))
    assert_states_equal(expected, found, atol=1e-6)
    assert np.abs(_shared(expected) - _shared(compose(None).initialize(1))).max() > 1e-4
    assert report.aggregated == {}


@pytest.mark.parametrize("engine", ENGINES)
def test_changes_are_those_of_single_devices(engine, compose, run):
    """Each is cut to the norm 0.01, so that their mean is no longer."""
    process = compose(Stages(changes=lambda spec: _mean(spec, clip=0.01)), engine)
    state, _ = run(process)
    moved = np.linalg.norm(_shared(state) - _shared(process.initialize(1)))
    assert 0 < moved <= 0.01 + 1e-6


@pytest.mark.parametrize("engine", ENGINES)
def test_what_stages_keep_goes_on_and_is_stored(engine, compose, run, assert_states_equal):
    """Joining, uplinks and finalize count rounds, each by a step of its own."""

    def changes(spec):
        def report(sums, rounds):
            return sums, rounds + 1, {"rounds": rounds + 1, "weight": sums[1]}

        return _mean(spec, begin=lambda: np.int32(0), report=report)

    def aggregate(_, own):
        def report(rows, kept):
            seen = {"users": kept["users"] + tf.size(rows.users)}
            return rows, seen, {"users": seen["users"]}

        return dataclasses.replace(own, report=report, begin=lambda: {"users": np.int32(0)})

    def finalize(_, own):
        def apply(state, change, weight, kept):
            after = own.apply(state, change, weight)
            return after, kept + 10.0, {"rounds": kept + 10.0}

        return dataclasses.replace(own, apply=apply, begin=lambda: np.float32(0))

    process = compose(Stages(changes=changes, aggregate=aggregate, finalize=finalize), engine)
    first, _ = run(process)
    stored = edge_state(edge_arrays(first, process.cohorts), process.cohorts)
    second, report = run(process, first)
    resumed, again = run(process, stored)
    assert_states_equal(second, resumed)
    assert report.aggregated == again.aggregated
    count = process.num_devices
    weight = sum(int(device.samples) for device in process.cohorts[0].devices.devices)
    assert report.aggregated == {
        "changes_rounds": 2.0,
        "changes_weight": weight,
        "aggregate_users": 2.0 * count,
        "finalize_rounds": 20.0,
    }
    assert [float(leaf) for leaf in second.cohorts[0].aggregator] == [2.0, 2.0 * count, 20.0]
    _, silent = run(process, second, members=[])
    assert set(silent.aggregated) == set(report.aggregated)
    assert np.isnan(list(silent.aggregated.values())).all()
    other = dataclasses.replace(first.cohorts[0], aggregator=first.cohorts[0].aggregator[:2])
    with pytest.raises(CheckpointError, match="own stages"):
        run(process, dataclasses.replace(first, cohorts=(other,)))


@pytest.mark.parametrize("engine", ENGINES)
def test_work_and_distribute_of_ones_own(engine, compose, run):
    """Weights cross as twice themselves, and are halved; devices send twice their change."""

    def twice(_, own):
        def compute(*given):
            done = own.compute(*given)
            return done._replace(delta=2.0 * done.delta)

        return own.doing(compute)

    def wide(spec, _):
        def encode(weights):
            return tf.cast(2.0 * weights, tf.float64), tf.constant(0.5)

        return distribute_by(
            encode, lambda sent: tf.cast(sent[0], tf.float32) * sent[1], size=spec.size
        )

    plain, before = run(compose(None, engine))
    found, report = run(compose(Stages(work=twice, distribute=wide), engine))
    start = _shared(compose(None).initialize(1))
    np.testing.assert_allclose(
        _shared(found) - start, 2.0 * (_shared(plain) - start), rtol=0, atol=1e-6
    )
    count, size = report.devices, len(start)
    assert report.weights_up_bytes == before.weights_up_bytes == count * 4 * size
    assert report.weights_bytes == count * (8 * size + 4 + 4 * size)


def test_both_engines_agree(compose, run, assert_states_equal):
    if len(ENGINES) < 2:
        pytest.skip("TFF is not installed")
    page = _page()
    states = [run(compose(page.robust(), engine))[0] for engine in ENGINES]
    # A second moment of nearly nothing makes a large step of a small mean.
    assert_states_equal(*states, atol=2e-4)


def _page():
    """The module that docs/extend_aggregation.md prints."""
    text = (Path(__file__).parents[2] / "docs" / "extend_aggregation.md").read_text()
    script = next(
        part.partition("```")[0] for part in text.split("```python\n") if "def robust" in part
    )
    page = types.ModuleType("own_stages_page")
    exec(script, vars(page))
    return page


def _resized(spec, own):
    return dataclasses.replace(own, change=tf.TensorSpec([spec.size + 1], tf.float32))


def _forgetful(_, own):
    return dataclasses.replace(own, begin=lambda: np.float32(0))


def _growing(_, own):
    def apply(state, change, weight, kept):
        return own.apply(state, change, weight), tf.concat([kept, kept], axis=0), {}

    return dataclasses.replace(own, apply=apply, begin=lambda: np.zeros(1, np.float32))


def _vectors(_, own):
    def apply(state, change, weight, kept):
        return own.apply(state, change, weight), kept, {"mean": change}

    return dataclasses.replace(own, apply=apply, begin=tuple)


def _lost(_, own):
    def compute(*given):
        return own.compute(*given)._replace(uplink=())

    return own.doing(compute)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (Stages(finalize=_resized), r"finalize's change: expected the type .*; the stages do not"),
        (Stages(finalize=_forgetful), r"finalize\.apply failed.*TypeError"),
        (Stages(finalize=_growing), r"finalize\.apply: what it keeps: expected"),
        (Stages(finalize=_vectors), r"single numbers as measurements, got 'mean'"),
        (Stages(finalize=lambda *_: None), r"finalize: expected .* a Finalize.*NoneType"),
        (Stages(work=_lost), r"work's uplink: expected"),
        (
            Stages(changes=lambda spec: _mean(spec, report=lambda sums: sums[0])),
            r"changes\.report's result: expected",
        ),
    ],
)
def test_what_does_not_fit_is_named(stages, said, compose, run):
    with pytest.raises(ConfigError, match=said):
        run(compose(stages))


def test_what_a_process_cannot_have_is_refused(compose):
    with pytest.raises(ConfigError, match=r"single devices; expected runtime\.shard_size=0"):
        compose(Stages(changes=_mean), shard_size=2)
    late = dataclasses.replace(AVERAGE, buffer=2)
    with pytest.raises(ConfigError, match=r"changes would get changes of several rounds"):
        compose(Stages(changes=_mean), server=late)
    with pytest.raises(ConfigError, match=r"runtime\.real_devices=0"):
        compose(Stages(finalize=_forgetful), witness=object())
    joined = dataclasses.replace(AVERAGE, aggregator="my_pkg:mean")
    with pytest.raises(ConfigError, match=r"so does server\.aggregator"):
        compose(Stages(changes=_mean), server=joined)

    def unknown(_, own):
        return dataclasses.replace(own, encoded=tf.TensorSpec([None], tf.int8))

    with pytest.raises(ConfigError, match="expected encoded weights of known shapes"):
        compose(Stages(distribute=unknown))


def test_a_setting_names_stages(monkeypatch, compose):
    module = types.ModuleType("own_stages")
    module.good, module.bad = lambda: Stages(changes=_mean), lambda: None
    monkeypatch.setitem(sys.modules, "own_stages", module)
    good = dataclasses.replace(AVERAGE, stages="own_stages:good")
    assert stages_of(good, section="server").name == "server.stages 'own_stages:good'"
    assert compose(None, server=good).num_devices
    with pytest.raises(ConfigError, match="expected one of the two"):
        compose(Stages(), server=good)
    for name, said in (("bad", "returns ecct_tf.federated.Stages, got NoneType"), ("no", "has no")):
        with pytest.raises(ConfigError, match=said):
            compose(None, server=dataclasses.replace(AVERAGE, stages=f"own_stages:{name}"))
