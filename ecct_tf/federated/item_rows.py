"""From sums over devices to the rows that a cloud learns from: none holds what one device said.

The cloud knows whom it asked about what. Of a user and an item that it asked about it takes what
it would say itself and adds what devices, on the mean, say above what it had told them; `h_e` is
the mean of the item. So fusion and distillation are those of an exchange of rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import ConfigError
from ecct_tf.federated.cloud_protocol import Cloud
from ecct_tf.knowledge.item_means import AskedSums, ItemMeans
from ecct_tf.knowledge.store import UplinkRows

__all__ = ["Asked", "rows_of_sums"]

Array = npt.NDArray[np.float32]


class Asked(NamedTuple):
    """The sum of a cohort's devices in a round, and what they had been told.

    Attributes:
      sums: what reached the cloud, and whom it asked about what.
      expected: `[n, Q] float32`, `z_c` of each question as the device received it.
    """

    sums: AskedSums
    expected: Array


def rows_of_sums(
    items: ItemMeans, asked: Sequence[Asked], cloud: Cloud, *, round_number: int, half_life: float
) -> tuple[ItemMeans, list[UplinkRows]]:
    """What the cloud knows of items after a round, and the rows that it makes of it.

    Args:
      items: what it knew before.
      asked: the sums of the round, one of each cohort.
      cloud: says `z_c`.
      round_number: rounds done before this one.
      half_life: rounds after which a sum counts half.

    Raises:
      ConfigError: the cloud cannot be asked for its scores.
    """
    items = items.faded(half_life)
    for each in asked:
        items = items.observed(each.sums)
    return items, [_rows(items, each, cloud, round_number=round_number) for each in asked]


def _rows(items: ItemMeans, asked: Asked, cloud: Cloud, *, round_number: int) -> UplinkRows:
    sums = asked.sums
    embeddings, _ = items.told("embeddings")
    logits = None
    if sums.spec.with_logits:
        logits = _logits(items, asked, cloud, round_number=round_number)
    return UplinkRows(sums.users, sums.items, embeddings[sums.items], logits)


def _logits(items: ItemMeans, asked: Asked, cloud: Cloud, *, round_number: int) -> Array:
    scores = getattr(cloud, "scores", None)
    if scores is None:
        raise ConfigError(
            "exchange.rows=item: expected a cloud with `scores`, from which rows are made of sums, "
            f"got {type(cloud).__name__}; see ecct_tf.federated.TrainableCloud"
        )
    sums = asked.sums
    present = scores(sums.users, sums.items, knowledge=None, round_number=round_number)
    above, share = items.told("logits")
    # What the cloud has learned since it told devices is no longer above what it says.
    learned = _means(_centred(present - asked.expected, sums.items > 0), sums.items, len(share))
    own = above[:, 0] - share * learned
    found: Array = (present + own[sums.items]).astype(np.float32)
    return found


def _centred(values: Array, real: npt.NDArray[np.bool_]) -> Array:
    """`[n, Q]` less each row's mean over what is real; 0 elsewhere. As devices do it."""
    count = np.maximum(real.sum(axis=1, keepdims=True), 1)
    found: Array = (values - (values * real).sum(axis=1, keepdims=True) / count) * real
    return found


def _means(values: Array, items: npt.NDArray[np.int32], count: int) -> Array:
    """`[count]`, the mean of the values of each item; 0 where there is none."""
    times = np.bincount(items.ravel(), minlength=count)
    total = np.bincount(items.ravel(), weights=values.ravel(), minlength=count)
    return (total / np.maximum(times, 1)).astype(np.float32)
