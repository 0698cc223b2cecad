"""What single devices gain over a baseline, paired by user, seed and interaction."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.reporting.comparison import Model
from ecct_tf.reporting.run import Run

__all__ = ["ActivityGroup", "Gains", "Interval", "device_gains"]

Array = npt.NDArray[np.float64]

_RESAMPLES = 4000
_CONFIDENCE = 0.95
# Below, the normal approximation of the signed-rank test does not hold.
_FEWEST_DEVICES = 10


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over devices with its bootstrap 95 % confidence interval; no interval for one."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Array) -> "Interval":
        """Percentile bootstrap over devices; the same values give the same interval."""
        mean = float(values.mean())
        if len(values) < 2:
            return cls(mean, None, None)
        found = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=_RESAMPLES,
            confidence_level=_CONFIDENCE,
            method="percentile",
            batch=200,
            random_state=np.random.default_rng(0),
        ).confidence_interval
        return cls(mean, float(found.low), float(found.high))


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
    seeds = tuple(sorted(set(subject.seeds) & set(baseline.seeds)))
    if not seeds:
        raise ConfigError(
            f"{subject.name} has seeds {list(subject.seeds)}, {baseline.name} has "
            f"{list(baseline.seeds)}: devices can be compared only on a seed that both have"
        )
    pairs = pd.concat([_pairs(subject, baseline, seed) for seed in seeds])
    by_user = pairs.groupby("user")
    users = by_user[["subject", "baseline"]].mean()
    users["interactions"] = by_user["interactions"].first()
    # What float sums leave of equal ranks is no difference.
    difference = (users["subject"] - users["baseline"]).to_numpy(float)
    difference[np.abs(difference) < 1e-12] = 0.0
    users["gain"] = difference
    return Gains(
        subject=subject.name,
        baseline=baseline.name,
        seeds=seeds,
        by_device=difference,
        gain=Interval.of(difference),
        p_value=_p_value(difference),
        groups=_groups(users),
    )


def _pairs(subject: Model, baseline: Model, seed: int) -> pd.DataFrame:
    """One row per test interaction of a seed: NDCG@K of both."""
    ours, theirs = (_ranks(model, seed) for model in (subject, baseline))
    runs = [model.runs[model.seeds.index(seed)] for model in (subject, baseline)]
    if not ours.index.equals(theirs.index):
        raise RunFolderError(
            f"{runs[0].path}/devices.csv and {runs[1].path}/devices.csv hold different test "
            f"interactions though both runs have seed {seed}: their data differ, or a file was "
            "changed; run one of them again on the other's data"
        )
    return pd.DataFrame(
        {
            "user": ours.index.get_level_values("user"),
            "interactions": ours["interactions"].to_numpy(),
            "subject": _ndcg(ours, k=runs[0].k),
            "baseline": _ndcg(theirs, k=runs[1].k),
        }
    )


def _ranks(model: Model, seed: int) -> pd.DataFrame:
    """Ranks by user and by the place of the interaction among the user's."""
    if not model.runs:
        raise ConfigError(
            f"{model.name} has no run of its own, only a row in another's results; "
            "devices can be compared only between runs"
        )
    run: Run = model.runs[model.seeds.index(seed)]
    file = f"{run.path}/devices.csv"
    if run.devices is None:
        raise ConfigError(f"{file} is missing; copy it too, to see the gain of single devices")
    rows = run.devices
    rows = rows[(rows["model"] == model.model) & (rows["side"] == model.side)]
    if not rows["rank"].between(1, run.candidates).all():
        raise RunFolderError(
            f"{file}: expected ranks from 1 to {run.candidates}; the file was changed after the run"
        )
    rows = rows.assign(occurrence=rows.groupby("user").cumcount())
    return rows.set_index(["user", "occurrence"]).sort_index()


def _ndcg(rows: pd.DataFrame, *, k: int) -> Array:
    """`[rows]`: with a single relevant item the ideal gain is 1."""
    rank = rows["rank"].to_numpy(float)
    return np.where(rank <= k, 1.0 / np.log2(rank + 1.0), 0.0)


def _p_value(difference: Array) -> float | None:
    if len(difference) < _FEWEST_DEVICES or not difference.any():
        return None
    return float(stats.wilcoxon(difference, zero_method="pratt", method="approx").pvalue)


def _groups(users: pd.DataFrame) -> tuple[ActivityGroup, ...]:
    interactions = users["interactions"].to_numpy(float)
    borders = np.quantile(interactions, [0.25, 0.5, 0.75])
    # A device on a border belongs below it; equal devices stay together.
    place = np.searchsorted(borders, interactions, side="left")
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
                gain=Interval.of(members["gain"].to_numpy(float)),
            )
        )
    return tuple(groups)
