"""What single users gain, in groups: by activity, coldness, private column and tier."""

import logging
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ecct_tf.data import Kind, Side, load_dataset
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.evaluation import (
    Interval,
    activity_places,
    discounted_gains,
    hits,
    interval_over_users,
)
from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.pairs import RankColumn, common_seeds, ranks_of
from ecct_tf.reporting.run import Run
from ecct_tf.simulation.builder import assign_tiers
from ecct_tf.simulation.run_folder import RunFolder

__all__ = ["gain_of", "groups_of", "tiers_of", "user_gains"]

_log = logging.getLogger(__name__)


def user_gains(
    subject: Model, baseline: Model | None, *, quality: str = "ndcg"
) -> pd.DataFrame | None:
    """One row for each user and seed; figures are means over the user's tested interactions.

    Columns: `user`, `interactions` (in training), `subject`, `baseline`, `seed` and `gain`.

    Args:
      subject: whose gain.
      baseline: over whom; None for the subject's own start.
      quality: `ndcg` or `hr`.

    Returns:
      None where the ranks of one of them are not at hand.
    """
    figure = discounted_gains if quality == "ndcg" else hits
    other: RankColumn = "start_rank" if baseline is None else "rank"
    try:
        seeds = subject.seeds if baseline is None else common_seeds(subject, baseline)
        parts = []
        for seed in seeds:
            ours = ranks_of(subject, seed)
            theirs = ranks_of(baseline or subject, seed, column=other)
            k = subject.sources[0].k
            rows = pd.DataFrame(
                {
                    "user": ours.index.get_level_values("user"),
                    "interactions": ours["interactions"].to_numpy(),
                    "subject": figure(ours["rank"].to_numpy(np.int64) - 1, k),
                    "baseline": figure(theirs[other].to_numpy(np.int64) - 1, k),
                }
            )
            parts.append(rows.groupby("user", as_index=False).mean().assign(seed=seed))
    except ConfigError as error:
        _log.warning("no gains of %s: %s", subject.name, error)
        return None
    table = pd.concat(parts, ignore_index=True)
    difference = (table["subject"] - table["baseline"]).to_numpy(float)
    # What float sums leave of equal ranks is no difference.
    return table.assign(gain=np.where(np.abs(difference) < 1e-12, 0.0, difference))


def gain_of(rows: pd.DataFrame) -> Interval:
    """Mean gain of the rows of `user_gains`, with its interval over users."""
    return interval_over_users(rows["gain"].to_numpy(float), users=rows["user"].to_numpy())


def groups_of(table: pd.DataFrame, run: Run) -> Iterable[tuple[str, pd.DataFrame]]:
    """The rows of `user_gains` by group, each with its name: all, by activity, cold, by column.

    Args:
      table: from `user_gains`.
      run: one of the subject's, for what is cold and for the private columns.
    """
    yield "all", table
    places = activity_places(table["interactions"].to_numpy(), groups=3)
    for place in np.unique(places):
        rows = table[places == place]
        fewest, most = int(rows["interactions"].min()), int(rows["interactions"].max())
        yield f"{fewest} to {most} interactions", rows
    cold = table[table["interactions"] <= run.cold_interactions]
    if len(cold):
        yield f"cold: at most {run.cold_interactions} interactions", cold
    for name, values in _private(run, sorted(table["seed"].unique().tolist())).items():
        told = table.merge(values, on=["seed", "user"])
        for value in sorted(told["value"].unique()):
            yield f"{name}: {value}", told[told["value"] == value]


def tiers_of(run: Run) -> "pd.Series[str] | None":
    """The edge model of each user of a run, by user; None where the run folder cannot tell.

    It can where each user is a device and each was tested, as leave-one-out has it.
    """
    if run.devices is None or run.config.get("data.nodes") is not None:
        return None
    sampled = run.config.get("evaluation.devices") is not None
    if sampled or run.config["data.split"] != "leave_one_out":
        return None
    users = np.unique(run.devices["user"].to_numpy())
    shares = RunFolder.open(run.path).config.edge.tiers
    tiers = assign_tiers(dict(shares), num_devices=len(users), seed=run.seed)
    return pd.Series(tiers, index=pd.Index(users, name="user"), name="tier")


def _private(run: Run, seeds: list[int]) -> dict[str, pd.DataFrame]:
    """Values of private categorical user columns: `seed`, `user`, `value`, by column."""
    config = RunFolder.open(run.path).config
    found: dict[str, list[pd.DataFrame]] = {}
    try:
        for seed in seeds:
            dataset = load_dataset(config.data, seed=seed, progress=False, opened=True)
            for column in dataset.user_columns:
                if (column.column.side, column.column.kind) != (Side.FEDERATED, Kind.CATEGORICAL):
                    continue
                words = np.array(["unknown", *column.vocabulary])
                values = pd.DataFrame(
                    {
                        "seed": seed,
                        "user": np.arange(column.num_rows),
                        "value": words[column.values],
                    }
                )
                found.setdefault(column.column.name, []).append(values)
    except DataError as error:
        _log.warning("no gains by private column: %s", error)
        return {}
    return {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}
