"""The checks of rows find planted faults, in a cloud of NumPy."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.knowledge import Block, CloudRows, ItemTable
from ecct_tf.testing.cloud_data import SMALL_SHOP, view_of
from ecct_tf.testing.cloud_rows import check_rows, drift_of
from ecct_tf.testing.findings import CheckFailedError

VIEW = view_of(SMALL_SHOP)
USERS = np.arange(VIEW.num_users, dtype=np.int32)
TABLE = ItemTable(
    blocks=(Block("hand", np.eye(VIEW.num_items + 1, 2), np.eye(VIEW.num_items + 1, 2)),),
    attributes=np.zeros((VIEW.num_items + 1, 1), np.float32),
    cloud=np.zeros((VIEW.num_items + 1, 0), np.float32),
    bias=np.zeros(VIEW.num_items + 1, np.float32),
    feature_mean=np.zeros(5, np.float32),
    feature_scale=np.ones(5, np.float32),
    row_dim=2,
)


@dataclasses.dataclass
class RowCloud:
    """Rows for six items of each user, two of them asked about."""

    shift: float = 0.0

    def queries(self, users, *, round_number):
        return (1 + (users[:, None] + round_number + np.arange(2)) % VIEW.num_items).astype("i4")

    def downlinks(self, users, *, round_number):
        items = (1 + (users[:, None] + round_number + np.arange(6)) % VIEW.num_items).astype("i4")
        logits = self.scores(users, items, knowledge=None, round_number=round_number)
        embeddings = np.stack([logits, -logits], axis=-1)
        return CloudRows(items, embeddings, (logits + self.shift).astype(np.float32))

    def scores(self, users, candidates, **_when):
        return (0.1 * candidates + users[:, None]).astype(np.float32)


def _but(change):
    class Changed(RowCloud):
        def downlinks(self, users, *, round_number):
            return change(super().downlinks(users, round_number=round_number))

    return Changed()


def _twice(rows):
    rows.items[:, 3] = rows.items[:, 2]
    return rows


def _mixed(rows):
    return rows._replace(embeddings=rows.embeddings - rows.embeddings.mean(axis=0))


def _not_finite(rows):
    rows.embeddings[2, 0] = np.nan
    return rows


def test_rows_as_they_should_be_pass():
    said = check_rows(RowCloud(), users=USERS, table=TABLE, view=VIEW)
    assert said.startswith("6 rows a user")


@pytest.mark.parametrize(
    ("cloud", "told"),
    [
        (RowCloud(shift=0.5), "rows' logits against scores"),
        (_but(_twice), "two rows of user 0 are of one item"),
        (_but(_mixed), "rows' embeddings of two users alone"),
        (_but(_not_finite), "rows' embeddings: expected finite"),
        (_but(lambda rows: rows.logits), "expected CloudRows, got ndarray"),
        (_but(lambda rows: rows._replace(items=rows.items + 20)), "rows name items"),
        (_but(lambda rows: CloudRows(*(part[:, 2:] for part in rows))), "have no rows for"),
        (_but(lambda rows: rows._replace(embeddings=rows.embeddings[..., :1])), "rows' embeddings"),
    ],
)
def test_planted_faults_are_found(cloud, told):
    with pytest.raises(CheckFailedError, match=told):
        check_rows(cloud, users=USERS, table=TABLE, view=VIEW)


def test_drift_is_of_the_rows_that_stayed():
    items = np.array([[1, 2]]), np.array([[1, 3]])
    before = items[0], np.array([[[0.0], [2.0]]]), np.zeros((1, 2))
    after = items[1], np.array([[[0.5], [9.0]]]), np.zeros((1, 2))
    assert drift_of(before, after) == 0.5
    assert drift_of((np.array([0.0, 2.0]),), (np.array([0.5, 2.5]),)) == 0.5
