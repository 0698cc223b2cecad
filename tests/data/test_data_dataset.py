import dataclasses

import numpy as np
import pandas as pd
import pytest

from ecct_tf.data import Column, FeatureSchema, Kind, Side, build_dataset
from ecct_tf.data.numbers import Scaling, number_code
from ecct_tf.errors import DataError


def test_ids_and_columns_by_hand(toy):
    assert toy.user_tokens == ("2", "10")  # by number, not by text
    assert toy.item_tokens == tuple("abcdefgh")
    assert (toy.num_users, toy.num_items, toy.num_interactions) == (2, 8, 10)
    assert toy.users.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 1, 0]
    assert toy.items.tolist() == [1, 2, 3, 1, 4, 5, 6, 2, 3, 7]
    gender, income, region = toy.user_columns
    assert gender.values.tolist() == [0, 1]  # user 2 has none
    assert gender.vocabulary == ("F",)
    assert gender.missing == 1
    assert income.values.tolist() == [number_code(x, Scaling(log=True)) for x in (3.0, 1.0)]
    assert region.values.tolist() == [2, 1]
    year, genres = toy.item_columns
    assert year.values[:3].tolist() == [0.0, 2002.0, 2000.0]
    assert year.values[8] == 1996.0  # the mean of the seven years present
    assert year.missing == 1
    assert genres.vocabulary == ("comedy", "drama", "war")
    assert genres.values[[0, 1, 6, 8]].tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_row_order_of_side_tables_does_not_matter(toy, toy_schema, toy_frames):
    interactions, users, items = toy_frames
    again = build_dataset(
        name="toy",
        schema=toy_schema,
        interactions=interactions,
        users=users.iloc[::-1],
        items=items.sample(frac=1.0, random_state=1),
    )
    assert again.item_tokens == toy.item_tokens
    pairs = zip(
        again.user_columns + again.item_columns, toy.user_columns + toy.item_columns, strict=True
    )
    for one, other in pairs:
        assert one.values.tobytes() == other.values.tobytes()


def test_numbers_as_ids():
    interactions = pd.DataFrame({"user": [7, 11], "item": [3, 20], "timestamp": ["1", "2"]})
    built = build_dataset(name="n", schema=FeatureSchema("n", ()), interactions=interactions)
    assert built.user_tokens == ("7", "11")
    assert built.item_tokens == ("3", "20")
    assert built.timestamps.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("column", "row", "value", "expected"),
    [
        ("user", 3, None, r"row 3 .*'user'.*missing"),
        ("item", 2, np.nan, r"row 2 .*'item'.*missing"),
        ("timestamp", 4, -1, r"row 4 .*'timestamp'.*received -1\."),
        ("timestamp", 4, 1.5, r"row 4 .*'timestamp'.*received 1.5\."),
        ("timestamp", 4, "noon", r"row 4 .*'timestamp'.*noon"),
        ("timestamp", 4, None, r"row 4 .*'timestamp'"),
        ("user", 5, "99", r"row 5 .*'user'.*'99' is not in the users table"),
        ("item", 5, "z", r"row 5 .*'item'.*'z' is not in the items table"),
    ],
)
def test_bad_interactions_are_refused(toy_schema, toy_frames, column, row, value, expected):
    interactions, users, items = toy_frames
    interactions[column] = interactions[column].astype(object)
    interactions.loc[row, column] = value
    with pytest.raises(DataError, match=expected):
        build_dataset(
            name="t",
            schema=toy_schema,
            interactions=interactions,
            users=users,
            items=items,
            required=("user", "item"),
        )


def test_missing_tables_columns_and_repeated_ids(toy_schema, toy_frames):
    interactions, users, items = toy_frames

    def build(**changes):
        parts = {"interactions": interactions, "users": users, "items": items, **changes}
        return build_dataset(name="t", schema=toy_schema, **parts)

    with pytest.raises(DataError, match="no users table was given"):
        build(users=None)
    with pytest.raises(DataError, match="items table: column 'genres' is missing"):
        build(items=items.drop(columns="genres"))
    with pytest.raises(DataError, match="interactions table: column 'timestamp' is missing"):
        build(interactions=interactions.drop(columns="timestamp"))
    with pytest.raises(DataError, match=r"'10' \(row 0.*occurs again"):
        build(users=pd.concat([users, users]))
    with pytest.raises(DataError, match="not empty"):
        build(interactions=interactions.iloc[:0])
    with pytest.raises(DataError, match=r"column 'year', row 1 .*'MCM'"):
        build(items=items.assign(year=["", "MCM", *items["year"][2:]]))
    with pytest.raises(DataError, match="float64"):
        build(interactions=interactions.assign(user=1.0))


def test_all_numbers_missing_is_refused():
    schema = FeatureSchema("s", (Column("n", "user", Side.FEDERATED, Kind.NUMERIC),))
    with pytest.raises(DataError, match="at least one number"):
        build_dataset(
            name="s",
            schema=schema,
            interactions=pd.DataFrame({"user": ["1"], "item": ["1"], "timestamp": [0]}),
            users=pd.DataFrame({"user": ["1"], "n": [None]}),
        )


def test_dataset_checks_itself(toy):
    with pytest.raises(DataError, match="equally long"):
        dataclasses.replace(toy, users=toy.users[:-1])
    with pytest.raises(DataError, match=r"items must lie in 1\.\.8, received 0 in row 0"):
        dataclasses.replace(toy, items=toy.items * 0)
    with pytest.raises(DataError, match="int32"):
        dataclasses.replace(toy, users=toy.users.astype(np.int64))
    with pytest.raises(DataError, match="user_columns must be those of schema"):
        dataclasses.replace(toy, user_columns=toy.user_columns[:1])
    year, genres = toy.item_columns
    filled = dataclasses.replace(year, values=year.values + 1)
    with pytest.raises(DataError, match="padding row"):
        dataclasses.replace(toy, item_columns=(filled, genres))
