"""Validation quality by round and by transmitted byte, over seeds."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecct_tf.reporting.comparison import Comparison, Model
from ecct_tf.reporting.traffic import PARTS

__all__ = ["Curve", "curve_of", "curves_of"]

Array = npt.NDArray[np.float64]

_MAX_POINTS = 240


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """One model's quality in the course of its rounds.

    Attributes:
      name: the model's.
      side: `edge`, `cloud` or `everything`.
      rounds: `[points]`, rounds done.
      mean: `[points]`, over the seeds.
      deviation: `[points]`, over the seeds; None for one seed.
      transmitted_bytes: `[points]`, a device's until then, mean over all devices.
      stage_2: first round that exchanges logits too, if there is one.
    """

    name: str
    side: str
    rounds: Array
    mean: Array
    deviation: Array | None
    transmitted_bytes: Array
    stage_2: int | None


def curves_of(comparison: Comparison, quality: str) -> tuple[Curve, ...]:
    """The curves of all models that have one, without ablations of the exchange."""
    models = [model for model in comparison.models if not model.kind.startswith("Ablation")]
    found = [curve_of(model, quality) for model in models or comparison.models]
    return tuple(curve for curve in found if curve is not None)


def curve_of(model: Model, quality: str) -> Curve | None:
    """A model's curve; None where nothing was measured by round.

    Args:
      model: the model.
      quality: `hr`, `ndcg`, `mrr`, `auc`, `gauc` or `log_loss`.
    """
    courses = [(run, run.metrics) for run in model.runs if run.metrics is not None]
    if not courses or len(courses) < len(model.runs):
        return None
    tables = [
        _table(metrics, f"{model.side}_{quality}", population=run.population)
        for run, metrics in courses
    ]
    joined = pd.concat(tables, axis="columns", join="inner", keys=range(len(tables))).dropna()
    if joined.empty:
        return None
    measured = joined.xs("quality", axis="columns", level=1).to_numpy(float)
    transmitted = joined.xs("bytes", axis="columns", level=1).to_numpy(float)
    rounds = joined.index.to_numpy(float)
    # More points than pixels would only make the page heavy.
    kept = np.unique(np.linspace(0, len(rounds) - 1, min(len(rounds), _MAX_POINTS)).round())
    points = kept.astype(int)
    many = measured.shape[1] > 1
    return Curve(
        name=model.name,
        side=model.side,
        rounds=rounds[points],
        mean=measured.mean(axis=1)[points],
        deviation=measured.std(axis=1, ddof=1)[points] if many else None,
        transmitted_bytes=transmitted.mean(axis=1)[points],
        stage_2=_stage_2(courses[0][1]),
    )


def _table(metrics: pd.DataFrame, column: str, *, population: int) -> pd.DataFrame:
    """Quality and bytes until then, by round."""
    parts = (*PARTS, "item_table", "sums")
    sent = metrics[[f"{part}_bytes" for part in parts]].sum(axis="columns")
    values = {"quality": metrics[column], "bytes": sent.cumsum() / population}
    return pd.DataFrame(values).set_axis(metrics["round"])


def _stage_2(metrics: pd.DataFrame) -> int | None:
    stage = metrics["stage"]
    if not ((stage == 1).any() and (stage == 2).any()):
        return None
    return int(metrics.loc[stage == 2, "round"].iloc[0])
