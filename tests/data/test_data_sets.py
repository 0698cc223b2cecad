"""Private columns of several values: a place in the profile for each value, 1 for who has it."""

import re
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.data import CentralizedTable, FederatedTable, Kind, Side, from_frames, load_files
from ecct_tf.data.profile import (
    ProfileShape,
    device_profile,
    device_profiles,
    private_sets,
    profile_shape,
)
from ecct_tf.data.views import DeviceView
from ecct_tf.errors import DataError, PrivacyError

CLICKS = {"user": ["ann", "bob", "cy"], "item": ["x", "y", "x"], "timestamp": [1, 2, 3]}
INTERESTS = [["tea", "jazz"], [], None]


@pytest.fixture(scope="module")
def data():
    people = {
        "user": ["ann", "bob", "cy"],
        "interests": INTERESTS,
        "town": ["v", "w", "v"],
        "pays": [["card"], ["cash", "card"], ["cash"]],
    }
    return from_frames(CLICKS, users=people)


def test_lists_of_users_are_private_columns_of_several_values(data):
    assert [(c.column.name, c.column.kind, c.column.side) for c in data.user_columns] == [
        ("interests", Kind.MULTI_CATEGORICAL, Side.FEDERATED),
        ("town", Kind.CATEGORICAL, Side.FEDERATED),
        ("pays", Kind.MULTI_CATEGORICAL, Side.FEDERATED),
    ]
    assert data.user_columns[0].missing == 2
    assert private_sets(data.user_columns) == {
        "interests": ("jazz", "tea"),
        "pays": ("card", "cash"),
    }
    assert profile_shape(data.user_columns) == ProfileShape((3,), 0, (2, 2))
    assert profile_shape(data.user_columns).rows == (3, 2, 2, 2, 2)


def test_a_profile_has_a_place_for_each_value_behind_all_else(data):
    users = np.arange(3)
    # The town, then jazz and tea, then card and cash.
    assert device_profiles(data.user_columns, users).tolist() == [
        [1, 1, 1, 1, 0],
        [2, 0, 0, 1, 1],
        [1, 0, 0, 0, 1],
    ]
    without = ProfileShape((3,))
    assert device_profiles(data.user_columns, users, shape=without).tolist() == [[1], [2], [1]]
    own = tuple(column.take(0, 1) for column in data.user_columns)
    none = np.zeros(0, np.int32)
    view = DeviceView(0, none, 0, FederatedTable(data.schema, own), none.astype(np.int64))
    assert device_profile(view).tolist() == [1, 1, 1, 1, 0]


def test_fractions_of_users_are_none(caplog):
    people = {"user": ["ann", "bob", "cy"], "taste": [[0.5, 0.1], [0.2, 0.3], [0.1, 0.9]]}
    assert from_frames(CLICKS, users=people).user_columns == ()
    assert "'taste' holds lists of fractions, which devices do not read" in caplog.text


def test_the_cloud_cannot_have_such_a_column(data):
    with pytest.raises(PrivacyError, match=r"expected centralized columns, received 'interests'"):
        CentralizedTable(data.schema, data.user_columns[:1])


def test_the_schema_of_the_page_reads_cells(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "own_data.md").read_text(encoding="utf-8")
    section = page.partition("### Private columns of several values\n")[2].partition("\n#")[0]
    (schema,) = re.findall(r"```yaml.*?\n(.*?)```", section, flags=re.DOTALL)
    (tmp_path / "schema.yaml").write_text(f"name: shop\ninteractions: {{path: c.csv}}\n{schema}")
    (tmp_path / "c.csv").write_text("user,item,timestamp\na,x,1\nb,y,2\nc,x,3\n")
    rows = ["customer,interests", "a,jazz|sci-fi", "b,", "c,tea | jazz"]
    (tmp_path / "customers.csv").write_text("\n".join(rows))
    column = load_files(tmp_path / "schema.yaml")[0].user_columns[0]
    assert column.vocabulary == ("jazz", "sci-fi", "tea")
    assert column.values.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 1]]
    (tmp_path / "customers.csv").write_text("\n".join([*rows, "d,golf"]))
    with pytest.raises(DataError, match=r"line 5.*expected one of jazz, sci-fi, tea"):
        load_files(tmp_path / "schema.yaml")
