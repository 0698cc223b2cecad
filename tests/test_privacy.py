"""What devices give away, as an ε: hand-computed, beside another accountant, and as a bound."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecct_tf.config import load_config
from ecct_tf.errors import ConfigError
from ecct_tf.federated import draw_participants
from ecct_tf.privacy import PrivacyAccount, gaussian_epsilon
from ecct_tf.simulation.privacy_meter import PrivacyMeter

_ROWS = ("edge.shared=none", "exchange.noise_multiplier=40", "exchange.queries=8")


def _account(*overrides):
    return PrivacyAccount.of(load_config(overrides=overrides))


@pytest.mark.parametrize(("mu", "epsilon"), [(1.0, 4.3772), (0.5, 1.9930), (2.0, 9.9973)])
def test_known_values_of_the_gaussian_mechanism(mu, epsilon):
    assert gaussian_epsilon(mu, 1e-5) == pytest.approx(epsilon, abs=2e-3)


@given(st.floats(0.01, 60.0), st.floats(1e-9, 1e-2))
def test_epsilon_rises_with_mu_and_falls_with_delta(mu, delta):
    epsilon = gaussian_epsilon(mu, delta)
    assert 0 <= epsilon <= gaussian_epsilon(mu * 1.1, delta)
    assert epsilon >= gaussian_epsilon(mu, delta * 2)


@pytest.mark.parametrize("count", [1, 240])
def test_it_stays_below_the_bound_of_another_accountant(count):
    """Rényi accounting bounds what is exact here."""
    accounting = pytest.importorskip("dp_accounting")
    accountant = accounting.rdp.RdpAccountant()
    accountant.compose(accounting.GaussianDpEvent(5.0), count)
    bound = accountant.get_epsilon(1e-5)
    assert 0.85 * bound < gaussian_epsilon(math.sqrt(count) / 5.0, 1e-5) <= bound


def test_rows_and_pairs_are_one_account():
    """8 embeddings in each of 3 uplinks, 8 logits in 2, and the one sum: 40 rows and a vector."""
    pairs = "exchange.item_increments."
    account = _account(*_ROWS, f"{pairs}positions=2", f"{pairs}noise_multiplier=10")
    mu = math.sqrt(40 * (2 / 40) ** 2 + (2 / 10) ** 2)
    assert account.epsilon(3, 2) == pytest.approx(gaussian_epsilon(mu, 1e-5))
    assert account.unprotected == ()


def test_nothing_sent_is_nothing_spent():
    assert _account(*_ROWS).epsilon(0, 0) == 0.0


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("exchange.noise_multiplier=1",), ["weights (edge.shared=backbone)"]),
        (("privacy.max_epsilon=8", "edge.shared=none"), ["uplinks"]),
        (
            ("exchange.noise_multiplier=1", "exchange.item_increments.positions=4"),
            ["pairs of items", "weights"],
        ),
        ((*_ROWS, "data.nodes=4"), ["users who share a device"]),
        (
            ("exchange.noise_multiplier=1", "server.aggregator=m:f", "runtime.shard_size=0"),
            ["whose own noise is not counted"],
        ),
    ],
)
def test_what_leaves_without_noise_is_named(overrides, named):
    account = _account(*overrides)
    told = account.told(account.epsilon(1, 1))
    assert "no bound" in told
    for what in named:
        assert any(what in found for found in account.unprotected)
        assert what in told


@pytest.mark.parametrize("overrides", [(), ("method=fedavg", "exchange.noise_multiplier=1")])
def test_without_noise_or_bound_there_is_no_account(overrides):
    assert _account(*overrides) is None


def test_a_bound_of_another_method_is_refused():
    with pytest.raises(ConfigError, match="method=fedavg takes from devices is not counted"):
        load_config(overrides=["method=fedavg", "privacy.max_epsilon=8"])


def _meter(*overrides, num_devices):
    return PrivacyMeter.of(load_config(overrides=overrides), num_devices=num_devices)


def test_the_meter_follows_the_device_that_answers_most():
    drawn = ("participation.devices_per_round=3", "participation.dropout=0.34", "seed=5")
    config = load_config(overrides=[*_ROWS, *drawn, "exchange.stage_1_rounds=2"])
    meter = PrivacyMeter.of(config, num_devices=7)
    sent = np.zeros((7, 2), int)
    for number in range(6):
        _, answering = draw_participants(
            config.participation, num_devices=7, seed=5, round_number=number
        )
        sent[answering] += [1, number >= 2]
    most = sent[sent.sum(axis=1).argmax()]
    assert meter.epsilon(6) == meter.account.epsilon(*most.tolist())
    # Going back, as to a checkpoint, counts anew.
    assert meter.epsilon(0) == 0.0
    assert meter.epsilon(6) == meter.account.epsilon(*most.tolist())


def test_the_advised_noise_is_enough():
    bound = ("privacy.max_epsilon=4", "rounds=5")
    meter = _meter(*_ROWS[::2], "exchange.noise_multiplier=2", *bound, num_devices=3)
    with pytest.raises(ConfigError, match=r"exchange\.noise_multiplier=") as refused:
        meter.check_bound(5)
    advised = str(refused.value).split("exchange.noise_multiplier=")[1].split(")")[0]
    noisier = _meter(*_ROWS[::2], f"exchange.noise_multiplier={advised}", *bound, num_devices=3)
    noisier.check_bound(5)
    assert noisier.epsilon(5) > 3.9


def test_a_bound_without_noise_is_refused():
    meter = _meter("privacy.max_epsilon=4", num_devices=3)
    with pytest.raises(ConfigError, match=r"without counted noise leave uplinks .* weights"):
        meter.check_bound(1)


@pytest.mark.parametrize("nodes", [(), ("data.nodes=2",)])
def test_a_sum_without_noise_can_be_left_out(nodes):
    """Of users of a node, it alone is in the way where all else crosses as sums of items."""
    told = "exchange.recent_popularity.positions"
    settings = (*SUMS, "exchange.item_sums.noise_multiplier=9", "privacy.max_epsilon=40")
    noise = ("exchange.recent_popularity.noise_multiplier=9",) if nodes else ()
    meter = _meter(*settings, *nodes, *noise, f"{told}=4", num_devices=3)
    with pytest.raises(ConfigError, match=rf"let them stay: .*{told}=0"):
        meter.check_bound(1)
    _meter(*settings, *nodes, *noise, f"{told}=0", num_devices=3).check_bound(1)


def test_the_advice_names_the_noise_of_each_sum():
    told = "exchange.recent_popularity"
    settings = (*_ROWS[::2], f"{told}.positions=4", "privacy.max_epsilon=4", "rounds=1")

    def meter(rows, sum_noise):
        noises = (f"exchange.noise_multiplier={rows}", f"{told}.noise_multiplier={sum_noise}")
        return _meter(*settings, *noises, num_devices=3)

    with pytest.raises(ConfigError, match="times all noise would do") as refused:
        meter(400, 1).check_bound(1)
    advised = re.findall(r"noise_multiplier=([0-9.e+]+)", str(refused.value))
    assert len(advised) == 2
    meter(*advised).check_bound(1)


SUMS = ("exchange.rows=item", "edge.shared=none")


def test_a_sum_is_one_mechanism_however_many_answers_it_holds():
    """Logits of 3 rounds with multiplier 4: μ² = 3 (2 / 4)²; with embeddings of 5, 8 of them."""
    noise = "exchange.item_sums.noise_multiplier=4"
    alone = _account(*SUMS, noise, "exchange.queries=50")
    assert alone.epsilon(5, 3) == pytest.approx(gaussian_epsilon(math.sqrt(3) / 2, 1e-5))
    both = _account(*SUMS, noise, "exchange.item_sums.embeddings=true")
    assert both.epsilon(5, 3) == pytest.approx(gaussian_epsilon(math.sqrt(8) / 2, 1e-5))
    assert (alone.unprotected, both.unprotected) == ((), ())
    # The bound is one of the whole device, whoever lives on it.
    assert _account(*SUMS, noise, "data.nodes=4").unprotected == ()
    assert "who sums draws the noise" in alone.told(1.0)


def test_the_documented_noise_is_within_its_bound():
    meter = _meter(*SUMS, "exchange.item_sums.noise_multiplier=3.8", num_devices=3)
    assert meter.epsilon(10) == pytest.approx(7.99, abs=0.01)


def test_the_advised_noise_on_sums_is_enough():
    def meter(noise):
        multiplier = f"exchange.item_sums.noise_multiplier={noise}"
        return _meter(*SUMS, multiplier, "privacy.max_epsilon=2", num_devices=3)

    with pytest.raises(ConfigError, match=r"8 rounds of sums would spend .*item_sums\.") as refused:
        meter(1).check_bound(8)
    advised = str(refused.value).split("noise_multiplier=")[1].split(")")[0]
    meter(advised).check_bound(8)
    assert meter(advised).epsilon(8) > 1.95
    with pytest.raises(ConfigError, match=r"sums of items \(exchange\.item_sums"):
        meter(0).check_bound(1)
