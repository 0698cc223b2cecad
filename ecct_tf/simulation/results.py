"""The final table: ECCT beside what either side reaches alone."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ecct_tf.baselines import ease_scores, fit_ease, popularity_scores
from ecct_tf.baselines.silent_cloud import SilentCloud, blank_item_table
from ecct_tf.evaluation import Metrics, evaluate_scores
from ecct_tf.federated import EcctState
from ecct_tf.simulation.builder import Experiment, build_cloud, build_process
from ecct_tf.simulation.callbacks import ProgressBar
from ecct_tf.simulation.evaluation import EdgeEvaluator
from ecct_tf.simulation.loop import run_rounds

__all__ = ["ResultRow", "baseline_rows", "cloud_only_row", "ecct_rows"]

_CLOUD_ONLY_EPOCHS = 8


@dataclasses.dataclass(frozen=True)
class ResultRow:
    """One model's quality on the test interactions.

    Attributes:
      model: its name.
      sees: what it may look at.
      metrics: its quality.
      calibrated: whether its scores are logits, so that log loss and AUC over users mean
        something.
    """

    model: str
    sees: str
    metrics: Metrics
    calibrated: bool = True

    def as_dict(self) -> dict[str, Any]:
        """A flat row for `results.csv`."""
        values: dict[str, Any] = {**self.metrics.as_dict()}
        if not self.calibrated:
            values.update(auc="", log_loss="")
        return {"model": self.model, "sees": self.sees, **values}


def ecct_rows(experiment: Experiment, state: EcctState) -> Iterator[ResultRow]:
    """The edge and the cloud model after the exchange."""
    test, k = experiment.test, experiment.config.evaluation.k
    edge = experiment.evaluator.scores(state, experiment.cloud, test, part="test")
    yield ResultRow("ECCT edge", "devices + exchange", evaluate_scores(edge, k=k))
    cloud = experiment.cloud.scores(
        test.users, test.items, knowledge=state.knowledge, round_number=state.round_number
    )
    yield ResultRow("ECCT cloud", "older history + exchange", evaluate_scores(cloud, k=k))


def cloud_only_row(experiment: Experiment) -> ResultRow:
    """The cloud recommender without any exchange; call it before the first round.

    It gets the better, on validation, of the closed-form start and of a model trained on
    the cloud's own positions, so that it is not beaten for want of tuning.
    """
    config = experiment.config
    trained = dataclasses.replace(
        config, cloud=dataclasses.replace(config.cloud, fit_epochs=_CLOUD_ONLY_EPOCHS)
    )
    options = [experiment.cloud, build_cloud(trained, experiment.dataset, experiment.split)]

    def quality(number: int, part: str) -> Metrics:
        candidates = experiment.validation if part == "validation" else experiment.test
        scores = options[number].scores(
            candidates.users, candidates.items, knowledge=None, round_number=0
        )
        return evaluate_scores(scores, k=config.evaluation.k)

    best = max(range(len(options)), key=lambda number: quality(number, "validation").ndcg)
    return ResultRow("cloud only", "older history", quality(best, "test"))


def baseline_rows(experiment: Experiment) -> Iterator[ResultRow]:
    """The baselines that need no cloud training; needs a `federated_runtime()` around it."""
    yield from _closed_form_rows(experiment)
    histories = [view.history for group in experiment.groups for view in group]
    counts = np.bincount(np.concatenate(histories), minlength=experiment.dataset.num_items + 1)
    seed = experiment.config.seed
    blank = blank_item_table(experiment.table, item_counts=counts, seed=seed)
    yield _silent_row(experiment, blank, "edge only", "devices, no cloud")
    yield _silent_row(experiment, experiment.table, "no exchange", "devices + item table")


def _closed_form_rows(experiment: Experiment) -> Iterator[ResultRow]:
    split, test = experiment.split, experiment.test
    k = experiment.config.evaluation.k
    num_items = experiment.dataset.num_items
    train = [split.train(int(user)) for user in test.users]
    histories = [split.history(int(user), "test") for user in test.users]

    def row(model: str, scores: Any) -> ResultRow:
        return ResultRow(model, "everything", evaluate_scores(scores, k=k), calibrated=False)

    yield row("popularity", popularity_scores(train, test.items, num_items=num_items))
    plain = fit_ease(train, num_items=num_items, regularization=500.0)
    yield row("EASE", ease_scores(plain, histories, test.items))
    firm = fit_ease(train, num_items=num_items, regularization=800.0)
    yield row("EASE, recency-weighted", ease_scores(firm, histories, test.items, decay=0.9))


def _silent_row(experiment: Experiment, table: Any, model: str, sees: str) -> ResultRow:
    config = experiment.config
    process = build_process(
        config,
        experiment.groups,
        table=table,
        table_bytes=0,
        num_users=experiment.dataset.num_users,
        receives=False,
    )
    evaluator = EdgeEvaluator(process, experiment.split, table=table, features=config.features)
    cloud = SilentCloud(table, num_queries=config.exchange.queries)
    state = run_rounds(
        experiment,
        process=process,
        cloud=cloud,
        evaluator=evaluator,
        callbacks=[ProgressBar(model, k=config.evaluation.k)],
    )
    scores = evaluator.scores(state, cloud, experiment.test, part="test")
    return ResultRow(model, sees, evaluate_scores(scores, k=config.evaluation.k))
