"""A small data set with a column of each kind, and the views that the cloud kit makes of it."""

import dataclasses

import numpy as np

from ecct_tf.data import (
    CentralizedTable,
    CloudView,
    Column,
    Dataset,
    EncodedColumn,
    FeatureSchema,
    Kind,
    OlderInteractions,
    Side,
    cloud_view,
    leave_one_out,
)

__all__ = ["SMALL_SHOP", "smaller_view", "view_of"]

_USERS, _ITEMS, _MET = 16, 24, 7


def _shop() -> Dataset:
    columns = {
        "town": Column("town", "user", Side.FEDERATED, Kind.CATEGORICAL),
        "plan": Column("plan", "user", Side.CENTRALIZED, Kind.CATEGORICAL),
        "price": Column("price", "item", Side.CENTRALIZED, Kind.NUMERIC),
        "brand": Column("brand", "item", Side.CENTRALIZED, Kind.CATEGORICAL),
        "tags": Column("tags", "item", Side.CENTRALIZED, Kind.MULTI_CATEGORICAL),
        "text": Column("text", "item", Side.CENTRALIZED, Kind.VECTOR),
    }
    draw = np.random.default_rng(0)
    items, users = np.arange(_ITEMS + 1), np.arange(_USERS)
    text = draw.standard_normal((_ITEMS + 1, 64)).astype(np.float32)
    tags = np.eye(3, dtype=np.float32)[items % 3]
    price = (items % 7).astype(np.float32)
    for values in (text, tags, price):
        values[0] = 0.0
    met = [1 + draw.choice(_ITEMS, _MET, replace=False) for _ in users]
    return Dataset(
        name="small shop",
        schema=FeatureSchema("small shop", tuple(columns.values())),
        user_tokens=tuple(f"u{user:02d}" for user in users),
        item_tokens=tuple(f"i{item:02d}" for item in items[1:]),
        users=np.repeat(users, _MET).astype(np.int32),
        items=np.concatenate(met).astype(np.int32),
        timestamps=1_600_000_000 + 60 * np.arange(_USERS * _MET, dtype=np.int64),
        user_columns=(
            EncodedColumn(columns["town"], (users % 3).astype(np.int32), ("Oslo", "Rome")),
            EncodedColumn(columns["plan"], (1 + users % 2).astype(np.int32), ("a", "b")),
        ),
        item_columns=(
            EncodedColumn(columns["price"], price),
            EncodedColumn(columns["brand"], (items % 4).astype(np.int32), ("k", "l", "m")),
            EncodedColumn(columns["tags"], tags, ("x", "y", "z")),
            EncodedColumn(columns["text"], text),
        ),
    )


SMALL_SHOP = _shop()
"""Users have `plan`, and `town` in private; items `price`, `brand`, `tags`, `text` (a vector)."""


def view_of(data: Dataset) -> CloudView:
    """The cloud's side of a data set."""
    return cloud_view(data, leave_one_out(data))


def smaller_view(view: CloudView) -> CloudView:
    """`view` as it was before its last fifth of users and items came."""
    users, items = view.num_users * 4 // 5, view.num_items * 4 // 5
    kept = [
        [
            place
            for place in range(*view.older.offsets[user : user + 2])
            if view.older.items[place] <= items
        ]
        for user in range(users)
    ]
    places = np.array([place for mine in kept for place in mine], np.int64)

    def cut(table: CentralizedTable, rows: int) -> CentralizedTable:
        return CentralizedTable(table.schema, tuple(c.take(0, rows) for c in table.columns))

    return dataclasses.replace(
        view,
        num_users=users,
        num_items=items,
        older=OlderInteractions(
            items=view.older.items[places],
            offsets=np.cumsum([0, *map(len, kept)]),
            timestamps=view.older.timestamps[places],
        ),
        items=cut(view.items, items + 1),
        users=cut(view.users, users),
    )
