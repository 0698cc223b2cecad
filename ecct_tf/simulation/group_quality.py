"""Test quality by activity of the users, and of the cold ones: rows of `quality_by_group.csv`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecct_tf.evaluation import UserGroup, activity_groups, cold_group, hit_rate, mrr, ndcg
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.results import Places, ResultRow

__all__ = ["group_rows"]

_QUALITY = ("hr", "ndcg", "mrr")


def group_rows(experiment: Experiment, rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """One row for each model and group of users, as measured on the test interactions.

    Groups are thirds of the users by training interactions (`activity`; fewer than three where
    many users are equally active), and those with at most `evaluation.cold_interactions`
    (`cold`, there also if nobody is). Columns: `model`, `side`, `group`, `fewest` and `most`
    training interactions, `users`, `tests`, then HR@K, NDCG@K and MRR among the sampled candidates
    and over the whole catalog; empty where a group has nobody, or nothing was measured.
    """
    evaluation, users = experiment.config.evaluation, experiment.test.users
    interactions = experiment.split.train_counts[users]
    groups = [
        *activity_groups(interactions, users=users),
        cold_group(interactions, users=users, most=evaluation.cold_interactions),
    ]
    return [_row(row, group, evaluation.k) for row in rows for group in groups]


def _row(row: ResultRow, group: UserGroup, k: int) -> dict[str, Any]:
    catalog = None if row.catalog is None else row.catalog.places
    return {
        "model": row.model,
        "side": row.side,
        "group": group.kind,
        "fewest": "" if group.fewest is None else group.fewest,
        "most": "" if group.most is None else group.most,
        "users": group.num_users,
        "tests": int(np.count_nonzero(group.rows)),
        **_quality("", row.places, group, k),
        **_quality("catalog_", catalog, group, k),
    }


def _quality(prefix: str, places: Places | None, group: UserGroup, k: int) -> dict[str, Any]:
    if places is None or not group.num_users:
        return {f"{prefix}{name}": "" for name in _QUALITY}
    mine = places[group.rows]
    values = (hit_rate(mine, k), ndcg(mine, k), mrr(mine))
    return {f"{prefix}{name}": value for name, value in zip(_QUALITY, values, strict=True)}
