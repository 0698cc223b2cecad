"""Quality of several models for groups of users: by activity, and for those who are cold."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecct_tf.errors import ConfigError
from ecct_tf.evaluation import (
    Interval,
    activity_groups,
    cold_group,
    discounted_gains,
    hit_rate,
    interval_over_users,
    mrr,
    ndcg,
)
from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.pairs import RankColumn, ranks_of

__all__ = ["GroupQuality", "ModelQuality", "group_quality"]


@dataclasses.dataclass(frozen=True)
class ModelQuality:
    """One model's figures for one group, all its seeds together.

    Attributes:
      model: whose.
      hr: HR@K.
      ndcg: NDCG@K.
      interval: of NDCG@K, over users.
      mrr: mean reciprocal rank.
      catalog_hr: HR@K over the whole catalog; None where that was not measured.
      catalog_ndcg: NDCG@K over the whole catalog; None as `catalog_hr`.
    """

    model: Model
    hr: float
    ndcg: float
    interval: Interval
    mrr: float
    catalog_hr: float | None
    catalog_ndcg: float | None


@dataclasses.dataclass(frozen=True)
class GroupQuality:
    """A group of users and how well models serve it.

    Attributes:
      kind: `activity` or `cold`.
      fewest: training interactions of the least active user.
      most: of the most active one.
      num_users: how many they are; 0 for a cold group of nobody.
      models: the figures, in the order of the models; empty where the group is.
    """

    kind: str
    fewest: int
    most: int
    num_users: int
    models: tuple[ModelQuality, ...]


def group_quality(models: Sequence[Model]) -> tuple[GroupQuality, ...]:
    """Thirds by activity and the cold users, as the first model's runs have them.

    Models without ranks are left out.

    Args:
      models: at least one; measured on the same data.
    """
    tables = [(model, table) for model in models if (table := _table(model)) is not None]
    if not tables:
        return ()
    (first, table), *_ = tables
    counts, run = table["interactions"].to_numpy(np.int64), first.sources[0]
    # Generated data has other users under the same numbers at each seed.
    owners = table.groupby(["seed", "user"]).ngroup().to_numpy()
    found = [
        *activity_groups(counts, users=owners),
        cold_group(counts, users=owners, most=run.cold_interactions),
    ]
    groups = []
    for group in found:
        if group.fewest is None or group.most is None:
            groups.append(GroupQuality(group.kind, 0, run.cold_interactions, 0, ()))
            continue
        users = table["user"].to_numpy()[group.rows]
        served = [
            _quality(model, ranks[ranks["interactions"].between(group.fewest, group.most)])
            for model, ranks in tables
        ]
        groups.append(
            GroupQuality(
                group.kind,
                group.fewest,
                group.most,
                len(np.unique(users)),
                tuple(each for each in served if each is not None),
            )
        )
    return tuple(groups)


def _table(model: Model) -> pd.DataFrame | None:
    """`seed`, `user`, `interactions`, `rank` and `catalog_rank`, NaN where not measured."""
    parts = []
    for seed in model.seeds:
        ranks = _ranks(model, seed, "rank")
        if ranks is None:
            return None
        whole = _ranks(model, seed, "catalog_rank")
        parts.append(
            pd.DataFrame(
                {
                    "seed": seed,
                    "user": ranks.index.get_level_values("user"),
                    "interactions": ranks["interactions"].to_numpy(),
                    "rank": ranks["rank"].to_numpy(),
                    "catalog_rank": np.nan if whole is None else whole["catalog_rank"].to_numpy(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _ranks(model: Model, seed: int, column: RankColumn) -> pd.DataFrame | None:
    try:
        return ranks_of(model, seed, column=column)
    except ConfigError:
        return None


def _quality(model: Model, rows: pd.DataFrame) -> ModelQuality | None:
    if rows.empty:
        return None
    k, places = model.sources[0].k, _places(rows["rank"])
    whole = None if rows["catalog_rank"].isna().any() else _places(rows["catalog_rank"])
    return ModelQuality(
        model=model,
        hr=hit_rate(places, k),
        ndcg=ndcg(places, k),
        interval=interval_over_users(discounted_gains(places, k), users=rows["user"].to_numpy()),
        mrr=mrr(places),
        catalog_hr=None if whole is None else hit_rate(whole, k),
        catalog_ndcg=None if whole is None else ndcg(whole, k),
    )


def _places(ranks: pd.Series) -> npt.NDArray[np.int64]:
    return ranks.to_numpy(np.int64) - 1
