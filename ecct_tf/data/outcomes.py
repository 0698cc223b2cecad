"""What came of interactions: grades, weights and further targets of positions, from private codes.

The codes follow those of the context of requests, a column each; models read none of them.
Simulation and devices compute here. No TensorFlow: a device imports it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import GradeConfig, SampleConfig, TargetConfig, WeightConfig
from ecct_tf.errors import DataError

__all__ = [
    "NO_LABEL",
    "of_interactions",
    "outcome_columns",
    "outcome_weights",
    "sample_labels",
    "target_labels",
    "target_names",
]

NO_LABEL = -1.0
"""What stands for a missing label of a further target; labels are in 0..1."""

Codes = npt.NDArray[np.int32]


def outcome_columns(samples: SampleConfig) -> dict[str, tuple[str, ...]]:
    """The columns of grades, weights and targets, each with its values; code k is the k-th.

    >>> from ecct_tf.config import GradeConfig
    >>> outcome_columns(SampleConfig(grade=GradeConfig("stars", {"5": 1.0, "1": 0.2})))
    {'stars': ('1', '5')}
    """
    read: list[GradeConfig | WeightConfig | TargetConfig] = [samples.grade, samples.weight]
    read += [samples.targets[name] for name in target_names(samples)]
    words: dict[str, set[str]] = {}
    for each in read:
        if each.column is not None:
            words.setdefault(each.column, set()).update(each.values)
    return {name: tuple(sorted(values)) for name, values in words.items()}


def target_names(samples: SampleConfig) -> tuple[str, ...]:
    """The further targets, in the order of their heads and labels: sorted, as JSON has them."""
    return tuple(sorted(samples.targets))


def of_interactions(labels: Any, samples: SampleConfig) -> Any:
    """Which of `labels` `[...]`, arrays or tensors, are no sampled negatives': `[...] bool`.

    A grade may be below that of negatives, for what was met and not liked. Where it equals that
    of negatives, labels do not say whose they are.

    >>> of_interactions(np.array([1, 0], np.uint8), SampleConfig()).tolist()
    [True, False]
    >>> from ecct_tf.config import GradeConfig
    >>> graded = SampleConfig(grade=GradeConfig("stars", {"1": 0.1, "5": 1.0}, negatives=0.2))
    >>> of_interactions(np.array([0.1, 0.2, 1.0], np.float32), graded).tolist()
    [True, False, True]
    """
    return labels != (0.0 if samples.grade.column is None else samples.grade.negatives)


def sample_labels(codes: Codes, samples: SampleConfig) -> npt.NDArray[Any]:
    """Labels of positions, the own item's first: `[p, 1 + negatives]`, `uint8` without grades.

    Args:
      codes: `[p, C + M] int32`, of the positions, those of `outcome_columns` last.
      samples: how many negatives there are, and the grades.

    Raises:
      DataError: there are no codes of the grades.

    >>> from ecct_tf.config import GradeConfig
    >>> graded = SampleConfig(negatives=1, grade=GradeConfig("stars", {"5": 1.0, "1": 0.25}))
    >>> sample_labels(np.array([[1], [2], [0]], np.int32), graded).tolist()
    [[0.25, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    shape = (len(codes), 1 + samples.negatives)
    grade = samples.grade
    if grade.column is None:
        plain = np.zeros(shape, np.uint8)
        plain[:, 0] = 1
        return plain
    labels = np.full(shape, grade.negatives, np.float32)
    labels[:, 0] = _looked_up(codes, samples, grade.column, grade.values, grade.unknown)
    return labels


def outcome_weights(codes: Codes, samples: SampleConfig) -> npt.NDArray[np.float32]:
    """How much positions weigh by what came of them: `[p] float32`, 1 where nothing says it."""
    weight = samples.weight
    if weight.column is None:
        return np.ones(len(codes), np.float32)
    return _looked_up(codes, samples, weight.column, weight.values, weight.unknown)


def target_labels(codes: Codes, samples: SampleConfig) -> npt.NDArray[np.float32]:
    """Labels of the further targets: `[p, 1 + negatives, T] float32`, the own item's first.

    `NO_LABEL` stands where there is none: for negatives that a target says nothing of, and for the
    whole position where the interaction has none.

    Args:
      codes: `[p, C + M] int32`, of the positions, those of `outcome_columns` last.
      samples: the targets, in the order of `target_names`.

    Raises:
      DataError: there are no codes of the targets.

    >>> from ecct_tf.config import TargetConfig
    >>> like = TargetConfig("stars", {"5": 1.0, "1": 0.0}, negatives=0.0)
    >>> samples = SampleConfig(negatives=1, targets={"like": like})
    >>> target_labels(np.array([[1], [2], [0]], np.int32), samples)[:, :, 0].tolist()
    [[0.0, 0.0], [1.0, 0.0], [-1.0, -1.0]]
    """
    names = target_names(samples)
    labels = np.full((len(codes), 1 + samples.negatives, len(names)), NO_LABEL, np.float32)
    for place, name in enumerate(names):
        target = samples.targets[name]
        own = _looked_up(codes, samples, target.column, target.values, NO_LABEL)
        labels[:, 0, place] = own
        if target.negatives is not None:
            labels[own >= 0.0, 1:, place] = target.negatives
    return labels


def _looked_up(
    codes: Codes, samples: SampleConfig, column: str, values: dict[str, float], unknown: float
) -> npt.NDArray[np.float32]:
    columns = outcome_columns(samples)
    if codes.shape[1] < len(columns):
        raise DataError(
            f"samples: expected codes of {', '.join(columns)} of each interaction, received "
            f"{codes.shape[1]} columns. Take the view from a split that has gone through "
            "ecct_tf.data.context.with_context."
        )
    place = codes.shape[1] - len(columns) + list(columns).index(column)
    table = np.array(
        [unknown, *(values.get(word, unknown) for word in columns[column])], np.float32
    )
    found: npt.NDArray[np.float32] = table[codes[:, place]]
    return found
