"""Likelihood ratios of membership against shadow devices, after Carlini et al. (2022).

The statistic of a pair is what the device's answer is beyond what the cloud's own score and the
level of the device's logits explain. Shadow devices are the attacker's: devices of other users
whose newest interactions it knows. For each item it fits one Gaussian to the answers of shadow
devices that have the item among their newest interactions, and one to those that do not; means of
items with few shadow devices are drawn to the mean of all, and each class has one covariance, as
the paper advises where shadow models are few.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from ecct_tf.audit.probes import FOLDS, folds_of

__all__ = ["Ratios", "likelihood_ratios"]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Gaussians = tuple[Array, Array]

# Shadow devices of all items whose weight the mean of an item has.
_SHRINKAGE = 4.0
# Added to variances, relatively, so that what never varies has a density.
_RIDGE = 1e-6


class Ratios(NamedTuple):
    """Of each pair, higher for members.

    Attributes:
      online: `[p] float64`, logarithm of the ratio of the two densities.
      offline: `[p] float64`, how far the first number of the answer lies above those that are no
        members, in standard deviations.
    """

    online: Array
    offline: Array


def likelihood_ratios(
    answers: Array,
    *,
    items: Ids,
    users: Ids,
    members: npt.NDArray[np.bool_],
    central: Array,
    seed: int,
) -> Ratios:
    """Ratios of pairs by shadow devices, none of which is the pair's own.

    Args:
      answers: `[p, m] float64`, such as `z_e`, then `h_e`.
      items: `[p] int64`.
      users: `[p] int64`.
      members: `[p]`, whether the item is among the device's newest; of a pair's own user it is
        not read.
      central: `[p, c] float64`, what explains answers without knowing that, such as `z_c`.
      seed: of the folds of users.
    """
    online, offline = np.zeros(len(answers)), np.zeros(len(answers))
    design = np.hstack([central, np.ones((len(answers), 1))])
    size = int(items.max()) + 1
    for shadow, own in folds_of(members.astype(np.int64), users, count=FOLDS, seed=seed):
        inside, outside = shadow[members[shadow]], shadow[~members[shadow]]
        fitted, *_ = np.linalg.lstsq(design[outside], answers[outside], rcond=None)
        rest = answers - design @ fitted
        told, silent = (_gaussians(rest[rows], items[rows], size) for rows in (inside, outside))
        online[own] = _density(rest[own], items[own], told)
        online[own] -= _density(rest[own], items[own], silent)
        means, covariance = silent
        offline[own] = (rest[own, 0] - means[items[own], 0]) / np.sqrt(covariance[0, 0])
    return Ratios(online, offline)


def _gaussians(values: Array, items: Ids, size: int) -> Gaussians:
    """Mean of each item `[size, m]` and the common covariance `[m, m]`."""
    whole = values.mean(axis=0)
    sums = np.zeros((size, values.shape[1]))
    np.add.at(sums, items, values)
    counts = np.bincount(items, minlength=size)[:, None]
    means = (sums + _SHRINKAGE * whole) / (counts + _SHRINKAGE)
    covariance = np.atleast_2d(np.cov(values - means[items], rowvar=False))
    spread = np.maximum(np.diag(covariance), 1e-12)
    return means, covariance + _RIDGE * np.diag(spread)


def _density(values: Array, items: Ids, gaussians: Gaussians) -> Array:
    means, covariance = gaussians
    normal = stats.multivariate_normal(cov=covariance, allow_singular=True)
    found: Array = np.atleast_1d(normal.logpdf(values - means[items]))
    return found
