"""What came of interactions: grades and weights of positions, from codes of private columns.

The codes follow those of the context of requests, a column each; models read none of them.
Simulation and devices compute here. No TensorFlow: a device imports it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import SampleConfig
from ecct_tf.errors import DataError

__all__ = ["outcome_columns", "outcome_weights", "sample_labels"]

Codes = npt.NDArray[np.int32]


def outcome_columns(samples: SampleConfig) -> dict[str, tuple[str, ...]]:
    """The columns that grades and weights are read from, each with its values; code k is the k-th.

    >>> from ecct_tf.config import GradeConfig
    >>> outcome_columns(SampleConfig(grade=GradeConfig("stars", {"5": 1.0, "1": 0.2})))
    {'stars': ('1', '5')}
    """
    grade, weight = samples.grade, samples.weight
    told = ((grade.column, grade.values), (weight.column, weight.values))
    return {name: tuple(sorted(values)) for name, values in told if name is not None}


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
    table = np.array([unknown, *(values[word] for word in columns[column])], np.float32)
    found: npt.NDArray[np.float32] = table[codes[:, place]]
    return found
