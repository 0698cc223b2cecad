"""How much one device, and one item, may teach the cloud in a job."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.knowledge import KnowledgeStore

__all__ = ["answer_weights"]

Array = npt.NDArray[np.float32]


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


def _times(items: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """`[n, Q]`: how often the item of each place stands in its row."""
    times = np.zeros(items.shape, np.int64)
    for column in range(items.shape[1]):
        times += items == items[:, column : column + 1]
    return times
