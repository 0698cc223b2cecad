"""By what a device judges its training: positions, candidates and the verdict, by hand."""

import numpy as np
import pytest

from ecct_tf.config import SampleConfig
from ecct_tf.data.guard import guard_candidates, guard_positions, keeps_training
from ecct_tf.data.samples import draw_samples
from ecct_tf.simulation.device_guard import kept_training

HISTORY = np.array([7, 1, 4, 9, 3, 8, 2, 6], np.int32)


def drawn(num_older, samples, history=HISTORY):
    return draw_samples(
        history,
        num_older=num_older,
        num_items=40,
        history_length=3,
        samples=samples,
        seed=0,
        user=5,
    )


@pytest.mark.parametrize(
    ("num_older", "max_positions", "held", "trained"),
    [
        (2, 128, [6, 7], [2, 3, 4, 5]),
        # At most half of the positions, and never the only one.
        (4, 128, [6, 7], [4, 5]),
        (5, 128, [7], [5, 6]),
        (6, 128, [7], [6]),
        (7, 128, [], [7]),
        (8, 128, [], []),
        # Of those that count, not of all.
        (0, 3, [7], [5, 6]),
        # The first interaction has no history.
        (0, 128, [6, 7], [1, 2, 3, 4, 5]),
    ],
)
def test_the_newest_positions_stay_out_of_training(num_older, max_positions, held, trained):
    samples = SampleConfig(negatives=2, max_positions=max_positions, guard_positions=2)
    assert guard_positions(8, num_older=num_older, samples=samples).tolist() == held
    found = drawn(num_older, samples)
    assert found.positions.tolist() == trained
    assert found.candidates[:, 0].tolist() == HISTORY[trained].tolist()


def test_without_a_guard_all_positions_are_trained_on():
    samples = SampleConfig(negatives=2, guard_positions=0)
    assert guard_positions(8, num_older=2, samples=samples).tolist() == []
    assert drawn(2, samples).positions.tolist() == [2, 3, 4, 5, 6, 7]


def test_what_is_held_back_was_never_trained_on_however_a_history_grows():
    samples = SampleConfig(negatives=2, guard_positions=3)
    trained = set()
    for length in range(1, 9):
        trained |= set(drawn(1, samples, HISTORY[:length]).positions.tolist())
        for later in range(length, 9):
            held = guard_positions(later, num_older=1, samples=samples).tolist()
            assert not trained & set(held), (length, later)


def test_candidates_are_the_item_and_others_that_spread_over_the_catalog():
    found = guard_candidates(HISTORY, np.array([6, 7]), num_items=500)
    assert found.shape == (2, 100)
    assert found[:, 0].tolist() == [2, 6]
    others = found[0, 1:]
    assert np.array_equal(others, found[1, 1:])
    assert not set(others.tolist()) & set(HISTORY.tolist())
    # 492 are left; the first and the last are half a stretch of 4.97 from the ends.
    assert (others.min(), others.max()) == (11, 498)
    assert set(np.diff(others).tolist()) == {4, 5}
    # In a small catalog each of the others stands for as many, within one.
    few = guard_candidates(HISTORY, np.array([7]), num_items=12)[0, 1:]
    assert np.unique(few, return_counts=True)[0].tolist() == [5, 10, 11, 12]
    assert set(np.unique(few, return_counts=True)[1].tolist()) <= {24, 25}
    assert guard_candidates(HISTORY[:2], np.array([1]), num_items=7).shape == (1, 100)
    covered = np.arange(1, 8, dtype=np.int32)
    assert guard_candidates(covered, np.array([6]), num_items=7).shape == (0, 100)


def test_training_is_kept_unless_the_places_add_up_to_more():
    start = [[0.5, 0.4, 0.6], [0.5, 0.6, 0.7]]  # Places 1 and 2.
    for trained, kept in (
        ([[0.9, 0.1, 0.1], [0.5, 0.6, 0.7]], True),  # 0 and 2.
        ([[0.5, 0.6, 0.7], [0.5, 0.4, 0.6]], True),  # 2 and 1.
        ([[0.5, 0.6, 0.7], [0.5, 0.6, 0.7]], False),  # 2 and 2.
        ([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]], False),  # Ties count against the item.
        ([[np.nan, 0.1, 0.1], [np.nan, 0.1, 0.1]], False),
    ):
        assert keeps_training(start, trained, wanted=2) is kept


def test_a_history_too_short_for_all_that_is_wanted_must_show_that_training_helped():
    start = [[0.5, 0.4, 0.6]]  # Place 1.
    better, tie, worse = [[0.5, 0.4, 0.4]], [[0.5, 0.6, 0.4]], [[0.5, 0.6, 0.6]]
    assert [keeps_training(start, each, wanted=2) for each in (better, tie, worse)] == [
        True,
        False,
        False,
    ]
    assert [keeps_training(start, each, wanted=1) for each in (better, tie, worse)] == [
        True,
        True,
        False,
    ]
    # Many devices at once: two positions, one, and none.
    found = kept_training(
        np.float32(start + start + start),
        np.float32(tie + tie + tie),
        requests=np.array([0, 0, 1]),
        count=3,
        wanted=2,
    )
    assert found.tolist() == [True, False, True]
