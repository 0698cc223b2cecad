import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecct_tf.data import (
    PARTS,
    cloud_view,
    device_view,
    evaluation_candidates,
    split_report,
    temporal_split,
    user_devices,
)
from ecct_tf.errors import ConfigError, DataError

# Ten interactions of four users; with a fifth each the cuts are the seconds 6 and 8.
# User 0 has all parts, 1 trains only, 2 comes after the first cut, 3 has one before it.
ROWS = [
    (0, 1, 1),
    (0, 2, 2),
    (1, 1, 3),
    (1, 2, 4),
    (3, 1, 5),
    (0, 3, 6),
    (0, 4, 7),
    (2, 5, 8),
    (0, 2, 9),
    (0, 6, 10),
]


@pytest.fixture
def dataset(make_plain):
    return make_plain(ROWS, num_users=4, num_items=20)


@pytest.fixture
def split(dataset):
    return temporal_split(dataset, validation_fraction=0.2, test_fraction=0.2, recent_fraction=0.4)


def test_by_hand(split):
    assert split.cuts == (6, 8)
    assert split.users.tolist() == [0, 1]
    assert split.excluded_users == 2
    assert split.train(0).tolist() == [1, 2, 3]
    assert split.older(0).tolist() == [1]
    assert split.recent(0).tolist() == [2, 3]  # ceil(0.4 * 3)
    assert split.positions(0, "validation") == range(3, 4)
    assert split.positions(0, "test") == range(4, 6)
    assert split.validation(0) == 4
    assert split.history(0, "test").tolist() == [1, 2, 3, 4]
    assert split.before(0, 5).tolist() == [1, 2, 3, 4, 2]
    with pytest.raises(DataError, match="user 0 has 2 test interactions, not exactly one"):
        split.test(0)


def test_a_user_with_nothing_held_out_trains(split, dataset):
    assert split.includes(1)
    assert split.older(1).tolist() == [1]
    assert split.recent(1).tolist() == [2]
    assert len(split.positions(1, "test")) == len(split.positions(1, "validation")) == 0
    assert split.history(1, "test").tolist() == [1, 2]
    assert device_view(dataset, split, 1).history.tolist() == [1, 2]
    assert [group.tolist() for group in user_devices(split)] == [[0], [1]]


def test_users_without_training_are_excluded_whole(split):
    for user in (2, 3):
        assert not split.includes(user)
        assert split.train(user).tolist() == []
        with pytest.raises(DataError, match=f"user {user} has 1 interactions.*excluded"):
            split.positions(user, "test")
    assert split.touched(2).tolist() == [5]


def test_the_cloud_sees_the_older_part_only(split, dataset):
    view = cloud_view(dataset, split)
    assert [view.older.of(user).tolist() for user in range(4)] == [[1], [1], [], []]


def test_repeated_items_are_not_evaluated_but_stay_in_the_history(split):
    drawn = evaluation_candidates(split, part="test", negatives=3, seed=0)
    assert drawn.users.tolist() == [0]
    assert drawn.positions.tolist() == [5]  # position 4 repeats item 2
    assert drawn.items[0, 0] == 6


def test_several_rows_of_a_user_are_drawn_apart(make_plain):
    rows = [(0, 1 + n, n) for n in range(10)]
    split = temporal_split(
        make_plain(rows, num_users=1, num_items=300), validation_fraction=0.1, test_fraction=0.3
    )
    drawn = evaluation_candidates(split, part="test", negatives=20, seed=0)
    assert drawn.users.tolist() == [0, 0, 0]
    assert drawn.positions.tolist() == [7, 8, 9]
    assert drawn.items[:, 0].tolist() == [8, 9, 10]
    assert len({tuple(row) for row in drawn.items[:, 1:].tolist()}) == 3
    assert not set(drawn.items[:, 1:].ravel().tolist()) & set(range(1, 11))


