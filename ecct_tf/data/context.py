"""What devices know of the moment of a request beside the time: the network, the place.

A context column has a value at each interaction. It is private: no cloud view has one. Which
values there are is said in public, by `features.context`, so that no statistic of private values
decides what a model reads; any other value is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import FeatureConfig, SampleConfig
from ecct_tf.data.outcomes import outcome_columns
from ecct_tf.data.split import Split, time_order
from ecct_tf.errors import DataError

if TYPE_CHECKING:
    from ecct_tf.data.dataset import Dataset

__all__ = ["context_codes", "with_context"]

Codes = npt.NDArray[np.int32]


def with_context(
    split: Split,
    dataset: Dataset,
    features: FeatureConfig,
    samples: SampleConfig | None = None,
) -> Split:
    """`split` with the codes of the context columns that `features` names, then of `samples`.

    Args:
      split: of `dataset`.
      dataset: whose interaction columns are read.
      features: the columns, each with its values; code k stands for the k-th, 0 for unknown.
      samples: likewise those of grades, weights and targets, which no model reads; None has none.

    Raises:
      DataError: the data set has no such column.
    """
    samples = samples or SampleConfig()
    outcomes = outcome_columns(samples)
    columns = {**features.context, **outcomes}
    if not columns:
        return split
    known = {encoded.column.name: encoded for encoded in dataset.interaction_columns}
    codes = np.zeros((dataset.num_interactions, len(columns)), np.int32)
    for place, (name, values) in enumerate(columns.items()):
        if name not in known:
            setting = _setting(name, samples) if name in outcomes else f"features.context.{name}"
            raise DataError(
                f"{setting}: data set {dataset.name!r} has no column {name!r} of "
                f"interactions, it has {list(known) or 'none'}. Declare it in the data's schema, "
                "under interactions.columns, or leave it out."
            )
        code = {value: number for number, value in enumerate(values, start=1)}
        own = [0, *(code.get(value, 0) for value in known[name].vocabulary)]
        codes[:, place] = np.array(own, np.int32)[known[name].values]
    return replace(split, context=codes[time_order(dataset)])


def _setting(column: str, samples: SampleConfig) -> str:
    """The first setting that reads an outcome from `column`."""
    read = {
        "grade": samples.grade.column,
        "weight": samples.weight.column,
        **{f"targets.{name}": target.column for name, target in samples.targets.items()},
    }
    return next(f"samples.{kind}.column" for kind, name in read.items() if name == column)


def context_codes(context: Any, *, rows: int, features: FeatureConfig) -> npt.NDArray[np.float32]:
    """Codes as a reading has them, `[rows, C] float32`; None is unknown throughout.

    What follows the C columns, of grades, weights and targets, no model reads.

    Raises:
      DataError: they are of other columns.
    """
    columns = len(features.context)
    if context is None or not columns:
        return np.zeros((rows, columns), np.float32)
    codes = np.asarray(context, np.float32)
    if codes.ndim == 1 and rows == 1:
        codes = codes[None]
    if codes.ndim != 2 or len(codes) != rows or codes.shape[1] < columns:
        raise DataError(
            f"context: expected codes of {list(features.context)} (features.context) at {rows} "
            f"moments, received {list(codes.shape)}. Take the view from a split that has gone "
            "through ecct_tf.data.context.with_context."
        )
    return codes[:, :columns]
