"""The baseline that knows nothing about the person: how popular an item is."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.baselines._interactions import IntArray, checked_candidates, interaction_matrix

__all__ = ["popularity_scores"]


def popularity_scores(
    histories: Sequence[IntArray], candidates: IntArray, *, num_items: int
) -> npt.NDArray[np.float32]:
    """Scores candidates by the number of devices that touched them.

    Args:
      histories: per device `[length] int`, items 1..num_items (0 is padding), what
        the model may count. Need not be the devices that the candidates belong to.
      candidates: `[k, c] int32`, items 1..num_items.
      num_items: the largest item id.

    Returns:
      `[k, c] float32`, counts of devices. They are not logits: read the ranking
      metrics and the AUC, not the log loss.

    >>> histories = [np.array([1, 2]), np.array([2])]
    >>> popularity_scores(histories, np.array([[1, 2, 3]], np.int32), num_items=3).tolist()
    [[1.0, 2.0, 0.0]]
    """
    items = checked_candidates(candidates, num_items=num_items)
    matrix = interaction_matrix(histories, num_items=num_items)
    counts = np.bincount(matrix.indices, minlength=num_items + 1).astype(np.float32)
    return counts[items]
