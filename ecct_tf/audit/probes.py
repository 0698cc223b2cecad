"""Attackers that learn from other users: logistic regressions, each user predicted unseen.

Two blocks of features stand for what the cloud knew anyway and for what it received. A probe
learns from the first, from the second and from both, and then decides, on users that it keeps
aside, how far it trusts both over the first alone. So what carries nothing costs the attacker
next to nothing, and a difference between the two is what was received, not overfitting.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    StratifiedGroupKFold,
)

__all__ = ["FOLDS", "Probe", "ProbeScores", "crossed_scores", "fit_probe", "folds_of"]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

FOLDS = 5
_INNER_FOLDS = 3
# Inverse strengths of the penalty among which the inner folds choose.
PENALTIES = (0.003, 0.03, 0.3)
# How far both blocks are trusted over the first alone.
_TRUST = np.linspace(0.0, 1.0, 6)
_ITERATIONS = 300
_TOLERANCE = 1e-3


class ProbeScores(NamedTuple):
    """Logarithms of the classes' probabilities, all classes taken as equally frequent.

    Attributes:
      known: `[rows, classes] float64`, from what the cloud knew anyway.
      received: `[rows, classes] float64`, from what it received alone.
      both: `[rows, classes] float64`.
    """

    known: Array
    received: Array
    both: Array


@dataclasses.dataclass(frozen=True)
class _Regression:
    """A fitted logistic regression on standardised features."""

    mean: Array
    scale: Array
    model: Any

    def scores(self, features: Array) -> Array:
        found: Array = self.model.predict_log_proba((features - self.mean) / self.scale)
        return found


@dataclasses.dataclass(frozen=True)
class Probe:
    """A fitted attacker.

    Attributes:
      trust: how far it trusts both blocks over the first alone, 0 to 1.
    """

    trust: float
    _parts: tuple[_Regression, _Regression, _Regression]

    def scores(self, known: Array, received: Array) -> ProbeScores:
        """What it says of rows: features `[rows, a]` and `[rows, b]`."""
        blocks = (known, received, np.hstack([known, received]))
        first, second, both = (
            part.scores(block) for part, block in zip(self._parts, blocks, strict=True)
        )
        return ProbeScores(first, second, _blended(first, both, self.trust))


def fit_probe(
    known: Array,
    received: Array,
    labels: Ids,
    users: Ids,
    *,
    seed: int,
    penalties: Sequence[float] | None = None,
) -> Probe:
    """Fits an attacker on users whose secret it knows.

    Args:
      known: `[rows, a] float64`, what the cloud knew anyway.
      received: `[rows, b] float64`, what it received.
      labels: `[rows] int64`, the secret, 0 to classes - 1.
      users: `[rows] int64`, whose row it is; no user is on both sides of a fold.
      seed: of the folds within.
      penalties: among which it chooses by the log loss on users that it kept aside; None for
        `PENALTIES`.
    """
    penalties = penalties or PENALTIES
    blocks = (known, received, np.hstack([known, received]))
    folds = list(folds_of(labels, users, count=_INNER_FOLDS, seed=seed))
    chosen, aside = [], []
    for block in blocks:
        tried = [_out_of_fold(block, labels, folds, penalty) for penalty in penalties]
        best = int(np.argmin([_loss(each, labels) for each in tried]))
        chosen.append(penalties[best])
        aside.append(tried[best])
    losses = [_loss(_blended(aside[0], aside[2], trust), labels) for trust in _TRUST]
    parts = tuple(
        _regression(block, labels, penalty) for block, penalty in zip(blocks, chosen, strict=True)
    )
    return Probe(float(_TRUST[int(np.argmin(losses))]), (parts[0], parts[1], parts[2]))


def crossed_scores(
    known: Array,
    received: Array,
    labels: Ids,
    users: Ids,
    *,
    seeds: Sequence[int],
    penalties: Sequence[float] | None = None,
    train_rows: int | None = None,
) -> ProbeScores:
    """What an attacker says of each row who learned from other users, meaned over `seeds`.

    Args:
      known: as in `fit_probe`.
      received: as in `fit_probe`.
      labels: as in `fit_probe`; each class of at least `FOLDS` users.
      users: as in `fit_probe`.
      seeds: of the folds, a partition each.
      penalties: as in `fit_probe`.
      train_rows: from how many rows of a fold it learns at most; None for all.
    """
    classes = int(labels.max()) + 1
    sums = [np.zeros((len(labels), classes)) for _ in ProbeScores._fields]
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        for train, test in folds_of(labels, users, count=FOLDS, seed=seed):
            if train_rows is not None and len(train) > train_rows:
                train = np.sort(rng.choice(train, train_rows, replace=False))
            probe = fit_probe(
                known[train],
                received[train],
                labels[train],
                users[train],
                seed=seed,
                penalties=penalties,
            )
            for total, found in zip(sums, probe.scores(known[test], received[test]), strict=True):
                total[test] += found
    return ProbeScores(*(total / len(seeds) for total in sums))


def folds_of(
    labels: Ids, users: Ids, *, count: int, seed: int
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Rows to learn from and rows to predict; users are on one side, classes shared out evenly."""
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    yield from folds.split(np.zeros(len(labels)), labels, users)


def _regression(features: Array, labels: Ids, penalty: float) -> _Regression:
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-12] = 1.0
    model = LogisticRegression(
        C=penalty, class_weight="balanced", max_iter=_ITERATIONS, tol=_TOLERANCE
    )
    return _Regression(mean, scale, model.fit((features - mean) / scale, labels))


def _out_of_fold(features: Array, labels: Ids, folds: Sequence[Any], penalty: float) -> Array:
    found = np.zeros((len(labels), int(labels.max()) + 1))
    for train, test in folds:
        found[test] = _regression(features[train], labels[train], penalty).scores(features[test])
    return found


def _blended(first: Array, second: Array, trust: float) -> Array:
    mixed = (1.0 - trust) * first + trust * second
    norm: Array = np.logaddexp.reduce(mixed, axis=1, keepdims=True)
    return mixed - norm


def _loss(scores: Array, labels: Ids) -> float:
    """Log loss in which each class has the same weight."""
    own = scores[np.arange(len(labels)), labels]
    counts = np.bincount(labels)
    return float(-(own / counts[labels]).sum() / (counts > 0).sum())
