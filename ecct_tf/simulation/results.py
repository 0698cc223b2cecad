"""What a run reaches on the test interactions: the final table, and rank by rank."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from ecct_tf.evaluation import Metrics, evaluate_scores, ranks
from ecct_tf.federated import Algorithm
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.methods import model_name, sees

__all__ = ["ResultRow", "test_results"]

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
      calibrated: whether its scores are logits, so that log loss and AUC over users mean
        something.
    """

    method: str
    model: str
    side: str
    sees: str
    metrics: Metrics
    calibrated: bool = True

    def as_dict(self) -> dict[str, Any]:
        """A flat row for `results.csv`."""
        values: dict[str, Any] = {**self.metrics.as_dict()}
        if not self.calibrated:
            values.update(auc="", log_loss="")
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
    devices: list[dict[str, Any]] = []
    for side, scores in algorithm.scores(state, candidates).items():
        model = model_name(config, side)
        metrics = evaluate_scores(scores, k=config.evaluation.k, users=candidates.users)
        calibrated = config.method not in _UNCALIBRATED
        rows.append(ResultRow(config.method, model, side, sees(config, side), metrics, calibrated))
        devices.extend(_device_rows(experiment, model, side, scores))
    return rows, devices


def _device_rows(
    experiment: Experiment, model: str, side: str, scores: Any
) -> Iterator[dict[str, Any]]:
    for user, place in zip(experiment.test.users, ranks(scores), strict=True):
        yield {
            "model": model,
            "side": side,
            "user": int(user),
            "interactions": len(experiment.split.train(int(user))),
            "rank": int(place) + 1,
        }
