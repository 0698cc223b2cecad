"""The loop over rounds. It computes; whatever is shown or written is a callback's."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ecct_tf.data import Candidates
from ecct_tf.evaluation import Metrics, evaluate_scores
from ecct_tf.federated import Algorithm, GuardedAlgorithm, RoundReport
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.participation import check_schedule, schedule_of
from ecct_tf.simulation.privacy_meter import PrivacyMeter
from ecct_tf.stopping import finishing

__all__ = ["Callback", "RoundResult", "quality", "run_rounds"]

StateT = TypeVar("StateT")
_QUALITY = ("hr", "ndcg", "mrr", "auc", "gauc", "log_loss")
_SIDES = ("edge", "cloud", "everything")


@dataclasses.dataclass(frozen=True)
class RoundResult:
    """What a callback learns of a round.

    Attributes:
      round_number: rounds done, from 1.
      report: measurements of the round.
      seconds: its duration, without validation.
      validation: each side's quality on the validation items, if it was their turn.
      at_start: share of the validated requests that devices serve with the weights that they
        started with; None where none has a guard, or nothing was validated.
      epsilon: ε of the device that has given away most so far, by what has noise; None where
        nothing has.
    """

    round_number: int
    report: RoundReport
    seconds: float
    validation: Mapping[str, Metrics] = dataclasses.field(default_factory=dict)
    epsilon: float | None = None
    at_start: float | None = None

    def row(self) -> dict[str, Any]:
        """A flat row for `metrics.csv`; what was not measured is an empty text."""
        report = self.report
        row: dict[str, Any] = {
            "round": self.round_number,
            "stage": report.stage,
            "devices": report.devices,
            "seconds": round(self.seconds, 4),
            "train_loss": "" if math.isnan(report.train_loss) else report.train_loss,
            "downlink_bytes": report.downlink_bytes,
            "uplink_bytes": report.uplink_bytes,
            "weights_bytes": report.weights_bytes,
            "weights_up_bytes": report.weights_up_bytes,
            "item_table_bytes": report.item_table_bytes,
            "sums_bytes": report.sums_bytes,
            "cloud_loss": report.cloud.get("cloud_loss", ""),
            "cloud_heeds_devices": report.cloud.get("cloud_heeds_devices", ""),
            "cloud_update_kept": report.cloud.get("cloud_update_kept", ""),
            "epsilon": "" if self.epsilon is None else self.epsilon,
            "arrived": report.arrived,
            "under_way": report.under_way,
            "refused_uplinks": report.refused,
            "silent_users": report.silent,
            "mean_age": "" if math.isnan(report.mean_age) else report.mean_age,
            "devices_at_start": "" if self.at_start is None else self.at_start,
        }
        for side in _SIDES:
            metrics = self.validation.get(side)
            for name in _QUALITY:
                row[f"{side}_{name}"] = "" if metrics is None else getattr(metrics, name)
        joined = {
            f"aggregator_{name}": "" if math.isnan(value) else value
            for name, value in report.aggregated.items()
        }
        targets = {
            f"train_loss_{name}": "" if math.isnan(value) else value
            for name, value in report.target_losses.items()
        }
        return {**row, **targets, **report.witnessed, **joined}


class Callback:
    """Watches a run; subclasses override what they need."""

    def on_start(self, *, rounds: int, num_devices: int, first_round: int) -> None:
        """Before the first round; `first_round` of `rounds` are done already."""

    def on_round(self, result: RoundResult, state: Any) -> None:
        """After each round."""

    def on_end(self) -> None:
        """At the end, however it came about."""


def quality(
    algorithm: Algorithm[StateT], state: StateT, candidates: Candidates, *, k: int
) -> dict[str, Metrics]:
    """Each side's quality on `candidates`."""
    scores = algorithm.scores(state, candidates)
    return {
        side: evaluate_scores(found, k=k, users=candidates.users) for side, found in scores.items()
    }


def run_rounds(
    algorithm: Algorithm[StateT],
    experiment: Experiment,
    *,
    callbacks: Sequence[Callback] = (),
    state: StateT | None = None,
    first_round: int = 0,
    validate: bool = True,
) -> StateT:
    """Runs an algorithm's rounds; needs a `federated_runtime()` around it.

    Args:
      algorithm: what to run, built for `experiment`.
      experiment: the data.
      callbacks: watchers, called in order.
      state: to go on from; None begins.
      first_round: rounds that `state` has behind it.
      validate: whether to measure quality on the validation items now and then, as
        `evaluation.every` says.

    Returns:
      The state after the last round.
    """
    config = experiment.config
    current = algorithm.initialize() if state is None else state
    schedule = schedule_of(experiment)
    check_schedule(schedule, algorithm.rounds)
    meter = PrivacyMeter.of(config, num_devices=algorithm.num_devices, schedule=schedule)
    for callback in callbacks:
        callback.on_start(
            rounds=algorithm.rounds, num_devices=algorithm.num_devices, first_round=first_round
        )
    try:
        for number in range(first_round, algorithm.rounds):
            with finishing("the round"):
                draw = schedule.draw(number)
                start = time.perf_counter()
                current, report = algorithm.next(
                    current,
                    round_number=number,
                    participants=draw.participants,
                    answering=draw.answering,
                    delays=draw.delays,
                )
                seconds = time.perf_counter() - start
                last = number + 1 == algorithm.rounds
                measured: dict[str, Metrics] = {}
                at_start = None
                if validate and (last or (number + 1) % config.evaluation.every == 0):
                    measured = quality(
                        algorithm, current, experiment.validation, k=config.evaluation.k
                    )
                    if isinstance(algorithm, GuardedAlgorithm):
                        at_start = algorithm.at_start(current, experiment.validation)
                epsilon = None if meter is None else meter.epsilon(number + 1)
                result = RoundResult(number + 1, report, seconds, measured, epsilon, at_start)
                for callback in callbacks:
                    callback.on_round(result, current)
    finally:
        for callback in callbacks:
            callback.on_end()
    return current
