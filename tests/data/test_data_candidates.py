import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecct_tf.data import Candidates, evaluation_candidates, leave_one_out
from ecct_tf.errors import ConfigError, DataError


def _rows(user, items):
    return [(user, item, time) for time, item in enumerate(items)]


def test_by_hand_when_the_draw_has_no_choice(make_plain):
    # 6 items, 4 touched: the two negatives can only be 2 and 5.
    split = leave_one_out(make_plain(_rows(0, [1, 6, 3, 4]), num_users=1, num_items=6))
    for part, positive in (("validation", 3), ("test", 4)):
        drawn = evaluation_candidates(split, part=part, negatives=2, seed=0)
        assert drawn.users.tolist() == [0]
        assert drawn.positions.tolist() == [2 if part == "validation" else 3]
        assert drawn.items[0, 0] == positive
        assert sorted(drawn.items[0, 1:].tolist()) == [2, 5]


def test_too_few_items_left(make_plain):
    split = leave_one_out(make_plain(_rows(0, [1, 6, 3, 4]), num_users=1, num_items=6))
    with pytest.raises(DataError, match=r"user 0 touched 4 \(leaves 2\)"):
        evaluation_candidates(split, part="test", negatives=3, seed=0)


def test_bad_arguments(toy):
    split = leave_one_out(toy)
    with pytest.raises(ConfigError, match="part"):
        evaluation_candidates(split, part="train", negatives=1, seed=0)
    with pytest.raises(ConfigError, match="negatives"):
        evaluation_candidates(split, part="test", negatives=0, seed=0)
    with pytest.raises(ConfigError, match="seed"):
        evaluation_candidates(split, part="test", negatives=1, seed=-1)


@settings(max_examples=40, deadline=None)
@given(
    histories=st.lists(
        st.lists(st.integers(1, 30), min_size=4, max_size=12), min_size=1, max_size=4
    ),
    seed=st.integers(0, 2**32),
)
def test_negatives_are_distinct_and_untouched(make_plain, histories, seed):
    rows = [row for user, items in enumerate(histories) for row in _rows(user, items)]
    split = leave_one_out(make_plain(rows, num_users=len(histories), num_items=30))
    drawn = evaluation_candidates(split, part="test", negatives=18, seed=seed)
    assert drawn.items.shape == (len(histories), 19)
    for row, user in enumerate(drawn.users.tolist()):
        negatives = drawn.items[row, 1:].tolist()
        assert drawn.items[row, 0] == histories[user][-1]
        assert len(set(negatives)) == 18
        assert set(negatives) <= set(range(1, 31)) - set(histories[user])


def test_a_draw_depends_on_seed_part_and_user_only(make_plain):
    def draw(users, **options):
        rows = [row for user in users for row in _rows(user, [1, 2, 3, 4, 5])]
        split = leave_one_out(make_plain(rows, num_users=3, num_items=200))
        arguments = {"part": "test", "negatives": 20, "seed": 7, **options}
        drawn = evaluation_candidates(split, **arguments)
        return dict(zip(drawn.users.tolist(), drawn.items[:, 1:].tolist(), strict=True))

    alone = draw([1])
    assert draw([0, 1, 2])[1] == alone[1]
    assert draw([1], seed=8)[1] != alone[1]
    assert draw([1], part="validation")[1] != alone[1]
    assert draw([0, 1])[0] != alone[1]


def test_the_draw_of_leave_one_out_is_the_published_one(make_plain):
    # Recorded before the temporal split came: published figures rest on these draws.
    rows = [row for user in range(2) for row in _rows(user, [1, 2, 3, 4, 5])]
    split = leave_one_out(make_plain(rows, num_users=2, num_items=200))
    drawn = evaluation_candidates(split, part="test", negatives=4, seed=7)
    assert drawn.items.tolist() == [[5, 60, 92, 35, 59], [5, 28, 106, 45, 63]]


