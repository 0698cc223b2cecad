"""The schedule of a run: who takes part, and when what is sent arrives."""

import numpy as np
import pytest

from ecct_tf.config import DelayConfig, ParticipationConfig
from ecct_tf.federated import Schedule, draw_participants
from ecct_tf.federated.schedule import draw_delays


def _rounds(config, rounds, *, devices=20, seed=1):
    schedule = Schedule(config, num_devices=devices, seed=seed)
    return [schedule.draw(number) for number in range(rounds)]


@pytest.mark.parametrize(
    "config", [ParticipationConfig(), ParticipationConfig(devices_per_round=8, dropout=0.3)]
)
def test_without_delays_rounds_are_drawn_as_they_always_were(config):
    for number, drawn in enumerate(_rounds(config, 4)):
        expected = draw_participants(config, num_devices=20, seed=1, round_number=number)
        np.testing.assert_array_equal(drawn.participants, expected[0])
        np.testing.assert_array_equal(drawn.answering, expected[1])
        np.testing.assert_array_equal(drawn.delays, np.zeros(len(expected[1])))


def test_a_device_waits_until_its_answer_has_arrived():
    config = ParticipationConfig(devices_per_round=6, delay=DelayConfig(max_rounds=5))
    arrives = {}
    for number, drawn in enumerate(_rounds(config, 60)):
        assert all(arrives.get(device, -1) < number for device in drawn.participants.tolist())
        late = (number + drawn.delays).tolist()
        arrives.update(zip(drawn.answering.tolist(), late, strict=True))
    assert len(arrives) == 20


def test_who_drops_out_is_free_again_at_once():
    config = ParticipationConfig(dropout=0.99, delay=DelayConfig(max_rounds=5))
    for drawn in _rounds(config, 5):
        # At most one device a round is under way.
        assert len(drawn.participants) >= 20 - 5


def test_a_schedule_begun_in_the_middle_goes_on_as_the_undisturbed_one():
    config = ParticipationConfig(devices_per_round=6, delay=DelayConfig(max_rounds=5))
    whole = _rounds(config, 30)
    schedule = Schedule(config, num_devices=20, seed=1)
    for number in (17, 18, 3, 29, 29):
        for got, expected in zip(schedule.draw(number), whole[number], strict=True):
            np.testing.assert_array_equal(got, expected)
    other = _rounds(config, 30, seed=2)
    assert any((a.delays != b.delays).any() for a, b in zip(whole, other, strict=True))


def test_delays_follow_their_distribution():
    rng = np.random.default_rng(0)
    uniform = draw_delays(DelayConfig(max_rounds=4), rng, count=5000)
    np.testing.assert_allclose(np.bincount(uniform) / 5000, 0.2, atol=0.02)
    config = DelayConfig(max_rounds=6, distribution="geometric", mean_rounds=1.0)
    shares = np.bincount(draw_delays(config, rng, count=5000), minlength=7) / 5000
    # 1/2, 1/4 and so on; what is beyond the cut arrives then.
    np.testing.assert_allclose(shares, [*0.5 ** np.arange(1, 7), 0.5**6], atol=0.02)


def test_when_everybody_is_under_way_nobody_takes_part():
    config = ParticipationConfig(
        delay=DelayConfig(max_rounds=9, distribution="geometric", mean_rounds=1e9)
    )
    sizes = [len(drawn.participants) for drawn in _rounds(config, 11)]
    assert sizes == [20, *[0] * 9, 20]