def test_a_draw_does_not_depend_on_other_users(make_plain):
    mine = [(1, 1 + n, n) for n in range(10)]
    others = [(0, 11 + n, n) for n in range(10)] + [(2, 21 + n, n) for n in range(10)]

    def draw(rows):
        split = temporal_split(
            make_plain(rows, num_users=3, num_items=300), validation_fraction=0.2, test_fraction=0.2
        )
        drawn = evaluation_candidates(split, part="test", negatives=20, seed=0)
        return drawn.items[drawn.users == 1].tolist()

    assert draw(mine) == draw(mine + others)


def test_ties_at_a_cut_go_to_the_earlier_part(make_plain):
    # Five of ten interactions share second 5: at most 20 % may lie after the first cut.
    rows = [(0, 1 + n, time) for n, time in enumerate([1, 2, 3, 5, 5, 5, 5, 5, 6, 7])]
    split = temporal_split(
        make_plain(rows, num_users=1, num_items=20), validation_fraction=0.1, test_fraction=0.1
    )
    assert split.cuts == (5, 6)
    assert len(split.train(0)) == 8


def test_fractions_that_mean_nothing(dataset):
    for validation, test in ((0.0, 0.1), (0.1, 0.0), (0.5, 0.5), (float("nan"), 0.1)):
        with pytest.raises(ConfigError, match="above 0 and together below 1"):
            temporal_split(dataset, validation_fraction=validation, test_fraction=test)


def test_parts_that_stay_empty(make_plain):
    same = make_plain([(0, n, 5) for n in range(1, 9)], num_users=1, num_items=9)
    with pytest.raises(DataError, match=r"no validation interaction.*the last at 5.*1 of 1 users"):
        temporal_split(same)
    newcomers = make_plain([(n, 1 + n, n) for n in range(8)], num_users=8, num_items=9)
    with pytest.raises(DataError, match="0 of 8 users with 2 or more"):
        temporal_split(newcomers, validation_fraction=0.2, test_fraction=0.2)


def test_report(dataset, split):
    report = split_report(dataset, split)
    assert report.split == "temporal"
    assert (report.devices, report.excluded_users, report.excluded_interactions) == (2, 2, 2)
    assert report.excluded_examples == (("2", 1), ("3", 1))
    assert (report.older, report.recent) == (2, 3)
    assert report.held_out == {"validation": 1, "test": 2}
    assert report.repeated == {"validation": 0, "test": 1}
    assert report.evaluated == {"validation": 1, "test": 1}
    assert report.unseen == {"validation": 1, "test": 1}  # items 4 and 6
    assert report.tested_users == {"validation": 1, "test": 1}
    assert report.as_dict()["cuts"] == (6, 8)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(0, 30)),
        min_size=4,
        max_size=80,
    ),
    validation=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
    recent=st.floats(0.01, 0.99),
)
def test_one_clock_and_every_part(make_plain, rows, validation, test, recent):
    dataset = make_plain(rows, num_users=5, num_items=9)
    try:
        split = temporal_split(
            dataset, validation_fraction=validation, test_fraction=test, recent_fraction=recent
        )
    except DataError:
        return
    training_end, validation_end = split.cuts
    times = np.array([time for _, _, time in rows])
    # At most the asked share after each cut, and one more second would be too much.
    for cut, share in ((training_end, validation + test), (validation_end, test)):
        assert (times > cut).sum() <= share * len(rows) + 1e-6
        assert (times >= cut).sum() > np.floor(share * len(rows) + 1e-9)
    for user in range(5):
        mine = sorted((row for row in rows if row[0] == user), key=lambda row: row[2])
        assert split.touched(user).tolist() == [item for _, item, _ in mine]
        trained = sum(time <= training_end for _, _, time in mine)
        assert split.includes(user) == (trained >= 2)
        if not split.includes(user):
            continue
        older, latest = split.older(user).tolist(), split.recent(user).tolist()
        assert older
        assert latest
        held_out = [split.touched(user)[list(split.positions(user, part))] for part in PARTS]
        joined = [*older, *latest, *held_out[0].tolist(), *held_out[1].tolist()]
        assert joined == split.touched(user).tolist()
        for place, (_, _, time) in enumerate(mine):
            in_validation = place in split.positions(user, "validation")
            in_test = place in split.positions(user, "test")
            assert in_test == (time > validation_end)
            assert in_validation == (training_end < time <= validation_end)
