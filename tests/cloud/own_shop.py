"""A small shop with prices and text vectors, for clouds of one's own."""

import numpy as np
import tensorflow as tf

from ecct_tf import TwoTowerCloud
from ecct_tf.data import (
    Column,
    Dataset,
    FeatureSchema,
    Kind,
    Side,
    cloud_view,
    leave_one_out,
)
from ecct_tf.data.tables import EncodedColumn

SCHEMA = FeatureSchema(
    "shop",
    (
        Column("town", "user", Side.FEDERATED, Kind.CATEGORICAL),
        Column("plan", "user", Side.CENTRALIZED, Kind.CATEGORICAL),
        Column("price", "item", Side.CENTRALIZED, Kind.NUMERIC),
        Column("text", "item", Side.CENTRALIZED, Kind.VECTOR),
        Column("tags", "item", Side.CENTRALIZED, Kind.MULTI_CATEGORICAL),
    ),
)


def shop(*, users=16, items=24, met=7, width=64, seed=0):
    """Users meet items whose text is near to their taste; numbers stay as a shop grows."""
    draw = np.random.default_rng(seed)
    text = draw.standard_normal((200, width)).astype(np.float32)[:items]
    tastes = draw.standard_normal((200, width))[:users]
    # Each user has a generator of its own, so that a larger shop begins with the smaller one's.
    rows = [
        np.argsort(-(text @ taste) - np.random.default_rng([seed, user]).gumbel(size=items))[:met]
        for user, taste in enumerate(tastes)
    ]
    numbers = [f"{number:03d}" for number in range(200)]
    tags = np.zeros((items + 1, 3), np.float32)
    tags[np.arange(1, items + 1), np.arange(items) % 3] = 1.0
    columns = dict(zip(("town", "plan", "price", "text", "tags"), SCHEMA.columns, strict=True))
    return Dataset(
        name="shop",
        schema=SCHEMA,
        user_tokens=tuple(f"u{number}" for number in numbers[:users]),
        item_tokens=tuple(f"i{number}" for number in numbers[:items]),
        users=np.repeat(np.arange(users, dtype=np.int32), met),
        items=(1 + np.concatenate(rows)).astype(np.int32),
        timestamps=np.arange(users * met, dtype=np.int64) * 60 + 1_600_000_000,
        user_columns=(
            EncodedColumn(columns["town"], np.arange(users, dtype=np.int32) % 3, ("Oslo", "Rome")),
            EncodedColumn(columns["plan"], 1 + np.arange(users, dtype=np.int32) % 2, ("a", "b")),
        ),
        item_columns=(
            EncodedColumn(
                columns["price"], np.arange(items + 1, dtype=np.float32) ** 2 / (items + 1)
            ),
            EncodedColumn(
                columns["text"], np.concatenate([np.zeros((1, width)), text]).astype("f")
            ),
            EncodedColumn(columns["tags"], tags, ("x", "y", "z")),
        ),
    )


def shop_view(**sizes):
    """The cloud's side of it."""
    dataset = shop(**sizes)
    return cloud_view(dataset, leave_one_out(dataset))


def write_shop(folder, dataset, *, tags=("x", "y", "z")):
    """The shop as files, with a schema; `tags` are what the columns of its tags are called."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{dataset.user_tokens[user]},{dataset.item_tokens[item - 1]},{time}"
        for user, item, time in zip(
            dataset.users, dataset.items, dataset.timestamps.tolist(), strict=True
        )
    ]
    (folder / "clicks.csv").write_text("\n".join(["user,item,timestamp", *lines]) + "\n")
    _, plan = dataset.user_columns
    lines = [
        f"{token},{plan.vocabulary[code - 1]}"
        for token, code in zip(dataset.user_tokens, plan.values.tolist(), strict=True)
    ]
    (folder / "users.csv").write_text("\n".join(["user,plan", *lines]) + "\n")
    price, text, hot = (column.values for column in dataset.item_columns)
    lines = [
        f"{token},{price[number]},{tags[int(hot[number].argmax())]}"
        for number, token in enumerate(dataset.item_tokens, start=1)
    ]
    (folder / "items.csv").write_text("\n".join(["item,price,tags", *lines]) + "\n")
    np.save(folder / "text.npy", text[1:])
    (folder / "schema.yaml").write_text(
        "name: shop\ninteractions: {path: clicks.csv}\n"
        "users: {path: users.csv, id: user, columns: "
        "{plan: {kind: categorical, side: centralized}}}\n"
        "items: {path: items.csv, id: item, columns: {price: {kind: numeric}, "
        "tags: {kind: multi_categorical}, text: {kind: vector, array: text.npy}}}\n"
    )
    return folder / "schema.yaml"


def towers(spec, *, width=3, **given):
    """Two towers of a cloud of one's own that are as small as can be."""
    user = tf.keras.layers.Embedding(spec.queries["user_id"].size, width)
    item = tf.keras.layers.Embedding(spec.candidates["item_id"].size, width)
    query, candidate = spec.query_inputs("user_id"), spec.candidate_inputs("item_id")
    return TwoTowerCloud(
        tf.keras.Model(query, user(query["user_id"])),
        tf.keras.Model(candidate, item(candidate["item_id"])),
        tables={"user": user, "item": item},
        **given,
    )
