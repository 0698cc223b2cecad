import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecct_tf.data import leave_one_out
from ecct_tf.errors import ConfigError, DataError


def test_by_hand(toy):
    # User "2" in time order: b10 e20 c30 d30 g40 a50 f60; c stands before d in the file.
    split = leave_one_out(toy, recent_fraction=0.4)
    assert split.users.tolist() == [0]
    assert split.excluded_users == 1
    assert split.train(0).tolist() == [2, 5, 3, 4, 7]
    assert split.older(0).tolist() == [2, 5, 3]
    assert split.recent(0).tolist() == [4, 7]  # ceil(0.4 * 5)
    assert split.validation(0) == 1
    assert split.test(0) == 6
    assert split.history(0, "validation").tolist() == [2, 5, 3, 4, 7]
    assert split.history(0, "test").tolist() == [2, 5, 3, 4, 7, 1]
    assert split.touched(0).tolist() == [2, 5, 3, 4, 7, 1, 6]
    assert split.before(0, 0).tolist() == []
    assert split.before(0, 6).tolist() == [2, 5, 3, 4, 7, 1]
    assert split.positions(0, "validation") == range(5, 6)
    assert split.positions(0, "test") == range(6, 7)
    assert split.cuts is None
    assert split.timestamps[:7].tolist() == [10, 20, 30, 30, 40, 50, 60]


def test_excluded_users_have_no_parts(toy):
    split = leave_one_out(toy)
    assert split.train(1).tolist() == split.older(1).tolist() == split.recent(1).tolist() == []
    assert split.touched(1).tolist() == [1, 2, 3]
    for ask in (split.validation, split.test, lambda user: split.history(user, "test")):
        with pytest.raises(DataError, match="user 1 has 3 interactions"):
            ask(1)


def test_bad_arguments(toy):
    for fraction in (-0.1, 1.1, float("nan"), "0.2", True):
        with pytest.raises(ConfigError, match="recent_fraction"):
            leave_one_out(toy, recent_fraction=fraction)
    split = leave_one_out(toy)
    with pytest.raises(DataError, match=r"0\.\.1, received -1"):
        split.train(-1)
    with pytest.raises(ConfigError, match="part"):
        split.history(0, "train")
    for position in (-1, 8):
        with pytest.raises(DataError, match=rf"0\.\.7 for user 0, received {position}"):
            split.before(0, position)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"users": [1, 0]}, "ascending"),
        ({"test_counts": [1]}, "offsets must have one entry more"),
        ({"test_counts": [1, 1]}, "0 for excluded"),
        ({"recent_counts": [-1, 0]}, "negative"),
        ({"test_counts": [6, 0]}, "2 training interactions"),
        ({"recent_counts": [6, 0]}, "no fewer than recent"),
    ],
)
def test_borders_that_cannot_be(toy, changes, match):
    split = leave_one_out(toy)
    with pytest.raises(DataError, match=match):
        dataclasses.replace(split, **{k: np.array(v) for k, v in changes.items()})


@pytest.mark.parametrize(
    ("fraction", "train", "recent"),
    [(0.2, 2, 1), (0.2, 5, 1), (0.2, 6, 2), (0.07, 100, 7), (0.99, 3, 2), (1.0, 3, 3), (0.0, 9, 0)],
)
def test_size_of_the_recent_part(make_plain, fraction, train, recent):
    rows = [(0, 1 + n, n) for n in range(train + 2)]
    split = leave_one_out(
        make_plain(rows, num_users=1, num_items=train + 2), recent_fraction=fraction
    )
    assert len(split.recent(0)) == recent
    assert len(split.train(0)) == train


@settings(max_examples=60, deadline=None)
@example(rows=[(0, 1 + n, n) for n in range(4)], fraction=1.0)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=60
    ),
    fraction=st.floats(0, 1),
)
def test_parts_cover_every_user_in_stable_order(make_plain, rows, fraction):
    split = leave_one_out(make_plain(rows, num_users=5, num_items=9), recent_fraction=fraction)
    for user in range(5):
        mine = sorted((row for row in rows if row[0] == user), key=lambda row: row[2])
        items = [item for _, item, _ in mine]
        assert split.touched(user).tolist() == items
        assert (user in split.users) == (len(items) >= 4)
        if len(items) < 4:
            continue
        older, recent = split.older(user).tolist(), split.recent(user).tolist()
        assert older + recent == split.train(user).tolist()
        assert bool(older) == (fraction < 1)
        assert bool(recent) == (fraction > 0)
        assert [*older, *recent, split.validation(user), split.test(user)] == items


def test_real_data(real_dataset):
    split = leave_one_out(real_dataset)
    assert split.excluded_users == 0
    assert len(split.items) == 100_000
    sizes = np.array([len(split.train(user)) for user in split.users])
    assert sizes.sum() == 100_000 - 2 * 943
    assert split.recent_counts.sum() == sum(-(-size // 5) for size in sizes.tolist())
