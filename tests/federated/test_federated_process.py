"""Rounds of the process: form, participation, bytes, sharing and reproducibility."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.config import EdgeConfig, RunConfig, ServerConfig, TrainingConfig
from ecct_tf.errors import ConfigError, DivergenceError
from ecct_tf.federated import DeviceSet, build_ecct_process
from ecct_tf.federated.divergence import check_round
from ecct_tf.knowledge import build_codec
from ecct_tf.simulation.loop import RoundResult

TIERS = ("attention", "linear", "mlp")


@pytest.fixture(scope="module")
def small_process(compose):
    """One cheap cohort, for tests that are not about tiers."""
    return compose(("linear",))


@pytest.fixture(scope="module")
def reference(experiment, run_rounds):
    """Two rounds (stage 1, then 2) of all tiers in shards of five."""
    return run_rounds(experiment.process, 2)


def test_shards_agree_with_the_per_device_form_for_all_tiers(
    experiment, compose, reference, run_rounds, assert_states_equal
):
    state, reports = run_rounds(compose(TIERS, shard_size=0), 2)
    assert_states_equal(state, reference[0], atol=1e-5)
    for report, expected in zip(reports, reference[1], strict=True):
        assert report.train_loss == pytest.approx(expected.train_loss, abs=1e-5)
        assert report.uplink_bytes == expected.uplink_bytes
    assert [report.stage for report in reports] == [1, 2]
    for cohort, started in zip(
        state.cohorts, experiment.process.initialize(1).cohorts, strict=True
    ):
        assert np.abs(cohort.private[:] - started.private[:]).max() > 1e-3
        assert np.abs(cohort.server.shared - started.server.shared).max() > 1e-3


@pytest.mark.slow
def test_one_large_shard_agrees_with_small_ones(
    compose, small_process, run_rounds, assert_states_equal
):
    large, (first, _) = run_rounds(compose(("linear",), shard_size=64), 2)
    small, (expected, _) = run_rounds(small_process, 2)
    assert_states_equal(large, small, atol=1e-5)
    assert first.train_loss == pytest.approx(expected.train_loss, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "atol"),
    # Adam and Adagrad divide by the size of a gradient, so where one is almost zero, the order in
    # which a processor adds decides the step.
    [("sgd", 1e-5), ("adagrad", 1e-4), ("adam", 1e-4)],
)
def test_local_optimizers_agree_in_both_forms_over_two_epochs(
    optimizer, atol, compose, run_rounds, assert_states_equal
):
    training = TrainingConfig(
        batch_size=5, epochs=2, optimizer=optimizer, learning_rate=0.05, distillation_weight=0.3
    )
    outcomes = [
        run_rounds(compose(("mlp",), shard_size=size, training=training, stage_1_rounds=0), 1)
        for size in (4, 0)
    ]
    (stacked, (report,)), (alone, (expected,)) = outcomes
    assert_states_equal(stacked, alone, atol=atol)
    assert report.train_loss == pytest.approx(expected.train_loss, abs=1e-5)


def test_the_same_seed_gives_bit_equal_rounds(
    experiment, reference, run_rounds, assert_states_equal
):
    state, reports = run_rounds(experiment.process, 2)
    assert reports == reference[1]
    assert_states_equal(state, reference[0])
    other, _ = run_rounds(experiment.process, 1, seed=2)
    assert (other.cohorts[0].server.shared != reference[0].cohorts[0].server.shared).any()


def test_only_who_answers_changes(small_process, run_rounds):
    before = small_process.initialize(1)
    state, (report,) = run_rounds(small_process, 1, participants=[1, 2, 4, 6], answering=[2, 6])
    changed = (state.cohorts[0].private[:] != before.cohorts[0].private[:]).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [2, 6]
    devices = small_process.cohorts[0].devices.devices
    heard = sorted(int(devices[number].users[0]) for number in (2, 6))
    assert np.flatnonzero(state.knowledge.rounds >= 0).tolist() == heard
    assert report.devices == 2
    assert np.flatnonzero(state.fetched).tolist() == [1, 2, 4, 6]


@pytest.mark.usefixtures("runtime")
def test_a_round_does_not_alter_the_state_it_started_from(small_process, make_cloud):
    start = small_process.initialize(1)
    everybody = np.arange(small_process.num_devices)
    first, _ = small_process.next(start, make_cloud(), everybody, everybody)
    again, _ = small_process.next(start, make_cloud(), everybody, everybody)
    np.testing.assert_array_equal(first.cohorts[0].private, again.cohorts[0].private)
    assert not start.fetched.any()
    assert (start.knowledge.rounds == -1).all()


def test_bytes_are_hand_sums_from_the_specification(small_process, run_rounds):
    work = small_process.cohorts[0].work
    spec = work.exchange
    _, (first, second) = run_rounds(small_process, 2, participants=[0, 3, 5], answering=[3])
    # float32: 4 bytes a value; d_c = 2 * 3 + 2, d_e = 3, Q = 4.
    assert (spec.cloud_dim, spec.embedding_dim, spec.num_queries) == (8, 3, 4)
    assert first.downlink_bytes == second.downlink_bytes == 3 * (8 * 4 + 4 * 4)
    # By place: a user and a fingerprint, of 4 bytes each.
    assert first.uplink_bytes == 4 + 4 + 4 * 3 * 4
    assert second.uplink_bytes == first.uplink_bytes + 4 * 4
    # Three devices fetch the shared weights, one returns its change.
    assert first.weights_bytes == (3 + 1) * work.shared_size * 4
    assert first.weights_up_bytes == 1 * work.shared_size * 4
    # Each device fetches the item table once.
    assert (first.item_table_bytes, second.item_table_bytes) == (3 * 1000, 0)
    assert (first.stage, second.stage) == (1, 2)
    assert first.cloud == {"cloud_loss": 0.5}


@pytest.mark.usefixtures("runtime")
def test_late_comers_fetch_the_item_table_then(small_process, make_cloud):
    state, counts = small_process.initialize(1), []
    for participants in ([0, 1], [1, 2], [0, 1, 2], [7]):
        who = np.array(participants)
        state, report = small_process.next(state, make_cloud(), who, who)
        counts.append(report.item_table_bytes)
    assert counts == [2000, 1000, 0, 1000]


def test_a_round_in_which_nobody_answers_costs_the_downlink_only(small_process, run_rounds):
    before = small_process.initialize(1)
    state, (report,) = run_rounds(small_process, 1, participants=[0, 1], answering=np.zeros(0, int))
    assert (report.devices, report.uplink_bytes) == (0, 0)
    # No loss is not a loss of nothing.
    assert np.isnan(report.train_loss)
    assert RoundResult(1, report, 0.1).row()["train_loss"] == ""
    assert report.downlink_bytes == 2 * small_process.cohorts[0].work.exchange.downlink_bytes
    np.testing.assert_array_equal(state.cohorts[0].private, before.cohorts[0].private)
    np.testing.assert_array_equal(state.cohorts[0].server.shared, before.cohorts[0].server.shared)
    assert state.round_number == 1


@pytest.mark.usefixtures("runtime")
def test_the_cloud_is_asked_for_answering_users_and_learns_once(small_process, make_cloud):
    cloud, state = make_cloud(), small_process.initialize(1)
    for _ in range(2):
        state, _ = small_process.next(state, cloud, np.arange(4), np.array([0, 2]))
    devices = small_process.cohorts[0].devices.devices
    users = {int(devices[number].users[0]) for number in (0, 2)}
    assert [number for number, _ in cloud.asked] == [0, 1]
    assert all(set(asked) == users for _, asked in cloud.asked)
    assert cloud.updates == [(0, False, 2), (1, True, 2)]


def test_sharing_decides_what_is_averaged(compose, run_rounds):
    layout = compose(("linear",)).cohorts[0].work.model.layout
    head = sum(weight.size for weight in layout.weights if weight.part == "head")
    sizes = {"none": 0, "backbone": layout.size - head, "all": layout.size}
    for sharing, size in sizes.items():
        process = compose(("linear",), sharing=sharing)
        before = process.initialize(1)
        state, (report,) = run_rounds(process, 1)
        cohort = state.cohorts[0]
        assert cohort.server.shared.shape == (size,)
        assert cohort.private.shape == (len(process.cohorts[0]), layout.size - size)
        assert report.weights_bytes == 2 * len(process.cohorts[0]) * size * 4
        weights = cohort.weights()
        assert weights.shape == (len(process.cohorts[0]), layout.size)
        np.testing.assert_array_equal(before.cohorts[0].weights()[0], layout.initial(1))
        np.testing.assert_array_equal(weights[:, :size], np.tile(cohort.server.shared, (8, 1)))
        if sharing == "none":
            assert len(np.unique(weights, axis=0)) == len(weights)


def test_starting_weights_that_are_the_mean_are_not_sent_again(started, small_process, run_rounds):
    (cohort,) = small_process.cohorts
    size = cohort.work.model.layout.size
    start = np.linspace(-0.1, 0.1, size, dtype=np.float32)
    process = started(cohort.work, cohort.devices, start)
    _, (first, second) = run_rounds(process, 2)
    change = len(cohort) * cohort.work.shared_size * 4
    assert first.item_table_bytes == len(cohort) * (1000 + 4 * size)
    assert (first.weights_bytes, second.weights_bytes) == (change, 2 * change)
    _, (few, others) = run_rounds(
        process, 2, participants=np.array([0, 3]), answering=np.zeros(0, np.int64)
    )
    # Nobody answered, so in the second round the mean is the start yet.
    assert few.weights_bytes == others.weights_bytes == 0


def test_a_coarser_codec_stays_close_and_counts_less(cohorts, compose, small_process, run_rounds):
    exchange = dataclasses.replace(cohorts["linear"].work.exchange, codec="int8")
    coarse, (_, report) = run_rounds(
        compose(("linear",), exchange=exchange, weights_codec="float16"), 2
    )
    exact, (_, expected) = run_rounds(small_process, 2)
    assert 0 < np.abs(coarse.knowledge.logits[:] - exact.knowledge.logits[:]).max() < 0.2
    assert 0 < np.abs(coarse.knowledge.embeddings[:] - exact.knowledge.embeddings[:]).max() < 0.2
    assert report.uplink_bytes < expected.uplink_bytes
    assert report.downlink_bytes < expected.downlink_bytes
    assert 2 * report.weights_bytes == expected.weights_bytes
    width = cohorts["linear"].work.shared_size
    assert build_codec("float16").encoded_bytes(1, width) == 2 * width


def test_noise_does_not_depend_on_shards(cohorts, compose, small_process, run_rounds):
    exchange = dataclasses.replace(cohorts["linear"].work.exchange, noise_multiplier=0.1)
    states = [
        run_rounds(compose(("linear",), exchange=exchange, shard_size=size), 1)[0]
        for size in (2, 8)
    ]
    np.testing.assert_allclose(
        states[0].knowledge.embeddings, states[1].knowledge.embeddings, atol=1e-5
    )
    plain, _ = run_rounds(small_process, 1)
    assert np.abs(plain.knowledge.embeddings[:] - states[1].knowledge.embeddings[:]).max() > 0.1


def test_impossible_participants_are_refused(small_process, make_cloud):
    state, cloud = small_process.initialize(1), make_cloud()

    def attempt(participants, answering):
        small_process.next(state, cloud, np.array(participants), np.array(answering))

    with pytest.raises(ConfigError, match=r"0\.\.7"):
        attempt([0, 8], [0])
    with pytest.raises(ConfigError, match=r"0\.\.7"):
        attempt([-1, 2], [2])
    with pytest.raises(ConfigError, match="at most once"):
        attempt([1, 1], [1])
    with pytest.raises(ConfigError, match="at most once"):
        attempt([1, 2], [1, 1])
    with pytest.raises(ConfigError, match="subset"):
        attempt([1, 2], [3])


def test_a_process_needs_devices_that_speak_one_language(compose, cohorts):
    with pytest.raises(ConfigError, match="at least one cohort"):
        compose(())
    with pytest.raises(ConfigError, match="empty"):
        compose(("linear",), devices=DeviceSet(()))
    other = dataclasses.replace(cohorts["linear"].work.exchange, num_queries=5)
    changed = cohorts["linear"].work.changed(exchange=other)
    with pytest.raises(ConfigError, match="one specification"):
        build_ecct_process(
            [(cohorts["mlp"].work, cohorts["mlp"].devices), (changed, cohorts["linear"].devices)],
            table=None,
            table_bytes=0,
            num_users=24,
            stage_1_rounds=0,
            server=ServerConfig(),
            runtime=None,
        )


def test_the_stage_follows_the_schedule(experiment):
    assert [experiment.process.stage_of(number) for number in range(3)] == [1, 2, 2]
    random = EdgeConfig(start="random")
    stages = [RunConfig(rounds=rounds, edge=random).stage_1_rounds for rounds in (30, 10, 3)]
    assert stages == [5, 5, 1]


def test_a_round_that_diverges_ends_the_run_with_round_group_and_settings(compose, run_rounds):
    """Also where nobody answers the cloud, so that NaN would pass without a word."""
    training = TrainingConfig(learning_rate=3e38, batch_size=6)
    process = compose(("linear",), training=training, sends=False)
    with pytest.raises(DivergenceError) as caught:
        run_rounds(process, 1)
    message = str(caught.value)
    who = f"devices of the tier linear ({process.num_devices} answered)"
    assert message.startswith(f"round 1: training diverged on {who}: their training loss")
    assert "training.learning_rate=3e+38" in message
    assert "server.learning_rate=1.0" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("loss", "shared", "what"),
    [
        (np.nan, [0.0], "training loss"),
        (np.inf, [0.0], "training loss"),
        (0.5, [0.0, np.inf], "mean of their weights"),
    ],
)
def test_what_is_not_finite_is_named(loss, shared, what):
    def check(loss, shared):
        check_round(
            round_number=4, group="phones", devices=3, loss=loss, shared=shared, settings={"a.b": 1}
        )

    check(0.5, [0.0])
    with pytest.raises(DivergenceError, match=rf"^round 5: .* on phones \(3 .*{what}.*a\.b=1"):
        check(loss, shared)
