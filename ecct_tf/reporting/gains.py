"""What single devices gain over a baseline, paired by user, seed and interaction."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from ecct_tf.errors import ConfigError
from ecct_tf.evaluation import (
    Interval,
    StartComparison,
    activity_places,
    against_start,
    discounted_gains,
    interval_over_users,
)
from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.pairs import common_seeds, paired_ranks, ranks_of

__all__ = ["ActivityGroup", "Gains", "device_gains", "gain_since_start", "served_by_start"]

Array = npt.NDArray[np.float64]

# Below, the normal approximation of the signed-rank test does not hold.
_FEWEST_DEVICES = 10


@dataclasses.dataclass(frozen=True)
class ActivityGroup:
    """Devices with a similar number of training interactions.

    Attributes:
      fewest: training interactions of the least active device.
      most: of the most active one.
      devices: how many they are.
      subject: mean NDCG@K of the model that is looked at.
      baseline: mean NDCG@K of the baseline.
      gain: the difference.
    """

    fewest: int
    most: int
    devices: int
    subject: float
    baseline: float
    gain: Interval


@dataclasses.dataclass(frozen=True, eq=False)
class Gains:
    """Gain in NDCG@K of each device, averaged over its test interactions and the seeds.

    Attributes:
      subject: the model that is looked at.
      baseline: what it is compared with.
      seeds: seeds that both have.
      by_device: `[devices]`, ordered by user.
      gain: their mean.
      p_value: of the two-sided Wilcoxon signed-rank test, zeros kept in the ranking (Pratt);
        None when no device differs, or there are fewer than ten.
      groups: by quartile of training interactions, the least active first.
    """

    subject: str
    baseline: str
    seeds: tuple[int, ...]
    by_device: Array
    gain: Interval
    p_value: float | None
    groups: tuple[ActivityGroup, ...]

    @property
    def better(self) -> float:
        """Share of devices that gain."""
        return float((self.by_device > 0).mean())

    @property
    def worse(self) -> float:
        """Share of devices that lose."""
        return float((self.by_device < 0).mean())


def device_gains(subject: Model, baseline: Model) -> Gains:
    """Compares two models device by device.

    Raises:
      ConfigError: they have no seed in common, or lack `devices.csv`.
      RunFolderError: their devices do not match.
    """
    seeds = common_seeds(subject, baseline)
    pairs = pd.concat([_pairs(subject, baseline, seed) for seed in seeds])
    by_user = pairs.groupby("user")
    users = by_user[["subject", "baseline"]].mean()
    users["interactions"] = by_user["interactions"].first()
    # What float sums leave of equal ranks is no difference.
    difference = (users["subject"] - users["baseline"]).to_numpy(float)
    users["gain"] = np.where(np.abs(difference) < 1e-12, 0.0, difference)
    return Gains(
        subject=subject.name,
        baseline=baseline.name,
        seeds=seeds,
        by_device=difference,
        gain=interval_over_users(difference),
        p_value=_p_value(difference),
        groups=_groups(users),
    )


def gain_since_start(model: Model) -> StartComparison | None:
    """A model's NDCG@K beside that of its own start, all seeds together; None if not measured.

    Raises:
      RunFolderError: a rank is none.
    """
    try:
        tables = [
            (ranks_of(model, seed), ranks_of(model, seed, column="start_rank"))
            for seed in model.seeds
        ]
    except ConfigError:
        return None
    places = np.concatenate([now["rank"].to_numpy(np.int64) for now, _ in tables]) - 1
    start = np.concatenate([then["start_rank"].to_numpy(np.int64) for _, then in tables]) - 1
    users = np.concatenate([now.index.get_level_values("user") for now, _ in tables])
    return against_start(places, start, k=model.sources[0].k, users=users)


def served_by_start(model: Model) -> float | None:
    """Share of the tested requests that devices serve with their start; mean over the seeds.

    None where it was not measured: for models without a start, and for runs of before.
    """
    shares = [
        float(share)
        for run in model.runs
        if run.results is not None and "start_serves" in run.results
        for share in run.results["start_serves"].dropna()
    ]
    return float(np.mean(shares)) if shares else None


def _pairs(subject: Model, baseline: Model, seed: int) -> pd.DataFrame:
    """One row per test interaction of a seed: NDCG@K of both."""
    pairs, k = paired_ranks(subject, baseline, seed), subject.sources[0].k
    for name in ("subject", "baseline"):
        pairs[name] = discounted_gains(pairs[name].to_numpy(np.int64) - 1, k)
    return pairs


def _p_value(difference: Array) -> float | None:
    if len(difference) < _FEWEST_DEVICES or not difference.any():
        return None
    return float(stats.wilcoxon(difference, zero_method="pratt", method="approx").pvalue)


def _groups(users: pd.DataFrame) -> tuple[ActivityGroup, ...]:
    place = activity_places(users["interactions"].to_numpy(), groups=4)
    groups = []
    for number in np.unique(place):
        members = users[place == number]
        groups.append(
            ActivityGroup(
                fewest=int(members["interactions"].min()),
                most=int(members["interactions"].max()),
                devices=len(members),
                subject=float(members["subject"].mean()),
                baseline=float(members["baseline"].mean()),
                gain=interval_over_users(members["gain"].to_numpy(float)),
            )
        )
    return tuple(groups)
