"""What a run reaches on the test interactions: the final table, and rank by rank."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.evaluation import (
    Interval,
    Metrics,
    discounted_gains,
    evaluate_scores,
    hits,
    interval_over_users,
    ranks,
)
from ecct_tf.federated import Algorithm
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.methods import model_name, sees

__all__ = ["ResultRow", "rank_rows", "test_results"]

_UNCALIBRATED = ("popularity", "ease", "ease-recency")


@dataclasses.dataclass(frozen=True)
class ResultRow:
    """One model's quality on the test interactions.

    Attributes:
      method: of the run that made it.
      model: its name.
      side: where it is scored: `edge`, `cloud` or `everything`.
      sees: what it may look at.
      metrics: its quality.
      hr: `metrics.hr` with its interval over users.
      ndcg: `metrics.ndcg` with its interval over users.
      places: `[rows] int64`, the 0-based rank of each tested item, in the order of the test
        candidates.
      calibrated: whether its scores are logits, so that log loss and AUC over users mean
        something.
    """

    method: str
    model: str
    side: str
    sees: str
    metrics: Metrics
    hr: Interval
    ndcg: Interval
    places: npt.NDArray[np.int64] = dataclasses.field(repr=False, compare=False)
    calibrated: bool = True

    def as_dict(self) -> dict[str, Any]:
        """A flat row for `results.csv`."""
        values: dict[str, Any] = {**self.metrics.as_dict()}
        if not self.calibrated:
            values.update(auc="", log_loss="")
        for name, interval in (("hr", self.hr), ("ndcg", self.ndcg)):
            ends = (interval.low, interval.high)
            for end, value in zip(("low", "high"), ends, strict=True):
                values[f"{name}_{end}"] = "" if value is None else value
        named = {"method": self.method, "model": self.model, "side": self.side, "sees": self.sees}
        return {**named, **values}


def test_results(
    experiment: Experiment, algorithm: Algorithm[Any], state: Any
) -> tuple[list[ResultRow], list[dict[str, Any]]]:
    """Scores the test candidates, once.

    Returns:
      A row for each side's model, and one for each tested interaction and side: `model`,
      `side`, `user`, `interactions` (of the user, in training) and `rank` of the tested item
      among its candidates, from 1.
    """
    config, candidates = experiment.config, experiment.test
    rows: list[ResultRow] = []
    k, users = config.evaluation.k, candidates.users
    for side, scores in algorithm.scores(state, candidates).items():
        model, places = model_name(config, side), ranks(scores)
        rows.append(
            ResultRow(
                method=config.method,
                model=model,
                side=side,
                sees=sees(config, side),
                metrics=evaluate_scores(scores, k=k, users=users),
                hr=interval_over_users(hits(places, k), users=users),
                ndcg=interval_over_users(discounted_gains(places, k), users=users),
                places=places,
                calibrated=config.method not in _UNCALIBRATED,
            )
        )
    return rows, rank_rows(experiment, rows)


def rank_rows(experiment: Experiment, rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """One row for each tested interaction and model, as `test_results` gives them."""
    return [
        {
            "model": row.model,
            "side": row.side,
            "user": int(user),
            "interactions": len(experiment.split.train(int(user))),
            "rank": int(place) + 1,
        }
        for row in rows
        for user, place in zip(experiment.test.users, row.places, strict=True)
    ]
