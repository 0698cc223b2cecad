"""Sample files of a small shop: what one's own data may look like."""

import io
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ecct_tf.data import Dataset, EncodedColumn, SyntheticConfig, synthetic_dataset

__all__ = ["sample_files"]

_GENERATED = SyntheticConfig(users=200, items=300, interactions=40, seed=7)


def sample_files() -> Iterator[tuple[str, str]]:
    """Names and contents of the sample's CSV files, always the same."""
    dataset = synthetic_dataset(_GENERATED)
    customers = [f"customer-{token}" for token in dataset.user_tokens]
    products = [f"product-{token}" for token in dataset.item_tokens]
    # Files of events are in the order of time, not of users.
    order = np.argsort(dataset.timestamps, kind="stable")
    yield (
        "interactions.csv",
        _csv(
            {
                "customer": [customers[user] for user in dataset.users[order]],
                "product": [products[item - 1] for item in dataset.items[order]],
                "time": dataset.timestamps[order],
            }
        ),
    )
    profile = {column.column.name: _words(column) for column in dataset.user_columns}
    yield "customers.csv", _csv({"customer": customers, **profile})
    yield "products.csv", _csv({"product": products, "categories": _categories(dataset)})


def _words(column: EncodedColumn) -> list[str]:
    words = ("", *column.vocabulary)
    return [words[value] for value in column.values]


def _categories(dataset: Dataset) -> list[str]:
    (column,) = dataset.item_columns
    words = np.array(column.vocabulary)
    return ["|".join(words[row > 0]) for row in column.values[1:]]


def _csv(columns: dict[str, object]) -> str:
    text = io.StringIO()
    pd.DataFrame(columns).to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()
