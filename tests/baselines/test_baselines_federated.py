"""Rounds of the federated baselines: the mean, who keeps what, and what comes back."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.baselines.federated import build_federated_baseline
from ecct_tf.baselines.local_data import LocalData
from ecct_tf.data import device_view
from ecct_tf.errors import CheckpointError, ConfigError, DataError
from ecct_tf.federated import Algorithm


def states_equal(one, other):
    left, right = tf.nest.flatten(one), tf.nest.flatten(other)
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def own_change(baseline, number):
    """The change of all weights and the positions of one device in the first round, alone."""
    plan = baseline._plan
    device = plan.devices[number]
    sampler, training = plan.sampler, plan.work.training
    rows = -(-int(device.data.samples) // training.batch_size) * training.batch_size
    pad = rows - int(device.data.samples)

    def padded(array):
        if not array.ndim:
            return array[None]
        return np.pad(array, [(0, pad)] + [(0, 0)] * (array.ndim - 1))[None]

    data = LocalData(*(padded(np.asarray(part)) for part in device.data))
    negatives = padded(sampler.draw(device, purpose=1, round_number=0))
    start = training.model.initial(plan.sampler.seed).astype(np.float16).astype(np.float32)
    final, _ = tf.function(lambda *p: training(p[0], LocalData(*p[1]), p[2]))(
        tf.constant(start[None]), data, tf.constant(negatives)
    )
    change = (final.numpy()[0] - start).astype(np.float16).astype(np.float32)
    return change, int(device.data.samples)


def test_fedavg_moves_by_the_mean_change_weighted_by_positions(
    build_baseline, run_baseline, small_groups
):
    by_length = sorted(small_groups[:-1], key=lambda group: len(group[0].history))
    baseline = build_baseline("fedavg", groups=[by_length[0], by_length[-1]])
    state, report = run_baseline(baseline, 1)
    (first, a), (second, b) = own_change(baseline, 0), own_change(baseline, 1)
    assert a != b
    moved = state.server.shared - baseline.initialize().server.shared
    np.testing.assert_allclose(moved, (a * first + b * second) / (a + b), atol=1e-6)
    assert np.abs(moved).max() > 1e-2
    # Two devices, both directions, two bytes a weight.
    assert report.weights_bytes == 2 * 2 * 2 * len(moved)
    assert report.stage == 0
    assert report.devices == 2


def test_pfedrec_averages_devices_alike_and_keeps_the_score_functions(
    build_baseline, run_baseline, small_groups
):
    baseline = build_baseline("pfedrec", groups=[small_groups[0][:1], small_groups[-1]])
    before = baseline.initialize()
    state, _ = run_baseline(baseline, 1)
    (first, _), (second, _) = own_change(baseline, 0), own_change(baseline, 1)
    size = len(state.server.shared)
    moved = state.server.shared - before.server.shared
    # Here the private start is exact, in `own_change` it is rounded to float16.
    np.testing.assert_allclose(moved, (first + second)[:size] / 2, atol=2e-3)
    assert (state.private[0] != state.private[1]).any()
    assert (state.private != before.private).any(axis=1).all()


def test_what_reaches_pfedrecs_server_has_no_room_for_score_functions(build_baseline):
    baseline = build_baseline("pfedrec")
    signature = baseline.round.type_signature
    at_server = [part for part in signature.result if part.placement.uri == "server"]
    size = (120 + 1) * 3
    state, totals = (part.member for part in at_server)
    assert [list(field.shape) for field in state] == [[size], [size], [size], []]
    assert [list(field.shape) for field in totals] == [[], []]
    private = signature.result[1]
    assert private.placement.uri == "clients"
    assert list(private.member.shape) == [None, 3 + 1]


def test_fedprox_stays_closer_to_what_devices_received(build_baseline, run_baseline):
    start = build_baseline("fedavg").initialize().server.shared

    def moved(method):
        return run_baseline(build_baseline(method), 1)[0].server.shared - start

    plain, held = moved("fedavg"), moved("fedprox")
    assert 0 < np.linalg.norm(held) < 0.95 * np.linalg.norm(plain)


@pytest.mark.slow
def test_fine_tuning_trains_as_fedavg_and_scores_with_copies(
    build_baseline, run_baseline, small_validation
):
    averaged, tuned = build_baseline("fedavg"), build_baseline("fine-tuning")
    state, _ = run_baseline(averaged, 1)
    other, _ = run_baseline(tuned, 1)
    assert states_equal(state, other)
    kept = tuned.to_arrays(other)
    kept = {name: array.copy() for name, array in kept.items()}
    scores = tuned.scores(other, small_validation)["edge"]
    assert all(np.array_equal(kept[name], array) for name, array in tuned.to_arrays(other).items())
    assert np.abs(scores - averaged.scores(state, small_validation)["edge"]).max() > 1e-2
    np.testing.assert_array_equal(scores, tuned.scores(other, small_validation)["edge"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fine-tuning", "pfedrec"])
def test_a_stored_state_goes_on_bit_by_bit(
    method, build_baseline, run_baseline, small_groups, small_validation
):
    whole = build_baseline(method)
    state, _ = run_baseline(whole, 2)
    half, _ = run_baseline(whole, 1)
    stored = {name: np.array(array) for name, array in whole.to_arrays(half).items()}
    fresh = build_baseline(method, groups=list(small_groups))
    resumed, _ = run_baseline(fresh, 1, state=fresh.from_arrays(stored), first=1)
    assert states_equal(state, resumed)
    np.testing.assert_array_equal(
        whole.scores(state, small_validation)["edge"],
        fresh.scores(resumed, small_validation)["edge"],
    )


@pytest.mark.parametrize("method", ["fedprox", "pfedrec"])
def test_shards_of_any_size_compute_the_same(method, build_baseline, run_baseline):
    together, _ = run_baseline(build_baseline(method), 1)
    alone, _ = run_baseline(build_baseline(method, shard_size=0), 1)
    for left, right in zip(tf.nest.flatten(together), tf.nest.flatten(alone), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_who_does_not_answer_costs_the_way_down_and_changes_nothing(
    build_baseline, runtime, small_validation
):
    del runtime
    baseline = build_baseline("pfedrec")
    start = baseline.initialize()
    asked = np.arange(4)

    def round_of(answering):
        return baseline.next(start, round_number=0, participants=asked, answering=answering)

    state, report = round_of(np.array([2]))
    changed = (state.private != start.private).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [2]
    assert report.weights_bytes == (4 + 1) * 2 * len(start.server.shared)
    assert report.weights_up_bytes == 1 * 2 * len(start.server.shared)
    silent, report = round_of(np.array([], np.int64))
    assert states_equal(silent, start)
    assert report.weights_bytes == 4 * 2 * len(start.server.shared)
    assert baseline.scores(silent, small_validation)["edge"].shape == small_validation.items.shape


def test_scores_read_the_history_up_to_the_tested_interaction(
    build_baseline, run_baseline, small_split, small_validation
):
    baseline = build_baseline("fedavg")
    state, _ = run_baseline(baseline, 1)
    scores = baseline.scores(state, small_validation)["edge"]
    later = dataclasses.replace(
        small_validation,
        positions=np.array([len(small_split.touched(int(u))) - 1 for u in small_validation.users]),
    )
    assert (baseline.scores(state, later)["edge"] != scores).any()
    # Any order of rows, and a user with several, as the temporal split has them.
    order = np.array([5, 0, 0, 3])
    some = dataclasses.replace(
        small_validation,
        users=small_validation.users[order],
        positions=small_validation.positions[order],
        items=small_validation.items[order],
    )
    np.testing.assert_allclose(baseline.scores(state, some)["edge"], scores[order], rtol=1e-5)


def test_what_is_held_out_has_no_influence_on_training(
    baseline_config, run_baseline, small_dataset, small_split
):
    items = small_split.items.copy()
    for user in small_split.users:
        end = small_split.offsets[user + 1]
        items[end - 2 : end] = 1 + items[end - 2 : end] % small_dataset.num_items
    changed = dataclasses.replace(small_split, items=items)
    trained = []
    for split in (small_split, changed):
        groups = [[device_view(small_dataset, split, int(user))] for user in split.users]
        baseline = build_federated_baseline(
            baseline_config, method="fedavg", dataset=small_dataset, split=split, groups=groups
        )
        trained.append(run_baseline(baseline, 1)[0])
    assert states_equal(*trained)


def test_mistakes_are_told(build_baseline, small_groups, small_validation):
    with pytest.raises(ConfigError, match="expected one of fedavg, fedprox"):
        build_baseline("fedsgd")
    baseline = build_baseline("fedavg", groups=small_groups[:1])
    with pytest.raises(DataError, match="is on none of the 1 devices"):
        baseline.scores(baseline.initialize(), small_validation)
    arrays = dict(baseline.to_arrays(baseline.initialize()))
    del arrays["private"]
    with pytest.raises(CheckpointError, match=r"'private': expected .*, received no such array"):
        baseline.from_arrays(arrays)


def test_it_is_an_algorithm(build_baseline):
    baseline: Algorithm = build_baseline("fedavg")
    assert baseline.rounds == 2
    assert baseline.num_devices == 11
