"""How much one device, one item and one answer may teach the cloud."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CloudConfig
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.touched_rows import with_rows

__all__ = ["answer_weights", "bounded_answers", "trimmed_answers"]

Array = npt.NDArray[np.float32]


def bounded_answers(
    knowledge: KnowledgeStore, config: CloudConfig, *, round_number: int
) -> tuple[KnowledgeStore, Array | None]:
    """What teaches the cloud in a round, and how much each answer may, by its configured bounds.

    Args:
      knowledge: the store after the round.
      config: `answer_trim` and `max_item_share`.
      round_number: the present round, from which staleness counts.

    Returns:
      The store, and `[users, Q] float32`; None where all answers weigh alike.
    """
    trimmed = trimmed_answers(knowledge, share=config.answer_trim)
    if config.max_item_share == 1.0:
        return trimmed, None
    trust = knowledge.trust(round_number=round_number, half_life=config.staleness_half_life)
    return trimmed, answer_weights(
        knowledge, trust=trust, max_device_share=1.0, max_item_share=config.max_item_share
    )


def answer_weights(
    knowledge: KnowledgeStore, *, trust: Array, max_device_share: float, max_item_share: float
) -> Array:
    """Weights of the answers that teach, `[users, Q] float32` in [0, 1].

    The distillation loss is a mean over the answers of the n users that sent logits. With
    these weights

    - an item that stands several times in one uplink counts once there;
    - no item has more than `max_item_share` of the weight of all answers, each weighed by the
      trust in its user;
    - no device has more than `max_device_share` of the mean: where fewer than
      `1 / max_device_share` devices teach, all of them teach that much less.

    Args:
      knowledge: the newest uplink of each user.
      trust: `[users] float32`, less than 1 for stale knowledge.
      max_device_share: in (0, 1].
      max_item_share: in (0, 1].

    Returns:
      The weights; 0 for users without logits.
    """
    taught = knowledge.logit_rounds >= 0
    items = knowledge.items[taught]
    weights: npt.NDArray[np.float64] = 1.0 / _times(items)
    trusted = weights * trust[taught, None]
    per_item = np.bincount(items.ravel(), weights=trusted.ravel())
    most = max_item_share * trusted.sum()
    scales = np.divide(most, per_item, out=np.ones(len(per_item)), where=per_item > most)
    weights = weights * scales[items] * min(1.0, max_device_share * len(items))
    found: Array = np.zeros(knowledge.items.shape, np.float32)
    found[taught] = weights
    return found


def trimmed_answers(knowledge: KnowledgeStore, *, share: float) -> KnowledgeStore:
    """The store with each item's outlying answers pulled in (winsorised) before they teach.

    Of the answers about an item, the newest of each user, the `share` at either end is set to the
    nearest of the others; with 0.5 all are their median. An item with fewer than 3 answers, of
    which none can outvote another, is bounded by the same quantiles of all answers.

    Args:
      knowledge: the newest uplink of each user.
      share: in [0, 0.5].
    """
    taught = np.flatnonzero(knowledge.logit_rounds >= 0)
    if not share or not len(taught):
        return knowledge
    items, logits = knowledge.items[taught].ravel(), knowledge.logits[taught].ravel()
    ends = share, 1.0 - share
    bounds = np.quantile(logits, ends)
    found = np.clip(logits, *bounds)
    order = np.argsort(items, kind="stable")
    starts = np.flatnonzero(np.diff(items[order], prepend=-1))
    for own in np.split(order, starts[1:]):
        if len(own) > 2:
            found[own] = np.clip(logits[own], *np.quantile(logits[own], ends))
    trimmed = with_rows(knowledge.logits, taught, found.reshape(len(taught), -1))
    return dataclasses.replace(knowledge, logits=trimmed)


def _times(items: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """`[n, Q]`: how often the item of each place stands in its row."""
    times = np.zeros(items.shape, np.int64)
    for column in range(items.shape[1]):
        times += items == items[:, column : column + 1]
    return times
