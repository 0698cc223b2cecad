"""What uneven devices cost each method: skew of tastes, of quantities, and of private columns."""

import logging

import numpy as np
import pandas as pd

from ecct_tf.data import load_dataset, skew_report, skewed, split_dataset, taste_clusters
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.evaluation import Interval, hits, interval_over_users
from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.pairs import common_seeds, ranks_of
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.studies.drawings import quality_by_point
from ecct_tf.studies.result import PointResult, StudyResult
from ecct_tf.studies.study import Point, Study, Table
from ecct_tf.studies.table import interval_text

__all__ = ["devices_table", "heterogeneity", "losses_table", "missing_profiles", "quantity_skew"]

_log = logging.getLogger(__name__)

_METHODS = ("ecct", "no-exchange", "fedavg")
_ALPHAS = (1000.0, 10.0, 1.0, 0.3, 0.1)
_YARDSTICK = "FedAvg"


def heterogeneity() -> Study:
    """Label skew, from uniform devices to devices with one taste."""
    return Study(
        name="heterogeneity",
        question="What is the cost of devices that differ in their tastes, and does the exchange "
        "reduce it?",
        axis="concentration α of tastes, from even to uneven",
        # Drawn from even to uneven: the axis falls.
        points=tuple(
            Point(f"{alpha:g}", (f"data.skew.taste={alpha:g}",), at=1 / alpha) for alpha in _ALPHAS
        ),
        methods=_METHODS,
        settings=("data.skew.keep=0.3",),
        reference=f"{_ALPHAS[0]:g}",
        drawings=(quality_by_point,),
        tables=(losses_table, devices_table),
        note="At each point the same number of training interactions stays on each device; α "
        "decides of which tastes they are. What is tested is the same everywhere.",
        logarithmic=True,
    )


def quantity_skew() -> Study:
    """Quantity skew at an equal total."""
    return Study(
        name="quantity_skew",
        question="What is the cost when some devices hold nearly everything and others nearly "
        "nothing?",
        axis="spread σ of quantities",
        points=tuple(
            Point(f"{sigma:g}", (f"data.skew.quantity={sigma:g}",), at=sigma)
            for sigma in (0.0, 1.0, 2.0, 3.0)
        ),
        methods=_METHODS,
        settings=("data.skew.keep=0.3",),
        reference="0",
        drawings=(quality_by_point,),
        tables=(losses_table, devices_table),
        note="At each point the same number of training interactions stays in total; σ decides how "
        "unevenly devices share it. What is tested is the same everywhere.",
    )


def missing_profiles() -> Study:
    """Feature skew: private columns that are missing."""
    return Study(
        name="missing_profiles",
        question="What is the cost when the models on many devices know nothing about their "
        "users' profiles?",
        axis="share of devices without private columns",
        points=tuple(
            Point(f"{share:g}", (f"data.skew.missing_profiles={share:g}",), at=share)
            for share in (0.0, 0.3, 0.6, 1.0)
        ),
        methods=_METHODS,
        reference="0",
        drawings=(quality_by_point,),
        tables=(losses_table, devices_table),
    )


def losses_table(result: StudyResult) -> Table | None:
    """What each model loses from the reference to the last point, beside half of FedAvg's loss."""
    first, last = result.reference, result.points[-1]
    if first is None or first is last:
        return None
    yardstick = last.model(_YARDSTICK)
    rows = []
    for model in last.models:
        before = first.model(model.name)
        if before is None or not model.runs:
            continue
        beyond = None
        if yardstick is not None and model is not yardstick:
            beyond = _less_half(model, before, yardstick, first)
        change = result.change(last, model)
        rows.append((model.name, interval_text(change), interval_text(beyond)))
    label = result.label("hr")
    return Table(
        name="losses",
        title=f"From {first.point.label} to {last.point.label}",
        headings=(
            "model",
            f"change of {label}, 95 %",
            f"its loss less half of {_YARDSTICK}'s, 95 %",
        ),
        rows=tuple(rows),
        note="Paired over users and seeds. The last column is negative where a model loses less "
        f"than half of what {_YARDSTICK} loses.",
    )


def _less_half(
    model: Model, before: Model, yardstick: Model, first: PointResult
) -> Interval | None:
    start = first.model(_YARDSTICK)
    if start is None:
        return None
    try:
        seeds = set(common_seeds(model, before)) & set(common_seeds(yardstick, start))
        parts, users = [], []
        for seed in sorted(seeds):
            ours, ours_before, theirs, theirs_before = (
                _hits(each, seed) for each in (model, before, yardstick, start)
            )
            parts.append((ours_before - ours) - 0.5 * (theirs_before - theirs))
            users.append(ours.index.get_level_values("user").to_numpy())
    except ConfigError as error:
        _log.warning("no comparison of losses: %s", error)
        return None
    if not parts:
        return None
    values = pd.concat(parts).to_numpy(float)
    return interval_over_users(values, users=np.concatenate(users))


def _hits(model: Model, seed: int) -> "pd.Series[float]":
    """1.0 for each tested interaction that is among the first K, by user and occurrence."""
    ranks = ranks_of(model, seed)["rank"]
    values = hits(ranks.to_numpy(np.int64) - 1, model.sources[0].k)
    return pd.Series(values, index=ranks.index, dtype=float)


def devices_table(result: StudyResult) -> Table | None:
    """What the devices of each point hold, of the first seed; None where it cannot be loaded."""
    rows = []
    for point in result.points:
        config = RunFolder.open(point.comparison.runs[0].path).config
        data = config.data
        try:
            dataset = load_dataset(data, seed=config.seed, progress=False)
            whole = split_dataset(data, dataset)
            thin, split = skewed(
                dataset, whole, data.skew, recent_fraction=data.recent_fraction, seed=config.seed
            )
        except DataError as error:
            _log.warning("no table of what devices hold: %s", error)
            return None
        labels = taste_clusters(whole, clusters=data.skew.tastes)
        found = skew_report(thin, split, labels=labels)
        absent = found.without_profile
        rows.append(
            (
                point.point.label,
                f"{found.devices:,}",
                f"{int(split.train_counts.sum()):,}",
                " / ".join(f"{value:.0f}" for value in found.interactions),
                f"{found.taste_distance:.2f}",
                "–" if absent is None else f"{absent:.0%}",
            )
        )
    return Table(
        name="devices",
        title="What devices hold",
        headings=(
            *("point", "devices", "training interactions", "of a device: 5 / 50 / 95 %"),
            *("distance of tastes", "without private columns"),
        ),
        rows=tuple(rows),
        note=f"Seed {result.seeds[0]}. Distance of tastes: mean total variation distance between a "
        "device's shares of the taste clusters and the common ones.",
    )
