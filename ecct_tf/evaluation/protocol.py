"""From a table of scores of held-out interactions to one set of metrics."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DataError
from ecct_tf.evaluation import classification, ranking

__all__ = ["Metrics", "evaluate_scores"]


@dataclass(frozen=True)
class Metrics:
    """What a model reached on one set of held-out interactions.

    Attributes:
      hr: HR@k, the share of rows whose held-out item is among the first `k`.
      ndcg: NDCG@k.
      mrr: mean reciprocal rank over all candidates.
      auc: AUC over the rows of all users together.
      gauc: AUC within each user, averaged.
      log_loss: mean binary cross-entropy of the logits, in nats. It has a meaning
        only for scores that are logits; a baseline's counts are not.
      k: the list length of `hr` and `ndcg`.
      num_users: how many distinct users were evaluated.

    Example:
      >>> found = evaluate_scores([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], k=1)
      >>> isinstance(found, Metrics), found.hr, found.num_users
      (True, 0.5, 2)
    """

    hr: float
    ndcg: float
    mrr: float
    auc: float
    gauc: float
    log_loss: float
    k: int
    num_users: int

    def as_dict(self, prefix: str = "") -> dict[str, float | int]:
        """The fields by name, in their order, each name with `prefix` before it.

        >>> metrics = evaluate_scores([[2.0, 1.0], [0.0, 1.0]], k=1)
        >>> metrics.as_dict(prefix="edge/")["edge/hr"]
        0.5
        """
        return {f"{prefix}{name}": value for name, value in asdict(self).items()}


def evaluate_scores(
    scores: npt.ArrayLike, *, k: int = 10, users: npt.ArrayLike | None = None
) -> Metrics:
    """All metrics of an evaluation by ranking.

    Args:
      scores: `[rows, 1 + negatives] float`, logits; column 0 is the held-out
        item, the others are items that the user never touched. Finite.
      k: list length of HR and NDCG.
      users: `[rows] int`, whose interaction a row is, when users have several
        (temporal split): GAUC then joins a user's rows and weighs a user by
        them. By default each row is a user of its own (leave-one-out).

    Raises:
      DataError: the scores are not a finite matrix with at least one negative,
        or `users` has not one entry a row.
      ConfigError: `k` is below 1.

    >>> metrics = evaluate_scores([[2.0, 1.0, 0.0], [0.0, 1.0, -1.0]], k=1)
    >>> metrics.hr, metrics.mrr, metrics.gauc
    (0.5, 0.75, 0.75)
    """
    matrix = np.asarray(scores)
    places = ranking.ranks(matrix)
    num_rows, num_candidates = matrix.shape
    if num_candidates < 2:
        raise DataError(
            "scores: expected column 0 for the held-out item and at least one negative, received "
            f"shape {matrix.shape}. Score each user's negatives too."
        )
    not_finite = np.isinf(matrix)
    if not_finite.any():
        row, column = (int(index) for index in np.argwhere(not_finite)[0])
        raise DataError(
            f"scores: expected finite logits, received {matrix[row, column]} in row {row}, "
            f"column {column}. Look for a diverged model; do not mask candidates with infinity."
        )
    labels = np.zeros(matrix.shape, dtype=np.bool_)
    labels[:, 0] = True
    flat_labels, flat_scores = labels.ravel(), matrix.ravel()
    owners = np.arange(num_rows) if users is None else np.asarray(users)
    if owners.shape != (num_rows,):
        raise DataError(
            f"users: expected one user per row of scores, shape ({num_rows},), received shape "
            f"{owners.shape}. Pass `candidates.users`."
        )
    groups = np.repeat(owners, num_candidates)
    return Metrics(
        hr=ranking.hit_rate(places, k),
        ndcg=ranking.ndcg(places, k),
        mrr=ranking.mrr(places),
        auc=classification.auc(flat_labels, flat_scores),
        gauc=classification.grouped_auc(flat_labels, flat_scores, groups=groups).gauc,
        log_loss=classification.log_loss(flat_labels, flat_scores),
        k=k,
        num_users=len(np.unique(owners)),
    )
