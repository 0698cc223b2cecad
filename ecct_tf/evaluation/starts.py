"""What training gave single devices: better, equal or worse than what they began with."""

import dataclasses

import numpy as np
import numpy.typing as npt

from ecct_tf.evaluation.intervals import Interval, paired_interval
from ecct_tf.evaluation.ranking import discounted_gains

__all__ = ["StartComparison", "against_start"]


@dataclasses.dataclass(frozen=True)
class StartComparison:
    """NDCG@k of each user's model beside that of the same model before it trained.

    Attributes:
      ndcg: mean NDCG@k at the start.
      gain: mean of the differences since, with its interval over users.
      better: share of users whose NDCG@k is higher than at the start.
      equal: share of users for whom it is the same.
      worse: share of users for whom it is lower.
      num_users: how many users that is.
    """

    ndcg: float
    gain: Interval
    better: float
    equal: float
    worse: float
    num_users: int


def against_start(
    places: npt.ArrayLike, start: npt.ArrayLike, *, k: int, users: npt.ArrayLike
) -> StartComparison:
    """Compares two rankings of the same candidates, user by user.

    Args:
      places: `[rows] int`, 0-based ranks of the held-out items after training.
      start: `[rows] int`, before it, on the same candidates.
      k: list length of NDCG.
      users: `[rows]`, whose row it is; a user's rows count as their mean.

    Raises:
      DataError: the rows do not fit each other.

    >>> found = against_start([0, 5, 12, 3], [0, 9, 11, 1], k=10, users=[1, 2, 3, 4])
    >>> found.better, found.equal, found.worse
    (0.25, 0.5, 0.25)
    """
    now, before = discounted_gains(places, k), discounted_gains(start, k)
    gain = paired_interval(now, before, users=users)
    _, owner = np.unique(np.asarray(users), return_inverse=True)
    mean = np.bincount(owner, weights=now - before) / np.bincount(owner)
    # What float sums leave of equal ranks is no difference.
    mean[np.abs(mean) < 1e-12] = 0.0
    return StartComparison(
        ndcg=float(before.mean()),
        gain=gain,
        better=float((mean > 0).mean()),
        equal=float((mean == 0).mean()),
        worse=float((mean < 0).mean()),
        num_users=len(mean),
    )
