"""Devices that send no answer which differs little from what the cloud says (`speak_above`)."""

import numpy as np
import pytest

from ecct_tf.config import load_config
from ecct_tf.edge import cloud_told
from ecct_tf.errors import ConfigError
from ecct_tf.federated import chosen_engine
from ecct_tf.federated.silence import worth_sending

ENGINES = [
    "local",
    pytest.param(
        "tff", marks=pytest.mark.skipif(chosen_engine() != "tff", reason="TFF is not installed")
    ),
]


@pytest.fixture(scope="module")
def always(compose, run_rounds):
    """Two rounds in which everybody answers, the second with logits."""
    return run_rounds(compose(("linear",), engine="local"), 2)


@pytest.fixture(scope="module")
def differences(always, items, make_cloud):
    """By user, how far the answers of the second round are from the cloud's: root mean squares."""
    ((_, uplink),) = always[1][1].uplinks
    cloud = make_cloud()
    known = cloud.downlinks(uplink.users, round_number=1)
    told = cloud_told(items, known, uplink.items).logit.numpy()
    found = np.sqrt(np.square(uplink.logits[0] - told).mean(axis=1))
    return dict(zip(uplink.users.tolist(), found.tolist(), strict=True))


@pytest.fixture(scope="module")
def bound(differences):
    """In the widest gap, so that rounding decides nothing."""
    ordered = np.sort(list(differences.values()))
    place = 1 + int(np.argmax(np.diff(ordered)[1:-1]))
    return float(ordered[place] + ordered[place + 1]) / 2


def test_the_bound_is_met_by_the_root_mean_square():
    logits, told = np.float32([[1.0, 1.0, -1.0, 1.0]]), np.zeros((1, 4), np.float32)
    assert worth_sending(logits, told, bound=1.0).numpy().tolist() == [True]
    assert worth_sending(logits, told, bound=1.001).numpy().tolist() == [False]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shard_size", [0, 3])
def test_who_differs_little_is_silent(
    engine, shard_size, compose, run_rounds, always, differences, bound
):
    process = compose(("linear",), engine=engine, shard_size=shard_size, speak_above=bound)
    state, (first, second) = run_rounds(process, 2)
    speaking = {user for user, found in differences.items() if found >= bound}
    assert 0 < len(speaking) < len(differences)
    # Nobody can compare in a round without logits.
    assert (first.silent, len(first.uplinks[0][1].users)) == (0, len(differences))
    assert second.silent == len(differences) - len(speaking)
    assert set(second.uplinks[0][1].users.tolist()) == speaking
    spec = process.cohorts[0].work.exchange
    assert second.uplink_bytes == len(speaking) * spec.uplink_bytes
    # The cloud keeps what it had, which grows old.
    rounds = state.knowledge.rounds
    assert {user for user in differences if rounds[user] == 1} == speaking
    assert {int(rounds[user]) for user in differences} == {0, 1}
    # Silence is about uplinks alone.
    before = always[0].cohorts[0]
    np.testing.assert_allclose(state.cohorts[0].private, before.private, atol=1e-5)
    np.testing.assert_allclose(state.cohorts[0].server.shared, before.server.shared, atol=1e-5)
    assert second.weights_bytes == always[1][1].weights_bytes


def test_a_round_in_which_all_are_silent_goes_on(compose, run_rounds):
    state, reports = run_rounds(compose(("linear",), engine="local", speak_above=1e6), 3)
    assert [report.uplink_bytes > 0 for report in reports] == [True, False, False]
    assert reports[2].devices == reports[2].silent > 0
    assert not (state.knowledge.logit_rounds >= 0).any()


@pytest.mark.parametrize(
    "setting",
    [
        "exchange.up=false",
        "exchange.down=false",
        "exchange.logits=false",
        "exchange.rows=item",
        "exchange.noise_multiplier=0.1",
        "privacy.max_epsilon=3",
        "runtime.real_devices=1",
        "attack.share=0.1",
    ],
)
def test_what_silence_cannot_go_with_is_refused_by_name(setting):
    name = "attack.kind" if setting.startswith("attack") else setting.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"{name}: got .* with exchange.speak_above=0.5"):
        load_config(overrides=["exchange.speak_above=0.5", setting])


@pytest.mark.usefixtures("runtime")
def test_late_answers_may_be_silent_too(compose, make_cloud, differences, bound):
    process = compose(("linear",), engine="local", speak_above=bound, asynchronous=True)
    state, cloud = process.initialize(1), make_cloud()
    everybody = np.arange(process.num_devices)
    nobody = everybody[:0]
    late = everybody % 2
    state, _ = process.next(state, cloud, everybody, everybody)
    state, second = process.next(state, cloud, everybody, everybody, late)
    speaking = {user for user, found in differences.items() if found >= bound}
    assert second.silent == len(differences) - len(speaking)
    assert second.under_way == int(late.sum())
    state, third = process.next(state, cloud, nobody, nobody)
    here = [report.uplinks for report in (second, third)]
    sent = [set(up.users.tolist()) for uplinks in here for _, up in uplinks]
    assert set().union(*sent) == speaking
    assert sum(map(len, sent)) == len(speaking)
    assert (third.silent, third.under_way) == (0, 0)