def test_nobody_to_evaluate(make_plain):
    split = leave_one_out(make_plain(_rows(0, [1, 2, 3]), num_users=1, num_items=9))
    with pytest.raises(DataError, match="0 of 1 users have the 4 interactions"):
        evaluation_candidates(split, part="test", negatives=1, seed=0)


def test_lengths_must_agree():
    with pytest.raises(DataError, match=r"shapes \[2\], \[1\] and \[2, 3\]"):
        Candidates(users=[0, 1], positions=[3], items=np.ones((2, 3)))


def test_uniform_over_the_untouched_items(make_plain):
    rows = [row for user in range(2000) for row in _rows(user, [2, 3, 5, 7])]
    split = leave_one_out(make_plain(rows, num_users=2000, num_items=14))
    drawn = evaluation_candidates(split, part="test", negatives=4, seed=1)
    counts = np.bincount(drawn.items[:, 1:].ravel(), minlength=15)
    left = [item for item in range(1, 15) if item not in (2, 3, 5, 7)]
    # 8,000 draws over 10 items: 800 each, standard deviation about 22.
    assert all(abs(counts[item] - 800) < 110 for item in left)


def test_save_and_load(tmp_path, toy):
    drawn = evaluation_candidates(leave_one_out(toy), part="test", negatives=1, seed=0)
    path = tmp_path / "run" / "candidates.npz"
    drawn.save(path)
    loaded = Candidates.load(path)
    assert loaded.items.tolist() == drawn.items.tolist()
    assert loaded.users.tolist() == drawn.users.tolist()
    assert loaded.positions.tolist() == drawn.positions.tolist() == [6]
    assert [file.name for file in path.parent.iterdir()] == ["candidates.npz"]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, toy, monkeypatch):
    drawn = evaluation_candidates(leave_one_out(toy), part="test", negatives=1, seed=0)
    path = tmp_path / "candidates.npz"
    drawn.save(path)
    before = path.read_bytes()

    def broken(file, **_arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", broken)
    with pytest.raises(OSError, match="disk full"):
        drawn.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_file(tmp_path):
    path = tmp_path / "candidates.npz"
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match=r"candidates\.npz"):
        Candidates.load(path)
    with pytest.raises(DataError, match="none"):
        Candidates.load(tmp_path / "none")


def test_real_data(real_dataset):
    split = leave_one_out(real_dataset)
    drawn = evaluation_candidates(split, part="test", seed=0)
    assert drawn.items.shape == (943, 100)
    # Popularity over all training items is known to reach HR@10 of about 0.42.
    train = np.concatenate([split.train(user) for user in split.users])
    scores = np.bincount(train, minlength=split.num_items + 1)[drawn.items]
    ranks = (scores[:, 1:] >= scores[:, :1]).sum(axis=1)
    assert (ranks < 10).mean() == pytest.approx(0.419, abs=0.03)


def test_a_sample_of_the_users_is_the_same_for_both_parts_and_changes_no_draw(make_plain):
    rows = [row for user in range(9) for row in _rows(user, [1, 6, 3, 4])]
    split = leave_one_out(make_plain(rows, num_users=9, num_items=20))
    everybody = evaluation_candidates(split, part="test", negatives=5, seed=3)
    found = {
        part: evaluation_candidates(split, part=part, negatives=5, seed=3, devices=4)
        for part in ("validation", "test")
    }
    chosen = found["test"].users
    assert len(chosen) == 4
    assert found["validation"].users.tolist() == chosen.tolist() == sorted(chosen)
    np.testing.assert_array_equal(found["test"].items, everybody.items[chosen])
    again = evaluation_candidates(split, part="test", negatives=5, seed=4, devices=4)
    assert again.users.tolist() != chosen.tolist()
    more = evaluation_candidates(split, part="test", negatives=5, seed=3, devices=40)
    np.testing.assert_array_equal(more.items, everybody.items)
