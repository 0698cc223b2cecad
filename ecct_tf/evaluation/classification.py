"""Click-prediction metrics: AUC, grouped AUC and log loss.

All three are written here: scikit-learn's log loss takes probabilities, which lose
the tails that logits keep, it has no AUC over thousands of groups but a loop, and its
AUC takes fifteen times as long where few rows are positive, since it makes a whole
curve.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DataError

__all__ = ["GroupedAuc", "auc", "grouped_auc", "log_loss"]


@dataclass(frozen=True, eq=False)
class GroupedAuc:
    """AUC within groups (devices, users, sessions) and its mean.

    Attributes:
      gauc: mean of the groups' AUCs, each weighted by its impressions (rows).
      num_groups: groups that have both classes and so were counted.
      num_skipped: groups with a single class, for which AUC has no meaning.
      groups: `[g]`, the distinct group labels in ascending order.
      per_group: `[g] float64`, each group's AUC; NaN where it was skipped.
    """

    gauc: float
    num_groups: int
    num_skipped: int
    groups: npt.NDArray[np.generic] = field(repr=False)
    per_group: npt.NDArray[np.float64] = field(repr=False)


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """The chance that a positive scores above a negative; a tie is worth half.

    Args:
      labels: `[n]` of 0 and 1.
      scores: `[n] float`, finite, any scale.

    Raises:
      DataError: the inputs do not fit each other, or there is a single class.

    >>> auc([1, 0, 0], [0.4, 0.1, 0.4])
    0.75
    """
    is_positive, values = _checked(labels, scores)
    num_positive = int(is_positive.sum())
    if num_positive in (0, is_positive.size):
        raise DataError(
            f"labels: expected both classes, received {num_positive} positives among "
            f"{is_positive.size} rows. AUC has no meaning there: evaluate on rows of both classes."
        )
    # Mann-Whitney: of how many negatives each positive scores above, and below how many not.
    positives, negatives = values[is_positive], np.sort(values[~is_positive])
    above = np.searchsorted(negatives, positives, side="left")
    not_below = np.searchsorted(negatives, positives, side="right")
    pairs = num_positive * negatives.size
    return (int(above.sum()) + int(not_below.sum())) / (2 * pairs)


def grouped_auc(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, groups: npt.ArrayLike
) -> GroupedAuc:
    """AUC inside each group, averaged with the groups' numbers of rows as weights (GAUC).

    Unlike AUC it does not reward a model for knowing which devices click more.

    Args:
      labels: `[n]` of 0 and 1.
      scores: `[n] float`, finite; compared only within a group.
      groups: `[n]`, each row's group; rows of a group need not be neighbours.

    Raises:
      DataError: the inputs do not fit each other, or no group has both classes.

    >>> result = grouped_auc([1, 0, 1, 0, 1], [2.0, 1.0, 3.0, 4.0, 0.0], groups=[7, 7, 8, 8, 9])
    >>> result.gauc, result.num_groups, result.num_skipped
    (0.5, 2, 1)
    """
    is_positive, values = _checked(labels, scores)
    group_labels = np.asarray(groups)
    if group_labels.shape != values.shape:
        raise DataError(
            f"groups: expected one group per row, shape {values.shape}, received shape "
            f"{group_labels.shape}. Repeat each group's label for each of its rows."
        )
    names, group = np.unique(group_labels, return_inverse=True)
    sizes = np.bincount(group, minlength=names.size)
    positives = np.bincount(group, weights=is_positive, minlength=names.size)
    negatives = sizes - positives

    # Mann-Whitney: the sum of the positives' ranks within their group gives the number of
    # ordered pairs. One sort serves all groups; tied rows share the mean of their places.
    order = np.lexsort((values, group))
    sorted_group, sorted_values = group[order], values[order]
    starts_run = np.ones(order.size, dtype=np.bool_)
    starts_run[1:] = (np.diff(sorted_group) != 0) | (sorted_values[1:] != sorted_values[:-1])
    run_start = np.flatnonzero(starts_run)
    run_length = np.diff(np.append(run_start, order.size))
    place = np.repeat(run_start + (run_length - 1) / 2.0, run_length)
    rank = place - (np.cumsum(sizes) - sizes)[sorted_group]
    rank_sum = np.bincount(sorted_group, weights=rank * is_positive[order], minlength=names.size)

    counted = (positives > 0) & (negatives > 0)
    if not counted.any():
        raise DataError(
            f"labels: expected a group with both classes, received {names.size} groups of a "
            "single class each. Give each group at least one positive and one negative row."
        )
    per_group = np.full(names.size, np.nan)
    wins = rank_sum - positives * (positives - 1) / 2.0
    np.divide(wins, positives * negatives, out=per_group, where=counted)
    return GroupedAuc(
        gauc=float(np.average(per_group[counted], weights=sizes[counted])),
        num_groups=int(counted.sum()),
        num_skipped=int((~counted).sum()),
        groups=names,
        per_group=per_group,
    )


def log_loss(labels: npt.ArrayLike, logits: npt.ArrayLike) -> float:
    """Mean binary cross-entropy in nats, from logits, exact in the far tails.

    Args:
      labels: `[n]` of 0 and 1.
      logits: `[n] float`, finite; log-odds, not probabilities.

    >>> round(log_loss([1, 0], [0.0, 0.0]), 6)
    0.693147
    >>> log_loss([1, 0], [-1000.0, -1000.0])
    500.0
    """
    is_positive, values = _checked(labels, logits)
    return float(np.logaddexp(0.0, np.where(is_positive, -values, values)).mean())


def _checked(
    labels: npt.ArrayLike, scores: npt.ArrayLike
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Labels as `[n] bool` and scores as `[n] float64`, or a `DataError`."""
    truth, values = np.asarray(labels), np.asarray(scores)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "fiu":
        raise DataError(
            "scores: expected a non-empty numeric vector [rows], received shape "
            f"{values.shape} of {values.dtype}. Flatten a matrix of scores with `.ravel()`."
        )
    if truth.shape != values.shape:
        raise DataError(
            f"labels: expected one label per score, shape {values.shape}, received shape "
            f"{truth.shape}. Flatten labels and scores in the same order."
        )
    wrong = ~np.isin(truth, (0, 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"labels: expected 0 or 1, received {truth[row].item()!r} in row {row}. "
            "Turn ratings into labels first, for example `rating >= 4`."
        )
    not_finite = ~np.isfinite(values)
    if not_finite.any():
        row = int(np.argmax(not_finite))
        raise DataError(
            f"scores: expected finite numbers, received {values[row]} in row {row} "
            f"({int(not_finite.sum())} such rows). Look for a diverged model, or leave masked "
            "candidates out."
        )
    return truth.astype(np.bool_), values.astype(np.float64)
