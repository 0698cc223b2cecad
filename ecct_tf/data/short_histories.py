"""Short histories on purpose: the first or last interactions of each user, the rest left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecct_tf.data.dataset import Dataset
from ecct_tf.data.filters import FilterCount
from ecct_tf.data.split import time_order
from ecct_tf.errors import ConfigError

__all__ = ["shortened"]


def shortened(
    dataset: Dataset, *, keep_first: int | None = None, keep_last: int | None = None
) -> tuple[Dataset, FilterCount | None]:
    """The data set with at most n interactions of each user.

    Users, items and columns stay: an item without an interaction remains in the catalogue, as
    one of an item table does, so that candidates are drawn from the same items.

    Args:
      dataset: any.
      keep_first: n, to keep the earliest; ties in time keep their file order.
      keep_last: n, to keep the latest.

    Returns:
      The shortened data set, which is no longer what its source loads, and what was left out;
      `dataset` itself and None if nothing is.

    Raises:
      ConfigError: a number below 1, or both.

    Example:
      >>> from ecct_tf.data import SyntheticConfig, synthetic_dataset
      >>> short, count = shortened(synthetic_dataset(SyntheticConfig(users=8)), keep_first=5)
      >>> short.num_interactions, count.rule
      (40, 'all but the first 5 of each user (data.keep_first)')
    """
    if keep_first is not None and keep_last is not None:
        raise ConfigError(
            f"expected keep_first or keep_last, got both: {keep_first} and {keep_last}. Leave one "
            "out."
        )
    name, least = ("keep_last", keep_last) if keep_first is None else ("keep_first", keep_first)
    if least is None:
        return dataset, None
    if least < 1:
        raise ConfigError(f"{name}: expected at least 1, got {least}")
    order = time_order(dataset)
    sizes = np.bincount(dataset.users, minlength=dataset.num_users)
    ends = np.cumsum(sizes)
    users = dataset.users[order]
    places = np.arange(len(order))
    if name == "keep_first":
        chosen = places - (ends - sizes)[users] < least
    else:
        chosen = ends[users] - places <= least
    if chosen.all():
        return dataset, None
    rows = np.sort(order[chosen])
    short = replace(
        dataset,
        **dataset.interactions_at(rows),
        source=None,
    )
    return short, FilterCount(
        rule=f"all but the {name.removeprefix('keep_')} {least} of each user (data.{name})",
        rows=dataset.num_interactions - short.num_interactions,
        users=0,
        items=len(np.unique(dataset.items)) - len(np.unique(short.items)),
    )
