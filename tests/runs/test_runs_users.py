"""A user by id or by number, and what is said where that is not clear."""

import types

import pytest

from ecct_tf.errors import DataError
from ecct_tf.runs.users import typed_user


@pytest.fixture
def experiment():
    """Five users, the last of whom takes no part; `1` and `3` are numbers of others too."""
    tokens = ("3", "1", "ann", "number:0", "few")
    dataset = types.SimpleNamespace(user_tokens=tokens, num_users=len(tokens), name="shop")
    split = types.SimpleNamespace(
        includes=lambda number: number < 4, heavy_users=[], touched=lambda _number: [7]
    )
    return types.SimpleNamespace(dataset=dataset, split=split)


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("ann", 2),
        ("id:ann", 2),
        # An id and the number of the same user.
        ("1", 1),
        # A number that is nobody's id.
        ("0", 0),
        ("2", 2),
        ("id:3", 0),
        ("number:3", 3),
        ("number:2", 2),
        # Whatever the id looks like.
        ("number:0", 3),
        ("id:number:0", 3),
    ],
)
def test_a_user_is_found_by_id_and_by_number(experiment, typed, number):
    assert typed_user(experiment, typed) == number


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "3",
            "the id of one user, whose number in devices.csv is 0, and .* whose id is 'number:0'",
        ),
        ("3", "expected id:3 for the first, or number:3 for the second"),
        ("an", "one of the 5 users of data set 'shop', such as '3', '1', 'ann', or a number in"),
        ("an", "number in 0..4 as devices.csv has it; did you mean ann"),
        ("5", "user '5': expected the id"),
        ("-1", "user '-1': expected the id"),
        ("id:2", "user 'id:2': expected the id"),
        ("number:ann", "user 'number:ann': expected the id"),
        ("9" * 5_000, "expected the id"),
        ("few", "user 'few' takes no part in the run: of 1 interaction the split leaves too few"),
        ("4", "user 'few' takes no part"),
    ],
)
def test_what_names_nobody_or_two_is_refused(experiment, typed, message):
    with pytest.raises(DataError, match=message):
        typed_user(experiment, typed)
