"""Whether what a cloud received tells a private column."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.audit.findings import Finding, found
from ecct_tf.audit.measures import Draws, balanced_accuracy, class_auc
from ecct_tf.audit.probes import FOLDS, crossed_scores
from ecct_tf.data import EncodedColumn, Kind

__all__ = ["Secret", "probe_column", "secrets_of"]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

# Users of a class below which it cannot be learned and tested.
_RARE = 2 * FOLDS


@dataclasses.dataclass(frozen=True, eq=False)
class Secret:
    """A private property of users, in classes.

    Attributes:
      name: of it.
      labels: `[n] int64`, the class of each user, -1 for those who are left out.
    """

    name: str
    labels: Ids


def secrets_of(columns: Sequence[EncodedColumn], users: Ids) -> tuple[list[Secret], dict[str, str]]:
    """The secrets in private columns, and which cannot be probed, with the reason.

    Numbers are halved at their median. Values of fewer than 10 users stand together; users whose
    value is unknown are left out. Each value of a column of many is a secret of its own.

    Args:
      columns: federated user columns.
      users: `[n] int64`, who is audited.
    """
    secrets, refused = list[Secret](), dict[str, str]()
    for column in columns:
        for name, values in _properties(column, users):
            labels = _joined(values)
            if labels.max(initial=-1) < 1:
                refused[name] = f"fewer than two values with {_RARE} audited users each"
            else:
                secrets.append(Secret(name, labels))
        if column.column.kind is Kind.VECTOR:
            refused[column.column.name] = "a vector is no property to guess"
    return secrets, refused


def probe_column(
    secret: Secret, *, known: Array, received: Array, seeds: Sequence[int]
) -> list[Finding]:
    """AUC and balanced accuracy of guessing a secret.

    Args:
      secret: of `n` users.
      known: `[n, a] float64`, what the cloud knew of them anyway.
      received: `[n, b] float64`, what it received of them.
      seeds: of the folds, whose predictions are meaned.
    """
    rows = np.flatnonzero(secret.labels >= 0)
    labels = secret.labels[rows]
    scores = crossed_scores(known[rows], received[rows], labels, rows, seeds=seeds)
    draws, classes = Draws(rows), int(labels.max()) + 1
    common = np.bincount(labels).max() / len(labels)
    return [
        found(
            "private column",
            secret.name,
            method="logistic regression",
            measure=measure,
            prior=prior,
            known=judge(scores.known, labels, draws),
            received=judge(scores.received, labels, draws),
            both=judge(scores.both, labels, draws),
            num_users=len(rows),
            base_rate=float(common),
        )
        for measure, prior, judge in (
            ("AUC", 0.5, class_auc),
            ("balanced accuracy", 1.0 / classes, balanced_accuracy),
        )
    ]


def _properties(column: EncodedColumn, users: Ids) -> list[tuple[str, Ids]]:
    """Names and codes `[n]`, 0 for unknown."""
    name, values = column.column.name, column.values[users]
    if column.column.kind is Kind.CATEGORICAL:
        return [(name, values.astype(np.int64))]
    if column.column.is_private_number:
        known = values[values > 0]
        middle = np.median(known) if len(known) else 0
        codes = np.where(values > 0, 1 + (values > middle), 0)
        return [(f"{name} (above its median)", codes.astype(np.int64))]
    if column.column.kind is Kind.NUMERIC:
        return [(f"{name} (above its median)", 1 + (values > np.median(values)).astype(np.int64))]
    if column.column.kind is Kind.MULTI_CATEGORICAL:
        return [
            (f"{name}={value}", 1 + (values[:, place] > 0).astype(np.int64))
            for place, value in enumerate(column.vocabulary)
        ]
    return []


def _joined(codes: Ids) -> Ids:
    """Classes from 0, the rare ones joined; -1 for unknown and what stays rare."""
    counts = np.bincount(codes, minlength=1)
    counts[0] = 0
    often = np.flatnonzero(counts >= _RARE)
    classes = np.full(len(counts), -1, np.int64)
    classes[often] = np.arange(len(often))
    seldom = np.flatnonzero((counts > 0) & (counts < _RARE))
    if counts[seldom].sum() >= _RARE:
        classes[seldom] = len(often)
    return classes[codes]
