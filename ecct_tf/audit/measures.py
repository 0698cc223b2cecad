"""How well an attacker does, with intervals over users: AUC, hits among few false alarms, recall.

All figures of one audit are resampled with the same draws of users, so that a difference between
two attackers is paired: what makes a user easy for both cancels out.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = [
    "Curve",
    "Draws",
    "Estimate",
    "Measured",
    "balanced_accuracy",
    "class_auc",
    "difference",
    "mean",
]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_RESAMPLES = 1000
_STREAM = 0xA0D1
# Steps of a resampled curve; the figure itself is exact.
_STEPS = 500


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over users.

    Attributes:
      value: on all users.
      low: lower end.
      high: upper end.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """A figure, and the same on resampled users.

    Attributes:
      value: on all users.
      drawn: `[resamples] float64`; NaN where a draw lacks a class.
    """

    value: float
    drawn: Array

    @property
    def estimate(self) -> Estimate:
        """The figure with the interval that 95 % of the draws lie in."""
        low, high = np.nanpercentile(self.drawn, [2.5, 97.5])
        return Estimate(self.value, float(low), float(high))


class Draws:
    """Users drawn with replacement, the same for whatever is measured with them.

    Args:
      owners: `[rows]`, whose row each is.
      seed: of the draws.
    """

    def __init__(self, owners: npt.NDArray[np.integer[Any]], *, seed: int = 0) -> None:
        found, self.rows = np.unique(owners, return_inverse=True)
        self.num_users = len(found)
        self._seed = seed

    @functools.cached_property
    def _counts(self) -> Array:
        """`[users, resamples]`: how often each user was drawn."""
        # Of a stream of its own: numbers of the same seed may be in what is measured.
        rng = np.random.default_rng([self._seed, _STREAM])
        width = self.num_users
        counts = np.empty((width, _RESAMPLES))
        for number in range(_RESAMPLES):
            counts[:, number] = np.bincount(rng.integers(0, width, width), minlength=width)
        return counts

    def sums(self, values: Any) -> Array:
        """`[resamples, k]`: sums of users' rows, each as often as its user was drawn.

        Args:
          values: `[users, k]`, an array or a sparse matrix.
        """
        transposed = values.T.tocsr() if sparse.issparse(values) else np.asarray(values).T
        return np.ascontiguousarray(np.asarray(transposed @ self._counts).T)

    def by_user(self, places: Ids, width: int) -> sparse.csr_matrix:
        """`[users, width]`: how many rows of a user are in each place; places below 0 are none."""
        real = places >= 0
        return sparse.csr_matrix(
            (np.ones(int(real.sum())), (self.rows[real], places[real])),
            shape=(self.num_users, width),
        )


class Curve:
    """Members and others by score: what an attacker reaches at each threshold.

    Args:
      scores: `[rows]`, higher for members.
      members: `[rows]`, whether it is one.
      draws: of the users of these rows.

    Example:
      >>> scores, members = np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False])
      >>> curve = Curve(scores, members, Draws(np.arange(4)))
      >>> curve.area.value, curve.rate(0.25).value
      (0.625, 0.5)
    """

    def __init__(self, scores: Array, members: Mask, draws: Draws) -> None:
        # Counts by score, ascending: of all users exactly, and of the draws in steps.
        values, places = np.unique(scores, return_inverse=True)
        width = len(values)
        masks = members, ~members
        self._exact = [
            np.bincount(places[each], minlength=width).astype(np.float64) for each in masks
        ]
        if width > _STEPS:
            # As many of the others in each step: few false alarms need fine ones.
            edges = np.unique(np.quantile(scores[~members], np.linspace(0.0, 1.0, _STEPS)))
            places, width = np.searchsorted(edges, scores, side="right"), len(edges) + 1
        self._drawn = [
            draws.sums(draws.by_user(np.where(each, places, -1), width)) for each in masks
        ]

    @functools.cached_property
    def area(self) -> Measured:
        """How often a member has a higher score than another; ties count half."""
        return Measured(float(_area(*self._exact)), _area(*self._drawn))

    def rate(self, false_rate: float) -> Measured:
        """Share of members that an attacker finds who accuses `false_rate` of the others."""
        drawn = [_hits(each, rest, false_rate) for each, rest in zip(*self._drawn, strict=True)]
        return Measured(_hits(self._exact[0], self._exact[1], false_rate), np.array(drawn))


def class_auc(scores: Array, labels: Ids, draws: Draws) -> Measured:
    """Mean over the classes of the AUC of each against the others; of two, the AUC.

    Args:
      scores: `[rows, classes]`, the logarithms of probabilities.
      labels: `[rows]`.
      draws: of the users of these rows.
    """
    classes = scores.shape[1]
    if classes == 2:
        return Curve(scores[:, 1] - scores[:, 0], labels == 1, draws).area
    found = [Curve(scores[:, each], labels == each, draws).area for each in range(classes)]
    drawn = np.stack([each.drawn for each in found])
    return Measured(
        float(np.mean([each.value for each in found])),
        np.where(np.isnan(drawn).all(axis=0), np.nan, np.nan_to_num(drawn).sum(axis=0))
        / np.maximum((~np.isnan(drawn)).sum(axis=0), 1),
    )


def balanced_accuracy(scores: Array, labels: Ids, draws: Draws) -> Measured:
    """Mean over the classes of the share that is recognised; arguments as for `class_auc`.

    Example:
      >>> scores = np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
      >>> balanced_accuracy(scores, np.array([0, 0, 1, 1]), Draws(np.arange(4))).value
      0.75
    """
    classes = scores.shape[1]
    right = scores.argmax(axis=1) == labels
    counts = draws.by_user(labels, classes)
    hits = draws.by_user(np.where(right, labels, -1), classes)
    value = np.asarray(hits.sum(axis=0)).ravel() / np.asarray(counts.sum(axis=0)).ravel()
    drawn_counts = draws.sums(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        recalls = np.where(drawn_counts > 0, draws.sums(hits) / drawn_counts, np.nan)
    return Measured(float(value.mean()), np.nanmean(recalls, axis=1))


def mean(values: Array, draws: Draws) -> Measured:
    """The mean over rows, of which a drawn user brings all of theirs.

    Example:
      >>> mean(np.array([1.0, 0.0, 0.0, 1.0]), Draws(np.array([7, 7, 7, 8]))).value
      0.5
    """
    sums = np.bincount(draws.rows, weights=values, minlength=draws.num_users)
    drawn = draws.sums(np.stack([sums, np.bincount(draws.rows)], axis=1))
    return Measured(float(values.mean()), drawn[:, 0] / drawn[:, 1])


def difference(ours: Measured, theirs: Measured) -> Measured:
    """Ours less theirs, draw by draw; both must have been measured with the same draws."""
    return Measured(ours.value - theirs.value, ours.drawn - theirs.drawn)


def _area(inside: Array, outside: Array) -> Array:
    below = np.cumsum(outside, axis=-1) - outside / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        area: Array = (inside * below).sum(axis=-1) / (inside.sum(axis=-1) * outside.sum(axis=-1))
    return area


def _hits(inside: Array, outside: Array, false_rate: float) -> float:
    found = np.concatenate([[0.0], np.cumsum(inside[::-1])])
    alarms = np.concatenate([[0.0], np.cumsum(outside[::-1])])
    if not found[-1] or not alarms[-1]:
        return float("nan")
    return float(np.interp(false_rate, alarms / alarms[-1], found / found[-1]))
