"""Models on the same users: ranks side by side, and intervals that follow from them."""

import functools
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.evaluation import (
    Interval,
    discounted_gains,
    hits,
    interval_over_users,
    paired_interval,
)
from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.run import Run

__all__ = [
    "MEASURES",
    "Measure",
    "RankColumn",
    "common_seeds",
    "gain_interval",
    "interval_of",
    "paired_ranks",
    "ranks_of",
]

Measure = Literal["hr", "ndcg", "catalog_hr", "catalog_ndcg"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
RankColumn = Literal["rank", "catalog_rank", "start_rank"]


class _Figure(NamedTuple):
    """What a measure is made of: a column of ranks, and a figure of each rank."""

    column: RankColumn
    of: Callable[[npt.ArrayLike, int], npt.NDArray[np.float64]]


_FIGURES: Mapping[Measure, _Figure] = {
    "hr": _Figure("rank", hits),
    "ndcg": _Figure("rank", discounted_gains),
    "catalog_hr": _Figure("catalog_rank", hits),
    "catalog_ndcg": _Figure("catalog_rank", discounted_gains),
}
_NOT_MEASURED = {
    "catalog_rank": "its run did not rank it over the whole catalog (evaluation.catalog)",
    "start_rank": "its run did not rank it before the first round",
}


def common_seeds(subject: Model, baseline: Model) -> tuple[int, ...]:
    """Seeds that both have, ascending.

    Raises:
      ConfigError: there is none.
    """
    seeds = tuple(sorted(set(subject.seeds) & set(baseline.seeds)))
    if not seeds:
        raise ConfigError(
            f"{subject.name} has seeds {list(subject.seeds)}, {baseline.name} has "
            f"{list(baseline.seeds)}: devices can be compared only on a seed that both have"
        )
    return seeds


def paired_ranks(
    subject: Model, baseline: Model, seed: int, *, column: RankColumn = "rank"
) -> pd.DataFrame:
    """One row per test interaction of a seed: `user`, `interactions`, and both ranks from 1.

    The ranks are in the columns `subject` and `baseline`; `column` says which ranks.

    Raises:
      ConfigError: the ranks of one of them are not at hand.
      RunFolderError: they are of different interactions.
    """
    ours, theirs = (ranks_of(model, seed, column=column) for model in (subject, baseline))
    if not ours.index.equals(theirs.index):
        files = [_file(model, _source(model, seed)) for model in (subject, baseline)]
        raise RunFolderError(
            f"{files[0]} and {files[1]} hold different test interactions though both runs have "
            f"seed {seed}: their data differ, or a file was changed; run one of them again on the "
            "other's data"
        )
    return pd.DataFrame(
        {
            "user": ours.index.get_level_values("user"),
            "interactions": ours["interactions"].to_numpy(),
            "subject": ours[column].to_numpy(np.int64),
            "baseline": theirs[column].to_numpy(np.int64),
        }
    )


def ranks_of(model: Model, seed: int, *, column: RankColumn = "rank") -> pd.DataFrame:
    """`interactions` and ranks, from 1, by user and by the place among the user's interactions.

    Raises:
      ConfigError: the file that has them is missing, or they were not measured.
      RunFolderError: a rank is none.
    """
    run = _source(model, seed)
    file, table = _file(model, run), run.devices if model.runs else run.reference_ranks
    if table is None:
        if not model.runs:
            raise ConfigError(
                f"{model.name} has no run itself, only a row in another's results, and "
                f"{file} is missing; devices can be compared only by their ranks"
            )
        raise ConfigError(f"{file} is missing; copy it too, to see the gain of single devices")
    rows = table[(table["model"] == model.model) & (table["side"] == model.side)]
    if rows[column].isna().all():
        raise ConfigError(f"{model.name}, seed {seed}: {_NOT_MEASURED.get(column, 'no ranks')}")
    # How large a catalog is does not stand in a run folder.
    last = np.inf if column == "catalog_rank" else run.candidates
    if not rows[column].between(1, last).all():
        raise RunFolderError(
            f"{file}: expected ranks from 1{f' to {last}' if last < np.inf else ''} in {column}; "
            "the file was changed after the run"
        )
    rows = rows.assign(occurrence=rows.groupby("user").cumcount())
    return rows.set_index(["user", "occurrence"]).sort_index()


@functools.lru_cache(maxsize=2048)
def interval_of(model: Model, measure: Measure = "hr") -> Interval | None:
    """A figure of a model, all seeds together, with its interval over users; None without ranks."""
    figure = _FIGURES[measure]
    try:
        tables = [ranks_of(model, seed, column=figure.column) for seed in model.seeds]
    except ConfigError:
        return None
    ranks = np.concatenate([table[figure.column].to_numpy(np.int64) for table in tables])
    users = np.concatenate([table.index.get_level_values("user") for table in tables])
    return interval_over_users(figure.of(ranks - 1, model.sources[0].k), users=users)


@functools.lru_cache(maxsize=2048)
def gain_interval(subject: Model, baseline: Model, measure: Measure = "hr") -> Interval | None:
    """A figure of `subject` less that of `baseline` on the same users; None without a pair.

    Raises:
      RunFolderError: see `paired_ranks`.
    """
    figure = _FIGURES[measure]
    try:
        pairs = pd.concat(
            [
                paired_ranks(subject, baseline, seed, column=figure.column)
                for seed in common_seeds(subject, baseline)
            ]
        )
    except ConfigError:
        return None
    k = subject.sources[0].k
    ours, theirs = (figure.of(pairs[name].to_numpy() - 1, k) for name in ("subject", "baseline"))
    return paired_interval(ours, theirs, users=pairs["user"].to_numpy())


def _source(model: Model, seed: int) -> Run:
    return model.sources[model.seeds.index(seed)]


def _file(model: Model, run: Run) -> str:
    return f"{run.path}/{'devices' if model.runs else 'references'}.csv"
