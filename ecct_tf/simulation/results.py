"""What a run reaches on the test interactions: the final table, and rank by rank."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.evaluation import (
    CatalogMetrics,
    Interval,
    Metrics,
    StartComparison,
    against_start,
    catalog_metrics,
    discounted_gains,
    evaluate_scores,
    hits,
    interval_over_users,
    ranks,
)
from ecct_tf.federated import Algorithm, GuardedAlgorithm
from ecct_tf.simulation.catalog import item_users, rank_catalog
from ecct_tf.simulation.ecct import EcctAlgorithm
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.methods import model_name, sees

__all__ = [
    "CatalogResult",
    "Places",
    "ResultRow",
    "measured_rows",
    "rank_rows",
    "start_line",
    "start_places",
]

Places = npt.NDArray[np.int64]

_UNCALIBRATED = ("popularity", "ease", "ease-recency")
_CATALOG = ("hr", "recall", "ndcg", "mrr")


@dataclasses.dataclass(frozen=True)
class CatalogResult:
    """One model's quality over the whole catalog.

    Attributes:
      metrics: its quality.
      hr: `metrics.hr` with its interval over users.
      ndcg: `metrics.ndcg` with its interval over users.
      places: `[rows] int64`, the 0-based rank of each tested item.
    """

    metrics: CatalogMetrics
    hr: Interval
    ndcg: Interval
    places: Places = dataclasses.field(repr=False, compare=False)


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
      catalog: over the whole catalog; None where that was not measured.
      start: beside what the devices began with; None where nothing trains on devices.
      start_places: ranks as in `places`, before the first round; None as `start` is.
      at_start: share of the test interactions that devices serve with the weights they started
        with; None where no device has a guard.
    """

    method: str
    model: str
    side: str
    sees: str
    metrics: Metrics
    hr: Interval
    ndcg: Interval
    places: Places = dataclasses.field(repr=False, compare=False)
    calibrated: bool = True
    catalog: CatalogResult | None = None
    start: StartComparison | None = None
    start_places: Places | None = dataclasses.field(default=None, repr=False, compare=False)
    at_start: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """A flat row for `results.csv`; what was not measured is an empty text."""
        values: dict[str, Any] = {**self.metrics.as_dict()}
        if not self.calibrated:
            values.update(auc="", log_loss="")
        values.update(_ends("hr", self.hr), **_ends("ndcg", self.ndcg))
        found, start = self.catalog, self.start
        for name in _CATALOG:
            values[f"catalog_{name}"] = "" if found is None else getattr(found.metrics, name)
        values.update(_ends("catalog_hr", None if found is None else found.hr))
        values.update(_ends("catalog_ndcg", None if found is None else found.ndcg))
        for name in ("coverage", "novelty"):
            values[name] = "" if found is None else getattr(found.metrics, name)
        for name in ("ndcg", "better", "equal", "worse"):
            values[f"start_{name}"] = "" if start is None else getattr(start, name)
        values["start_serves"] = "" if self.at_start is None else self.at_start
        named = {"method": self.method, "model": self.model, "side": self.side, "sees": self.sees}
        return {**named, **values}


def start_places(experiment: Experiment, algorithm: Algorithm[Any]) -> Mapping[str, Places]:
    """Ranks of the tested items by the devices' models before the first round.

    Empty where there are no rounds, or no models on devices. ECCT's are scored with the cloud's
    logits if those cross in its last round.
    """
    if not algorithm.rounds or not algorithm.num_devices:
        return {}
    if isinstance(algorithm, EcctAlgorithm):
        begin: Any = algorithm.untrained()
    else:
        begin = algorithm.initialize()
    scores = algorithm.scores(begin, experiment.test)
    return {side: ranks(found) for side, found in scores.items() if side == "edge"}


