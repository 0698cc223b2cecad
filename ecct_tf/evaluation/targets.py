"""How well further targets, such as likes, are told apart at tested interactions."""

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ecct_tf.evaluation.classification import auc

__all__ = ["TargetQuality", "target_quality"]


@dataclasses.dataclass(frozen=True)
class TargetQuality:
    """AUC of a target over the tested interactions that have a label of it.

    Attributes:
      name: of the target.
      auc: by the logit of its own head; NaN where the labels are of one class.
      ranking_auc: by the logit that ranks, on the same interactions: what there was without a head.
      rows: interactions with a label.
      positives: of them, those with a label of at least one half.
    """

    name: str
    auc: float
    ranking_auc: float
    rows: int
    positives: int

    def told(self) -> str:
        """One sentence."""
        counted = f"{self.positives} of {self.rows} tested interactions with a label"
        if math.isnan(self.auc):
            return f"Target {self.name}: no AUC, {counted} are positive."
        return (
            f"Target {self.name}: AUC {self.auc:.4f} by its own head, {self.ranking_auc:.4f} by "
            f"the ranking logit; {counted} are positive."
        )


def target_quality(
    name: str,
    labels: npt.NDArray[np.float32],
    *,
    logits: npt.NDArray[np.float32],
    ranking: npt.NDArray[np.float32],
) -> TargetQuality:
    """The quality of one target.

    Args:
      name: of it.
      labels: `[n]` in 0..1, below 0 where there is none.
      logits: `[n]`, by its own head.
      ranking: `[n]`, by the logit that ranks.

    >>> labels = np.array([1, 0, -1], np.float32)
    >>> logits = np.array([2, 1, 5], np.float32)
    >>> target_quality("like", labels, logits=logits, ranking=-logits).auc
    1.0
    """
    known = labels >= 0.0
    positive = (labels[known] >= 0.5).astype(np.int64)
    rows, positives = len(positive), int(positive.sum())
    if positives in (0, rows):
        return TargetQuality(name, math.nan, math.nan, rows, positives)
    return TargetQuality(
        name,
        auc(positive, logits[known]),
        auc(positive, ranking[known]),
        rows,
        positives,
    )
