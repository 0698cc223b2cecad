import dataclasses

import numpy as np
import pytest

from ecct_tf.data import CentralizedTable, Column, EncodedColumn, FederatedTable, Kind, Side
from ecct_tf.data.numbers import NUMBER_ROWS
from ecct_tf.errors import DataError, PrivacyError


def _of(dataset, name):
    columns = dataset.user_columns + dataset.item_columns
    return next(column for column in columns if column.column.name == name)


def test_tables_hold_their_own_side(toy):
    table = FederatedTable(toy.schema, (_of(toy, "gender"), _of(toy, "income")))
    assert table.names == ("gender", "income")
    assert table.num_rows == 2
    assert "gender" in table
    assert "region" not in table
    assert table["gender"].vocabulary == ("F",)
    assert CentralizedTable(toy.schema, ()).num_rows == 0


def test_the_other_side_is_refused(toy):
    with pytest.raises(PrivacyError, match="gender"):
        CentralizedTable(toy.schema, (_of(toy, "gender"),))
    with pytest.raises(PrivacyError, match="region"):
        FederatedTable(toy.schema, (_of(toy, "region"),))


def test_a_forged_or_undeclared_tag_is_refused(toy):
    gender = _of(toy, "gender")
    forged = dataclasses.replace(gender.column, side=Side.CENTRALIZED)
    with pytest.raises(PrivacyError, match="gender"):
        CentralizedTable(toy.schema, (dataclasses.replace(gender, column=forged),))
    stranger = dataclasses.replace(forged, name="shoe_size")
    with pytest.raises(PrivacyError, match="not declared"):
        CentralizedTable(toy.schema, (dataclasses.replace(gender, column=stranger),))


def test_asking_for_the_other_side_or_nothing(toy):
    table = CentralizedTable(toy.schema, (_of(toy, "region"),))
    with pytest.raises(PrivacyError, match="other side"):
        table["gender"]
    with pytest.raises(DataError, match="no column 'shoe_size'"):
        table["shoe_size"]


def test_rows_must_agree(toy):
    with pytest.raises(DataError, match="equal length"):
        CentralizedTable(toy.schema, (_of(toy, "region"), _of(toy, "year")))


_CATEGORY = Column("c", "user", Side.FEDERATED, Kind.CATEGORICAL)
_NUMBER = Column("n", "user", Side.CENTRALIZED, Kind.NUMERIC)
_PRIVATE_NUMBER = Column("n", "user", Side.FEDERATED, Kind.NUMERIC)
_MULTI = Column("m", "user", Side.FEDERATED, Kind.MULTI_CATEGORICAL)


@pytest.mark.parametrize(
    ("column", "values", "vocabulary"),
    [
        (_CATEGORY, np.array([0, 3], np.int32), ("a", "b")),
        (_CATEGORY, np.array([-1], np.int32), ("a",)),
        (_CATEGORY, np.array([1], np.int64), ("a",)),
        (_NUMBER, np.array([np.nan], np.float32), ()),
        (_PRIVATE_NUMBER, np.array([1.0], np.float32), ()),
        (_PRIVATE_NUMBER, np.array([NUMBER_ROWS], np.int32), ()),
        (_MULTI, np.zeros((2, 3), np.float32), ("a", "b")),
        (_MULTI, np.zeros(2, np.float32), ("a", "b")),
    ],
)
def test_values_must_fit_the_kind(column, values, vocabulary):
    with pytest.raises(DataError, match=f"column '{column.name}'"):
        EncodedColumn(column, values, vocabulary)


def test_values_are_read_only_copies():
    source = np.array([1.0, 2.0], np.float32)
    encoded = EncodedColumn(_NUMBER, source)
    source[0] = 9.0
    assert encoded.values.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        encoded.values[0] = 3.0
