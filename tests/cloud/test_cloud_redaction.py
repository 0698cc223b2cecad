"""What a view and a version say of a user leaves them; what they say of others stays."""

import dataclasses

import numpy as np

from cloud.redaction import redacted, without_users
from ecct_tf.data import CentralizedTable, Column, EncodedColumn, FeatureSchema, Kind, Side

TOMBSTONE = {2: "erased-1"}


def columns_of(view):
    """A word, a number and a vector for each user."""
    rows = view.num_users
    kinds = {
        "word": (Kind.CATEGORICAL, np.arange(rows, dtype=np.int32) % 3 + 1),
        "number": (Kind.NUMERIC, np.arange(rows, dtype=np.float32)),
        "vector": (Kind.VECTOR, np.ones((rows, 2), np.float32)),
    }
    columns = tuple(
        EncodedColumn(
            Column(name, "user", Side.CENTRALIZED, kind),
            values,
            ("a", "b", "c") if kind is Kind.CATEGORICAL else (),
        )
        for name, (kind, values) in kinds.items()
    )
    return CentralizedTable(FeatureSchema("s", tuple(c.column for c in columns)), columns)


def test_a_view_without_a_user(view):
    users = columns_of(view)
    told = dataclasses.replace(view, users=users, items=CentralizedTable(users.schema, ()))
    left = without_users(told, [2])
    assert not len(left.older.of(2))
    for user in (0, 1, 3):
        np.testing.assert_array_equal(left.older.of(user), view.older.of(user))
        np.testing.assert_array_equal(left.older.times_of(user), view.older.times_of(user))
    word, number, vector = (column.values for column in left.users.columns)
    others = np.delete(np.arange(view.num_users), 2)
    assert (word[2], vector[2].tolist()) == (0, [0, 0])
    assert number[2] == np.float32(others.mean())
    for column, before in zip(left.users.columns, told.users.columns, strict=True):
        np.testing.assert_array_equal(column.values[others], before.values[others])
    assert without_users(told, []) is told


def test_rows_of_a_user_in_a_table_of_one_s_own_are_the_mean_of_the_others(stored_cloud):
    users = len(stored_cloud.vocabulary.users)
    rows = np.arange(2 * users, dtype=np.float32).reshape(users, 2)
    snapshot = {"model/ids": rows, "optimizer/m": rows + 1, "model/other": rows + 2}
    told = dataclasses.replace(stored_cloud, snapshot=snapshot)
    left = redacted(told, TOMBSTONE, tables={"model/ids": "user", "model/other": "item"})
    others = np.delete(np.arange(users), 2)
    np.testing.assert_allclose(left.snapshot["model/ids"][2], rows[others].mean(axis=0))
    np.testing.assert_array_equal(left.snapshot["optimizer/m"][2], [0, 0])
    np.testing.assert_array_equal(left.snapshot["model/other"], snapshot["model/other"])
    for name in ("model/ids", "optimizer/m"):
        np.testing.assert_array_equal(left.snapshot[name][others], snapshot[name][others])
    assert (left.vocabulary.users[2], left.vocabulary.users[3]) == ("erased-1", "ü3")
    # Somebody of whom nothing is known, whoever it was.
    again = redacted(told, {3: "erased-2"}, tables=None)
    np.testing.assert_array_equal(left.states[2], again.states[3])
