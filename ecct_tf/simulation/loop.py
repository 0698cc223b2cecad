"""The loop over rounds. It computes; whatever is shown or written is a callback's."""

import dataclasses
import time
from collections.abc import Sequence

from ecct_tf.evaluation import Metrics, evaluate_scores
from ecct_tf.federated import Cloud, EcctProcess, EcctState, RoundReport, draw_participants
from ecct_tf.simulation.builder import Experiment
from ecct_tf.simulation.evaluation import EdgeEvaluator
from ecct_tf.simulation.interrupt import deferred_interrupt

__all__ = ["Callback", "RoundResult", "run_rounds"]


@dataclasses.dataclass(frozen=True)
class RoundResult:
    """What a callback learns of a round.

    Attributes:
      round_number: rounds done, from 1.
      report: measurements of the round.
      seconds: its duration, without validation.
      validation: metrics of the edge models on the validation items, if it was their turn.
    """

    round_number: int
    report: RoundReport
    seconds: float
    validation: Metrics | None


class Callback:
    """Watches a run; subclasses override what they need."""

    def on_start(self, *, rounds: int, num_devices: int) -> None:
        """Before the first round."""

    def on_round(self, result: RoundResult, state: EcctState) -> None:
        """After each round."""

    def on_end(self) -> None:
        """At the end, however it came about."""


def run_rounds(
    experiment: Experiment,
    *,
    process: EcctProcess | None = None,
    cloud: Cloud | None = None,
    evaluator: EdgeEvaluator | None = None,
    callbacks: Sequence[Callback] = (),
) -> EcctState:
    """Runs all rounds of an experiment; needs a `federated_runtime()` around it.

    Args:
      experiment: what to run.
      process: another process over the same data, for baselines.
      cloud: another cloud, for baselines.
      evaluator: the evaluator that belongs to `process`.
      callbacks: watchers, called in order.

    Returns:
      The state after the last round.
    """
    config = experiment.config
    process = process or experiment.process
    cloud = cloud or experiment.cloud
    evaluator = evaluator or experiment.evaluator
    state = process.initialize(config.seed)
    for callback in callbacks:
        callback.on_start(rounds=config.rounds, num_devices=process.num_devices)
    try:
        for number in range(config.rounds):
            with deferred_interrupt():
                participants, answering = draw_participants(
                    config.participation,
                    num_devices=process.num_devices,
                    seed=config.seed,
                    round_number=number,
                )
                start = time.perf_counter()
                state, report = process.next(state, cloud, participants, answering)
                seconds = time.perf_counter() - start
                validation = None
                last = number + 1 == config.rounds
                if callbacks and (last or (number + 1) % config.evaluation.every == 0):
                    scores = evaluator.scores(
                        state, cloud, experiment.validation, part="validation"
                    )
                    validation = evaluate_scores(scores, k=config.evaluation.k)
                result = RoundResult(number + 1, report, seconds, validation)
                for callback in callbacks:
                    callback.on_round(result, state)
    finally:
        for callback in callbacks:
            callback.on_end()
    return state
