"""The window of rounds tells fresh uplinks from repeated ones, batch by batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.uplink_log import ReplayWindow
from ecct_tf.errors import DataError


def one_by_one(pairs):
    """What the window promises, written without one."""
    seen, newest, found = set(), {}, []
    for user, number in pairs:
        if number <= newest.get(user, -1) - 64:
            found.append(2)
            continue
        found.append(int((user, number) in seen))
        seen.add((user, number))
        newest[user] = max(number, newest.get(user, -1))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200))), max_size=5))
def test_batches_are_told_as_if_one_by_one(batches):
    window, found = ReplayWindow(4), []
    for batch in batches:
        pairs = np.array(batch, np.int32).reshape(-1, 2)
        found += window.admit(pairs[:, 0], pairs[:, 1]).tolist()
        window = ReplayWindow.from_arrays(window.to_arrays())
    assert found == one_by_one([pair for batch in batches for pair in batch])


def test_it_grows_with_the_users_and_only_then():
    window = ReplayWindow(2)
    window.admit(np.array([1]), np.array([5]))
    larger = window.grown(4)
    assert larger.admit(np.array([1, 3]), np.array([5, 5])).tolist() == [1, 0]
    # The smaller one is as it was.
    assert window.admit(np.array([1]), np.array([6])).tolist() == [0]
    with pytest.raises(DataError, match="it knows 4 users"):
        larger.grown(3)
    with pytest.raises(DataError, match="expected arrays `newest` int32"):
        ReplayWindow.from_arrays({"newest": np.zeros(2)})