def measured_rows(
    experiment: Experiment,
    algorithm: Algorithm[Any],
    state: Any,
    *,
    starts: Mapping[str, Places] | None = None,
    catalog: bool = False,
) -> list[ResultRow]:
    """Scores the test candidates, once; a row for each side's model.

    Args:
      experiment: the data.
      algorithm: what was run.
      state: after its last round.
      starts: from `start_places`.
      catalog: whether to rank over the whole catalog too.
    """
    config, candidates = experiment.config, experiment.test
    rows: list[ResultRow] = []
    k, users = config.evaluation.k, candidates.users
    rankings = rank_catalog(experiment, algorithm, state) if catalog else {}
    known = item_users(experiment.split) if catalog else None
    at_start = None
    if isinstance(algorithm, GuardedAlgorithm):
        at_start = algorithm.at_start(state, candidates)
    for side, scores in algorithm.scores(state, candidates).items():
        model, places = model_name(config, side), ranks(scores)
        start = (starts or {}).get(side)
        found = None
        if known is not None:
            metrics = catalog_metrics(
                rankings[side],
                users=users,
                item_users=known,
                num_users=len(experiment.split.users),
            )
            whole = rankings[side].places
            found = CatalogResult(metrics, *_intervals(whole, k, users), whole)
        hr, ndcg = _intervals(places, k, users)
        rows.append(
            ResultRow(
                method=config.method,
                model=model,
                side=side,
                sees=sees(config, side),
                metrics=evaluate_scores(scores, k=k, users=users),
                hr=hr,
                ndcg=ndcg,
                places=places,
                calibrated=config.method not in _UNCALIBRATED,
                catalog=found,
                start=None if start is None else against_start(places, start, k=k, users=users),
                start_places=start,
                at_start=at_start if side == "edge" else None,
            )
        )
    return rows


def start_line(row: ResultRow) -> str:
    """How many devices are better, equal and worse than at their start; empty if not measured."""
    start = row.start
    if start is None:
        return ""
    interval = ""
    if start.gain.low is not None and start.gain.high is not None:
        interval = f", 95 % interval {start.gain.low:+.4f} to {start.gain.high:+.4f}, paired"
    serves = ""
    if row.at_start is not None:
        serves = f"; the start still serves {row.at_start:.1%} of requests"
    return (
        f"{row.model} against its own start: NDCG@{row.metrics.k} {start.gain.mean:+.4f}"
        f"{interval}; of {start.num_users:,} users {start.better:.1%} better, "
        f"{start.equal:.1%} equal, {start.worse:.1%} worse{serves}."
    )


def rank_rows(experiment: Experiment, rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """One row for each tested interaction and model, for `devices.csv` and `references.csv`.

    `model`, `side`, `user`, `interactions` (of the user, in training) and `rank` of the tested
    item among its candidates, from 1. Where one of `rows` has them, `catalog_rank`, the rank in the
    whole catalog, and `start_rank`, that before the first round; empty for the others.
    """
    with_catalog = any(row.catalog is not None for row in rows)
    with_start = any(row.start_places is not None for row in rows)
    told = []
    for row in rows:
        columns: dict[str, Places | None] = {"rank": row.places}
        if with_catalog:
            columns["catalog_rank"] = None if row.catalog is None else row.catalog.places
        if with_start:
            columns["start_rank"] = row.start_places
        for number, user in enumerate(experiment.test.users.tolist()):
            ranked = {
                name: "" if places is None else int(places[number]) + 1
                for name, places in columns.items()
            }
            told.append(
                {
                    "model": row.model,
                    "side": row.side,
                    "user": user,
                    "interactions": len(experiment.split.train(user)),
                    **ranked,
                }
            )
    return told


def _intervals(places: Places, k: int, users: npt.NDArray[np.int32]) -> tuple[Interval, Interval]:
    """Of HR@k and NDCG@k."""
    return (
        interval_over_users(hits(places, k), users=users),
        interval_over_users(discounted_gains(places, k), users=users),
    )


def _ends(name: str, interval: Interval | None) -> dict[str, Any]:
    ends = (None, None) if interval is None else (interval.low, interval.high)
    return {
        f"{name}_{end}": "" if value is None else value
        for end, value in zip(("low", "high"), ends, strict=True)
    }
