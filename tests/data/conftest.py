"""Fixtures of the data tests: a hand-made data set, and the real one if it is there."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecct_tf.data import Column, Dataset, FeatureSchema, Kind, Side, build_dataset
from ecct_tf.data import load_movielens_100k as load

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def real_folder():
    folder = Path(os.environ.get("ECCT_DATA") or _SHARED)
    if not folder.is_dir():
        pytest.skip("MovieLens-100K is not at hand: set ECCT_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def real_dataset(real_folder):
    return load(folder=real_folder, progress=False)


@pytest.fixture(scope="session")
def make_plain():
    """Builds a data set without columns from (user, item, timestamp) rows of numbers."""

    def make(rows, *, num_users, num_items):
        table = np.array(rows, np.int64).reshape(-1, 3)
        return Dataset(
            name="plain",
            schema=FeatureSchema("plain", ()),
            user_tokens=tuple(map(str, range(num_users))),
            item_tokens=tuple(map(str, range(1, num_items + 1))),
            users=table[:, 0].astype(np.int32),
            items=table[:, 1].astype(np.int32),
            timestamps=table[:, 2],
        )

    return make


@pytest.fixture(scope="session")
def toy_schema():
    return FeatureSchema(
        "toy",
        (
            Column("gender", "user", Side.FEDERATED, Kind.CATEGORICAL),
            Column("income", "user", Side.FEDERATED, Kind.NUMERIC),
            Column("region", "user", Side.CENTRALIZED, Kind.CATEGORICAL),
            Column("year", "item", Side.CENTRALIZED, Kind.NUMERIC),
            Column("genres", "item", Side.CENTRALIZED, Kind.MULTI_CATEGORICAL),
        ),
    )


@pytest.fixture
def toy_frames():
    """Two users: 2 has a tie at time 30, 10 has only three interactions."""
    interactions = pd.DataFrame(
        {
            "user": ["2", "2", "2", "10", "2", "2", "2", "10", "10", "2"],
            "item": ["a", "b", "c", "a", "d", "e", "f", "b", "c", "g"],
            "timestamp": [50, 10, 30, 5, 30, 20, 60, 6, 7, 40],
        }
    )
    users = pd.DataFrame(
        {
            "user": ["10", "2"],
            "gender": ["F", None],
            "income": [1.0, 3.0],
            "region": ["north", "south"],
        }
    )
    items = pd.DataFrame(
        {
            "item": list("hgfedcba"),
            "year": ["", "1990", "1992", "1994", "1996", "1998", "2000", "2002"],
            "genres": ["", "war", "war drama", "drama", "war", "war", "war", "comedy"],
        }
    )
    return interactions, users, items


@pytest.fixture
def toy(toy_schema, toy_frames):
    interactions, users, items = toy_frames
    return build_dataset(
        name="toy", schema=toy_schema, interactions=interactions, users=users, items=items
    )
