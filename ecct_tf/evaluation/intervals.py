"""How sure a mean over users is: bootstrap intervals, paired where two models meet the same users.

The users are a sample of those that a model will serve. An interval here says how far a figure
would move with other users; it does not cover the variation between training runs, which only
several seeds show.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DataError

__all__ = ["Interval", "interval_over_users", "paired_interval"]

Array = npt.NDArray[np.float64]

_RESAMPLES = 4000
_CONFIDENCE = 0.95
_BATCH = 200
# From here on the two agree to more digits than anybody prints, and resampling takes minutes.
_MANY_USERS = 20_000
# Of the normal distribution, for the confidence above.
_QUANTILE = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean with its 95 % confidence interval over users.

    Attributes:
      mean: over all rows.
      low: lower end; None with fewer than two users.
      high: upper end; None with fewer than two users.
      num_users: how many users it rests on.
    """

    mean: float
    low: float | None
    high: float | None
    num_users: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def interval_over_users(
    values: npt.ArrayLike, *, users: npt.ArrayLike | None = None, seed: int = 0
) -> Interval:
    """The mean of `values` with its percentile bootstrap interval over users.

    Users are drawn with replacement, each with all of its rows: rows of one user are not
    independent. From 20,000 users on the interval is that of the normal approximation.

    Args:
      values: `[rows] float`, finite, such as `hits(ranks, k)`.
      users: `[rows]`, whose row it is; by default each row is a user of its own.
      seed: of the resampling; the same values give the same interval.

    Raises:
      DataError: there is no row, a value is not finite, or `users` does not fit.

    >>> interval_over_users([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0, num_users=3)
    >>> interval_over_users([0.3])
    Interval(mean=0.3, low=None, high=None, num_users=1)
    """
    rows = np.asarray(values, np.float64)
    if rows.ndim != 1 or not rows.size or not np.isfinite(rows).all():
        raise DataError(
            "values: expected a non-empty vector of finite numbers [rows], received shape "
            f"{rows.shape}. Pass one figure per tested interaction."
        )
    sums, counts = _by_user(rows, users)
    mean = float(rows.mean())
    if len(sums) < 2:
        return Interval(mean, None, None, len(sums))
    if len(sums) >= _MANY_USERS:
        reach = _QUANTILE * _standard_error(sums, counts)
        return Interval(mean, mean - reach, mean + reach, len(sums))
    tail = (1.0 - _CONFIDENCE) / 2.0 * 100.0
    low, high = np.percentile(_resampled(sums, counts, seed), [tail, 100.0 - tail])
    return Interval(mean, float(low), float(high), len(sums))


def paired_interval(
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    *,
    users: npt.ArrayLike | None = None,
    seed: int = 0,
) -> Interval:
    """The mean of `ours - theirs`, row by row, with its interval over users.

    Both models were measured on the same rows: what makes a row hard for both cancels out, so
    that the interval is far narrower than those of the two means.

    Args:
      ours: `[rows] float`.
      theirs: `[rows] float`, of the same tested interactions in the same order.
      users: as in `interval_over_users`.
      seed: as in `interval_over_users`.

    Raises:
      DataError: the rows do not fit each other, see also `interval_over_users`.

    >>> paired_interval([1.0, 0.0, 1.0], [0.5, -0.5, 0.5])
    Interval(mean=0.5, low=0.5, high=0.5, num_users=3)
    """
    first, second = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if first.shape != second.shape:
        raise DataError(
            f"theirs: expected a figure for each of ours, shape {first.shape}, received shape "
            f"{second.shape}. Measure both models on the same candidates."
        )
    difference = first - second
    # What float sums leave of equal figures is no difference.
    difference[np.abs(difference) < 1e-12] = 0.0
    return interval_over_users(difference, users=users, seed=seed)


def _by_user(rows: Array, users: npt.ArrayLike | None) -> tuple[Array, Array]:
    """Sum and number of each user's rows, `[users]` each."""
    if users is None:
        return rows, np.ones_like(rows)
    owners = np.asarray(users)
    if owners.shape != rows.shape:
        raise DataError(
            f"users: expected one user per row, shape {rows.shape}, received shape {owners.shape}. "
            "Pass `candidates.users`."
        )
    _, owner = np.unique(owners, return_inverse=True)
    sums = np.bincount(owner, weights=rows).astype(np.float64)
    return sums, np.bincount(owner).astype(np.float64)


def _resampled(sums: Array, counts: Array, seed: int) -> Array:
    """`[resamples]`: the mean of each resample."""
    rng, means = np.random.default_rng(seed), []
    for _ in range(_RESAMPLES // _BATCH):
        drawn = rng.integers(0, len(sums), (_BATCH, len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)


def _standard_error(sums: Array, counts: Array) -> float:
    """Of the ratio of the two sums, linearised around its value."""
    mean = sums.sum() / counts.sum()
    residuals = sums - mean * counts
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (residuals**2).sum()) / counts.sum())
