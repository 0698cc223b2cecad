"""The gate: a paired interval, the room that follows from it, and what a chain carries."""

import math

import numpy as np
import pytest

from cloud.retraining import load_job_config
from cloud.retraining.comparison import Comparison, PairedInterval, carried_by, paired_interval
from cloud.retraining.gate import verdict
from ecct_tf.errors import ConfigError


def compared(difference, *, users=400, spread=0.1, carried=0.0, before=0.4, **options):
    """Users' values whose differences have exactly this mean and this standard deviation."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=users)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * spread
    base = rng.uniform(before - 0.1, before + 0.1, users)
    base += before - base.mean()
    settings = {"confidence": 0.95, "largest_loss": 0.05, "carried": carried, **options}
    return Comparison.of(base + difference + noise, base, **settings)


def test_the_interval_by_hand():
    """Differences 0.1, 0.0, 0.2: mean 0.1, deviation 0.1, t of two degrees at 0.975 is 4.3027."""
    found = paired_interval([0.5, 0.7, 0.9], [0.4, 0.7, 0.7], confidence=0.95)
    assert found.mean == pytest.approx(0.1)
    assert found.half_width == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert found.count == 3
    # The t of two degrees at 0.95 is 2.9200.
    narrow = paired_interval([0.5, 0.7, 0.9], [0.4, 0.7, 0.7], confidence=0.9)
    assert narrow.half_width == pytest.approx(2.92 * 0.1 / math.sqrt(3), rel=1e-4)


def test_the_interval_is_of_pairs_not_of_two_means():
    """Users differ widely, yet each gains alike: the pairs leave no doubt."""
    before = np.linspace(0.0, 1.0, 50)
    found = paired_interval(before + 0.01, before, confidence=0.95)
    assert found.mean == pytest.approx(0.01)
    assert found.half_width == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_too_few_pairs_have_no_interval(values):
    if values:
        assert paired_interval(values, [0.4], confidence=0.95) == PairedInterval(
            pytest.approx(0.1), math.inf, 1
        )
    else:
        with pytest.raises(ValueError, match="at least one"):
            paired_interval(values, [], confidence=0.95)


@pytest.mark.parametrize(
    ("difference", "passed"),
    # Half the interval is 1.966 * 0.1 / sqrt(400) = 0.00983.
    [(0.02, True), (0.0, True), (-0.0097, True), (-0.0099, False), (-0.2, False)],
)
def test_the_room_is_half_the_interval(difference, passed):
    found = compared(difference)
    assert found.room == pytest.approx(0.00983, abs=1e-5)
    assert found.passes(minimum_gain=0.0) is passed


def test_more_users_leave_less_room():
    """The same loss: within chance for 100 users, beyond it for 1,600."""
    assert compared(-0.01, users=100).passes(minimum_gain=0.0)
    assert not compared(-0.01, users=1600).passes(minimum_gain=0.0)


def test_few_users_do_not_let_everything_through():
    """Nine users tell nothing below 0.077; 5 % of 0.4 is the most that is let through."""
    assert compared(-0.019, users=9).room == pytest.approx(0.05 * 0.4)
    assert compared(-0.019, users=9).passes(minimum_gain=0.0)
    assert not compared(-0.021, users=9).passes(minimum_gain=0.0)
    assert not compared(-0.001, users=9, largest_loss=0.0).passes(minimum_gain=0.0)


def test_losses_within_chance_add_up_and_gains_make_them_good():
    first = compared(-0.006)
    assert (first.passes(minimum_gain=0.0), first.loss) == (True, pytest.approx(0.006))
    second = compared(-0.006, carried=first.loss)
    assert not second.passes(minimum_gain=0.0)
    repaired = compared(0.004, carried=first.loss)
    assert repaired.loss == pytest.approx(0.002)
    assert compared(-0.006, carried=repaired.loss).passes(minimum_gain=0.0)
    # A gain is not saved up.
    assert compared(0.05).loss == 0.0


def test_a_loss_is_carried_unless_somebody_accepted_it():
    refused, passed = compared(-0.02).metrics("ndcg"), compared(-0.006).metrics("ndcg")
    assert carried_by(passed, "ndcg") == pytest.approx(0.006)
    # It is the parent all the same, so it was promoted by hand.
    assert carried_by(refused, "ndcg") == 0.0
    assert carried_by(passed, "hr") == carried_by({}, "ndcg") == 0.0


def test_equal_versions_of_equal_users_are_equal():
    values = np.array([0.1, 0.2, 0.7])
    found = Comparison.of(values, values, confidence=0.95, largest_loss=0.05)
    assert (found.loss, found.room) == (0.0, 0.0)
    assert found.passes(minimum_gain=0.0)


@pytest.mark.parametrize("users", [1, 30])
def test_what_a_manifest_holds_is_read_again(users):
    spread = 0.1 if users > 1 else 0.0
    found = Comparison(
        0.3, 0.4, PairedInterval(-0.1, 0.05 if spread else math.inf, users), 0.01, 0.02
    )
    metrics = found.metrics("mrr")
    assert all(map(math.isfinite, metrics.values()))
    assert Comparison.read(metrics, "mrr", quality=0.3, before=0.4) == found


def test_the_share_of_honest_and_of_worse_versions_that_pass():
    """Over 2,000 draws of 500 users: 97.5 % of equal versions pass, of clearly worse ones none."""
    rng = np.random.default_rng(1)
    passed = {}
    for true in (0.0, -0.02):
        draws = rng.normal(true, 0.1, (2000, 500))
        zero = np.full(500, 0.4)
        passed[true] = np.mean(
            [
                Comparison.of(zero + row, zero, confidence=0.95, largest_loss=0.05).passes(
                    minimum_gain=0.0
                )
                for row in draws
            ]
        )
    assert passed[0.0] == pytest.approx(0.975, abs=0.01)
    assert passed[-0.02] < 0.02


def test_the_verdict_says_what_it_decided_by():
    config = load_job_config(None)
    assert verdict(config, None) == (True, "it is the first version")
    passed, reason = verdict(config, compared(-0.005))
    assert passed
    assert reason == (
        "its held-out ndcg is 0.3950, -0.0050 against 0.4000 of the promoted version (95 % "
        "interval -0.0148 to +0.0048 over 400 users): within the room of 0.0098 that chance needs"
    )
    passed, reason = verdict(config, compared(-0.005, carried=0.009))
    assert not passed
    assert "0.0090 were lost since the best version before: beyond the room" in reason
    assert "which gate.largest_loss bounds" in verdict(config, compared(0.0, users=9))[1]


@pytest.mark.parametrize(("gain", "passed"), [(0.0, True), (0.02, False), (-1.0, True)])
def test_a_gain_that_is_asked_for(gain, passed):
    config = load_job_config(None, overrides=[f"gate.minimum_gain={gain}"])
    assert verdict(config, compared(0.0))[0] is passed


def test_a_job_that_must_not_promote():
    config = load_job_config(None, overrides=["gate.promote=false"])
    assert verdict(config, None) == (False, "gate.promote is false")


@pytest.mark.parametrize(
    "override",
    ["gate.confidence=1", "gate.confidence=0", "gate.held_out=0", "gate.largest_loss=-1"],
)
def test_settings_out_of_range_are_refused(override):
    with pytest.raises(ConfigError, match=override.partition("=")[0]):
        load_job_config(None, overrides=[override])
