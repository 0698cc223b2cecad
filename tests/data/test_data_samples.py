"""Samples of a device, without TensorFlow."""

import numpy as np
import pytest

from ecct_tf.config import SampleConfig
from ecct_tf.data.samples import draw_samples, histories_before, pad_history, sample_order

HISTORY = np.array([3, 1, 4, 5, 2], np.int32)


def draw(*, num_older=2, negatives=3, max_positions=16, **seeds):
    return draw_samples(
        HISTORY,
        num_older=num_older,
        num_items=9,
        history_length=3,
        samples=SampleConfig(negatives, max_positions, guard_positions=0),
        **{"seed": 1, "user": 7, **seeds},
    )


def test_positions_begin_after_what_the_cloud_knows():
    found = draw()
    assert found.histories.tolist() == [[0, 3, 1], [3, 1, 4], [1, 4, 5]]
    assert found.candidates[:, 0].tolist() == [4, 5, 2]
    assert draw(max_positions=1).histories.tolist() == [[1, 4, 5]]
    # Nothing comes before the first interaction.
    assert draw(num_older=0).candidates[:, 0].tolist() == [1, 4, 5, 2]


def test_negatives_are_any_item_outside_the_training_history():
    drawn = draw(negatives=60).candidates[:, 1:]
    assert set(drawn.ravel().tolist()) == {6, 7, 8, 9}


@pytest.mark.parametrize("change", [{"seed": 2}, {"user": 8}, {"round_number": 0}])
def test_seed_user_and_round_change_the_draw(change):
    assert np.array_equal(draw(negatives=20).candidates, draw(negatives=20).candidates)
    assert not np.array_equal(
        draw(negatives=20, **change).candidates, draw(negatives=20).candidates
    )
    order = {"seed": 1, "user": 7}
    assert sample_order(50, **order).tolist() != sample_order(50, **{**order, **change}).tolist()


def test_rounds_differ():
    first, second = (draw(negatives=20, round_number=number) for number in (0, 1))
    assert not np.array_equal(first.candidates, second.candidates)


def test_histories_before_positions_are_the_padded_ones():
    positions = np.array([0, 1, 3, 5])
    found = histories_before(HISTORY, positions, 3)
    expected = [pad_history(HISTORY[:position], 3) for position in positions]
    assert (
        found.tolist()
        == np.stack(expected).tolist()
        == [[0, 0, 0], [0, 0, 3], [3, 1, 4], [4, 5, 2]]
    )
    assert found.dtype == np.int32
    assert histories_before(HISTORY[:0], positions[:0], 3).shape == (0, 3)
