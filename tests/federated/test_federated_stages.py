"""The four stages: mean, server optimisers, aggregation, and what does not fit together."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import ServerConfig
from ecct_tf.errors import ConfigError
from ecct_tf.federated import DeviceSet
from ecct_tf.federated.cohort import ServerState, make_shards
from ecct_tf.federated.device_work import DeviceWork
from ecct_tf.federated.stages import (
    build_aggregate,
    build_distribute,
    build_finalize,
    build_round,
    build_work,
)


@pytest.fixture(scope="module")
def work(cohorts, items):
    """The stage 2 device work of one cohort as a TFF computation."""
    cohort = cohorts["linear"]
    sample = make_shards(cohort, [0], shard_size=2, batch_size=6)[0].data
    return build_work(cohort.work, items=items, sample=sample, stacked=True)


def _state(size, value=1.0):
    zeros = np.zeros(size, np.float32)
    return ServerState(np.full(size, value, np.float32), zeros, zeros, np.int32(0))


def test_the_shared_mean_weighs_devices_by_their_samples(cohorts, compose, run_rounds):
    """Two devices of unlike size: each alone gives its change, both give the weighted mean."""
    devices = sorted(cohorts["linear"].devices.devices, key=lambda device: int(device.samples))
    pair = devices[0], devices[-1]
    counts = [int(device.samples) for device in pair]
    assert counts[0] < counts[1]
    average = ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0)
    process = compose(
        ("linear",), devices=DeviceSet(pair), sharing="all", server=average, stage_1_rounds=0
    )
    start = process.initialize(1).cohorts[0].server.shared
    changes = [
        run_rounds(process, 1, participants=[number])[0].cohorts[0].server.shared - start
        for number in (0, 1)
    ]
    both, _ = run_rounds(process, 1)
    expected = (counts[0] * changes[0] + counts[1] * changes[1]) / sum(counts)
    np.testing.assert_allclose(both.cohorts[0].server.shared - start, expected, atol=1e-6)
    assert np.abs(expected - (changes[0] + changes[1]) / 2).max() > 1e-4


@pytest.mark.usefixtures("runtime")
def test_average_with_momentum_by_hand():
    config = ServerConfig(optimizer="average", learning_rate=0.5, momentum=0.8)
    apply = build_finalize(2, config).apply
    change = np.array([4.0, -2.0], np.float32)
    first = apply(_state(2), change, 4.0)  # mean [1, -0.5], first moment [0.2, -0.1]
    np.testing.assert_allclose(first.shared, [1.1, 0.95], atol=1e-6)
    second = apply(first, change, 4.0)  # first moment 0.8 * [0.2, -0.1] + [0.2, -0.1]
    np.testing.assert_allclose(second.shared, [1.28, 0.86], atol=1e-6)
    assert second.round_number == 2


@pytest.mark.usefixtures("runtime")
def test_server_adam_against_numpy():
    config = ServerConfig(optimizer="adam", learning_rate=0.1, momentum=0.9)
    apply = build_finalize(3, config).apply
    rng = np.random.default_rng(0)
    state = _state(3)
    shared, first, second = np.ones(3), np.zeros(3), np.zeros(3)
    for _ in range(3):
        change = rng.normal(size=3).astype(np.float32)
        state = apply(state, change, 5.0)
        mean = change / 5.0
        first = 0.9 * first + 0.1 * mean
        second = 0.99 * second + 0.01 * mean**2
        shared = shared + 0.1 * first / (np.sqrt(second) + 1e-5)
    np.testing.assert_allclose(state.shared, shared, rtol=1e-5)


@pytest.mark.usefixtures("runtime")
def test_a_round_without_weight_moves_nothing():
    apply = build_finalize(
        2, ServerConfig(optimizer="average", learning_rate=1.0, momentum=0)
    ).apply
    result = apply(_state(2), np.zeros(2, np.float32), 0.0)
    np.testing.assert_array_equal(result.shared, [1.0, 1.0])


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("codec", ["float32", "float16"])
def test_distribute_crosses_the_codec(codec):
    stage = build_distribute(3, codec)
    weights = np.array([1.0, 0.1, -3.0], np.float32)
    received = stage.decode(stage.encode(weights))
    expected = weights.astype(codec).astype(np.float32)
    np.testing.assert_array_equal(received, expected)


@pytest.mark.usefixtures("runtime")
def test_aggregation_keeps_each_user_once_in_any_order(work):
    aggregate = build_aggregate(work.result.uplink)
    spec = work.work.exchange

    def rows(users):
        users = np.array(users, np.int32)
        items = np.tile(users[:, None], (1, spec.num_queries)) + 1
        embeddings = np.ones((len(users), spec.num_queries, spec.embedding_dim), np.float32)
        parts = spec.make_uplink(
            tf.constant(users),
            tf.constant(items),
            tf.constant(0.5 * embeddings * users[:, None, None], tf.float32),
            tf.constant(items * 0.5, tf.float32),
            noise_seed=tf.constant(0),
        )
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), parts)

    shards = [rows([3, 1]), rows([4]), rows([]), rows([0, 2, 5])]
    together = aggregate.accumulate(aggregate.zero(), *shards)
    np.testing.assert_array_equal(together.users, [3, 1, 4, 0, 2, 5])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        left, right = aggregate.zero(), aggregate.zero()
        for place, index in enumerate(order):
            if place < 2:
                left = aggregate.accumulate(left, shards[index])
            else:
                right = aggregate.accumulate(right, shards[index])
        merged = aggregate.report(aggregate.merge(left, right))
        merged = tf.nest.map_structure(lambda tensor: tensor.numpy(), merged)
        assert sorted(merged.users.tolist()) == [0, 1, 2, 3, 4, 5]
        np.testing.assert_array_equal(merged.items[:, 0], merged.users + 1)
        np.testing.assert_array_equal(merged.embeddings[0][:, 0, 0], 0.5 * merged.users)
        np.testing.assert_array_equal(merged.logits[0][:, 0], (merged.users + 1) * 0.5)


def test_stage_1_carries_no_logits(experiment, run_rounds):
    for index in range(len(experiment.process.cohorts)):
        quiet = experiment.process.rounds[index, 1].type_signature.result[1].member
        full = experiment.process.rounds[index, 2].type_signature.result[1].member
        assert len(quiet.logits) == 0
        assert len(full.logits) == 1
        assert len(quiet.embeddings) == len(full.embeddings) == 1
    state, (report,) = run_rounds(experiment.process, 1)
    assert report.stage == 1
    assert (state.knowledge.rounds == 0).sum() == experiment.process.num_devices
    assert (state.knowledge.logit_rounds == -1).all()
    assert not state.knowledge.logits[:].any()


def test_stages_that_do_not_fit_are_refused(work, cohorts, items):
    size = work.work.shared_size
    uplink = work.result.uplink
    fitting = {
        "distribute": build_distribute(size, "float32"),
        "work": work,
        "aggregate": build_aggregate(uplink),
        "finalize": build_finalize(size, ServerConfig()),
    }
    assert build_round(**fitting) is not None
    quiet = work.work.changed(exchange=dataclasses.replace(work.work.exchange, with_logits=False))
    sample = make_shards(cohorts["linear"], [0], shard_size=2, batch_size=6)[0].data
    other = build_work(quiet, items=items, sample=sample, stacked=True)
    misfits = {
        "distribute": (build_distribute(size + 1, "float32"), "distribute"),
        "aggregate": (build_aggregate(other.result.uplink), "uplink"),
        "finalize": (build_finalize(size - 1, ServerConfig()), "finalize"),
    }
    for stage, (misfit, named) in misfits.items():
        with pytest.raises(ConfigError, match=named):
            build_round(**{**fitting, stage: misfit})


@pytest.mark.parametrize(("sends", "receives"), [(False, False), (True, False), (False, True)])
def test_stages_share_a_round_where_nothing_crosses(compose, sends, receives):
    process = compose(("linear",), sends=sends, receives=receives)
    first, second = (process.rounds[0, stage] for stage in (1, 2))
    assert (first is second) == (not sends and not receives)


def test_the_work_of_devices_is_traced_once_for_a_round(compose, monkeypatch):
    traced, call = [], DeviceWork.__call__
    monkeypatch.setattr(
        DeviceWork, "__call__", lambda work, **given: traced.append(1) or call(work, **given)
    )
    process = compose(("linear",), sends=False, receives=False, weights_codec="float16")
    assert process.rounds[0, 2] is not None
    assert len(traced) == 1
