"""Whether a run can use its data: everything that is known before anything is computed.

A run and `ecct data check` ask the same question here.
"""

import numpy as np

from ecct_tf.config import RunConfig
from ecct_tf.data import Dataset, Kind, Side, Split, refuse_heavy_users
from ecct_tf.errors import ConfigError, DataError

__all__ = ["check_usable"]

# The methods that compute the cloud's item table; the quick baselines are among them.
_WITH_CLOUD = ("ecct", "edge-only", "cloud-only", "centralized")


def check_usable(config: RunConfig, dataset: Dataset, split: Split) -> None:
    """Refuses data that the run of `config` could not use.

    Raises:
      DataError: a column would be dropped, there is no order in time, a user has no negative to
        train with, or the cloud has nothing to learn from.
      ConfigError: the cloud's embeddings are wider than the catalogue.
    """
    _refuse_unread_columns(dataset)
    _refuse_one_time(dataset)
    refuse_heavy_users(
        {user: len(np.unique(split.train(user))) for user in split.users.tolist()},
        num_items=split.num_items,
        needed=1,
        what="training",
        user_tokens=dataset.user_tokens,
    )
    if len(split.users) and (config.baselines or config.method in _WITH_CLOUD):
        _check_cloud(config, split)


def _refuse_unread_columns(dataset: Dataset) -> None:
    """A device reads categories; a column that nobody reads must not vanish without a word."""
    for encoded in dataset.user_columns:
        column = encoded.column
        if column.kind is Kind.NUMERIC:
            raise DataError(
                f"data set {dataset.name!r}: user column {column.name!r} is numeric, and the "
                "models read a user's columns as categories. Group the numbers and declare the "
                "column categorical (in a schema file: borders), or take it out of the schema."
            )
        if column.side is Side.FEDERATED and column.kind is Kind.MULTI_CATEGORICAL:
            raise DataError(
                f"data set {dataset.name!r}: user column {column.name!r} holds several values, "
                "and a device reads one category from a federated column. Make a categorical "
                "column of it, or take it out of the schema."
            )


def _refuse_one_time(dataset: Dataset) -> None:
    """Without an order in time nothing is newest, and the split would hold out anything."""
    first = int(dataset.timestamps.min())
    if dataset.num_interactions > 1 and first == int(dataset.timestamps.max()):
        raise DataError(
            f"data set {dataset.name!r}: all {dataset.num_interactions:,} interactions have the "
            f"time {first}, expected times that put each user's interactions in order, since the "
            "newest are held out. Give the column with the times, or, if the rows are in order of "
            "time already, number them 0, 1, 2, … in a column of their own."
        )


def _check_cloud(config: RunConfig, split: Split) -> None:
    longest = int(split.older_counts.max())
    if longest < 2:
        train = int(split.train_counts.max())
        held_out = " before the first cut" if split.cuts else ", and 2 more that are held out"
        way_out = (
            f"Lower data.recent_fraction to {max(train - 2, 1) / train:.2f} or less"
            if train > 2
            else f"Bring users with 3 interactions{held_out}"
        )
        raise DataError(
            f"the cloud would know at most {longest} older interaction of each user, expected 2 or "
            f"more of somebody, since it learns which items follow each other. The longest history "
            f"has {train} interactions for training, of which data.recent_fraction="
            f"{config.data.recent_fraction:g} stay on the device. {way_out}."
        )
    if config.cloud.rank > split.num_items:
        raise ConfigError(
            f"cloud.rank: expected at most the number of items, {split.num_items}, got "
            f"{config.cloud.rank}. Lower it, or bring a larger catalogue."
        )
