"""Who takes part: drawn from (seed, round), and from nothing else."""

import numpy as np
import pytest

from ecct_tf.config import ParticipationConfig
from ecct_tf.federated import draw_participants


def _draw(config, number=0, *, devices=20, seed=1):
    return draw_participants(config, num_devices=devices, seed=seed, round_number=number)


def test_by_default_everybody_answers():
    participants, answering = _draw(ParticipationConfig())
    np.testing.assert_array_equal(participants, np.arange(20))
    np.testing.assert_array_equal(answering, np.arange(20))


@pytest.mark.parametrize("number", range(5))
def test_a_draw_is_an_ascending_subset_of_the_wanted_size(number):
    config = ParticipationConfig(devices_per_round=8, dropout=0.3)
    participants, answering = _draw(config, number)
    assert len(participants) == 8
    assert len(answering) == 8 - 2  # floor(0.3 * 8) are lost
    for drawn in (participants, answering):
        assert drawn.dtype == np.int64
        assert (np.diff(drawn) > 0).all()
    assert 0 <= participants.min() <= participants.max() < 20
    assert np.isin(answering, participants).all()


def test_draws_repeat_by_seed_and_differ_by_round():
    config = ParticipationConfig(devices_per_round=8)
    first = _draw(config)[0]
    np.testing.assert_array_equal(first, _draw(config)[0])
    assert (first != _draw(config, 1)[0]).any()
    assert (first != _draw(config, seed=2)[0]).any()


def test_over_many_rounds_every_device_has_its_turn():
    config = ParticipationConfig(devices_per_round=5, dropout=0.4)
    counts = np.zeros(20)
    for number in range(200):
        counts[_draw(config, number)[1]] += 1
    assert counts.min() > 10  # 30 are expected
    assert counts.max() < 60


def test_wishes_beyond_the_devices_and_extreme_dropout():
    assert len(_draw(ParticipationConfig(devices_per_round=99))[0]) == 20
    assert len(_draw(ParticipationConfig(dropout=0.99))[1]) == 1
    assert len(_draw(ParticipationConfig(devices_per_round=1, dropout=0.9))[1]) == 1
    participants, answering = _draw(ParticipationConfig(dropout=1.0))
    assert (len(participants), len(answering)) == (20, 0)
