"""Uneven devices on purpose: what each keeps of its training part, and of its private columns.

The definitions are those of the field, put on histories that cannot change hands: label skew by a
Dirichlet distribution around the common shares (Hsu et al. 2019), quantity skew by log-normal
weights, feature skew by missing columns. Validation and test interactions stay.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ecct_tf.config.skew import SkewConfig
from ecct_tf.data.dataset import Dataset
from ecct_tf.data.schema import Side
from ecct_tf.data.split import MIN_TRAINING, Split, recent_counts, time_order
from ecct_tf.data.tables import EncodedColumn
from ecct_tf.data.tastes import taste_clusters
from ecct_tf.errors import DataError

__all__ = ["SkewReport", "draw_by_taste", "kept_counts", "skew_report", "skewed"]

_log = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# What a draw is for, beside the seed and the user.
_QUANTITY, _TASTE, _PROFILE = 11, 12, 13


def skewed(
    dataset: Dataset, split: Split, config: SkewConfig, *, recent_fraction: float, seed: int
) -> tuple[Dataset, Split]:
    """The data set and its split with uneven devices; both as they are where nothing is asked.

    A user's draws depend on the seed and the user's number alone. Users, items and what is held
    out stay; a device keeps at least two training interactions.

    Args:
      dataset: any.
      split: its split.
      config: what is asked.
      recent_fraction: newest share of what is left that only the device knows.
      seed: of the run.

    Raises:
      DataError: no user column is private, and some should be missing.

    Example:
      >>> from ecct_tf.data import SyntheticConfig, leave_one_out, synthetic_dataset
      >>> data = synthetic_dataset(SyntheticConfig(users=8))
      >>> split = leave_one_out(data)
      >>> half = SkewConfig(keep=0.5)
      >>> thin, cut = skewed(data, split, half, recent_fraction=0.2, seed=0)
      >>> round(cut.train_counts.sum() / split.train_counts.sum(), 1), cut.test(3) == split.test(3)
      (0.5, True)
    """
    if not config.active:
        return dataset, split
    columns = dataset.user_columns
    if config.missing_profiles:
        columns = _without_profiles(dataset, split, config.missing_profiles, seed=seed)
    if config.keep == 1.0:
        return replace(dataset, user_columns=columns, source=None), split
    kept = _kept(split, config, seed=seed)
    owner = np.repeat(np.arange(split.num_users), np.diff(split.offsets))
    counts = np.bincount(owner[kept], minlength=split.num_users)
    rows = np.sort(time_order(dataset)[kept])
    thin = replace(
        dataset,
        **dataset.interactions_at(rows),
        user_columns=columns,
        source=None,
    )
    train = np.zeros(split.num_users, np.int64)
    train[split.users] = (counts - split.validation_counts - split.test_counts)[split.users]
    cut = replace(
        split,
        items=split.items[kept],
        timestamps=split.timestamps[kept],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        recent_counts=recent_counts(train, recent_fraction),
    )
    _log.info(
        "data.skew: %d of %d training interactions stay",
        int(cut.train_counts.sum()),
        int(split.train_counts.sum()),
    )
    return thin, cut


def kept_counts(train: Ints, weights: Floats, *, keep: float) -> Ints:
    """`[users] int64`: how many training interactions each keeps, `keep` of all in total.

    A user keeps the share `min(1, c · weight)` of its own, at least two, with the one c that
    gives the total.

    Args:
      train: `[users] int64`, at least two each.
      weights: `[users] float64`, above 0.
      keep: in (0, 1).

    >>> kept_counts(np.array([10, 10, 20]), np.array([1.0, 1.0, 1.0]), keep=0.5).tolist()
    [5, 5, 10]
    >>> kept_counts(np.array([10, 10]), np.array([9.0, 1.0]), keep=0.6).tolist()
    [10, 2]
    """
    low, high = 0.0, 1.0 / float(weights.min())
    for _ in range(100):
        middle = (low + high) / 2
        total = (np.minimum(1.0, middle * weights) * train).sum()
        low, high = (middle, high) if total < keep * train.sum() else (low, middle)
    wanted = np.floor(np.minimum(1.0, high * weights) * train + 0.5).astype(np.int64)
    counts: Ints = np.clip(wanted, MIN_TRAINING, train)
    return counts


def draw_by_taste(available: Ints, shares: Floats, count: int, *, rng: np.random.Generator) -> Ints:
    """`[clusters] int64`: how many of each cluster are drawn, `count` in total.

    Each is drawn from a cluster by `shares`; what a cluster lacks is drawn from the others by
    theirs, and by what is there where those are 0.

    Args:
      available: `[clusters] int64`, how many there are.
      shares: `[clusters] float64`, of sum 1.
      count: at most the sum of `available`.
      rng: the generator.

    >>> rng = np.random.default_rng(0)
    >>> draw_by_taste(np.array([4, 1]), np.array([0.0, 1.0]), 3, rng=rng).tolist()
    [2, 1]
    """
    drawn = np.zeros_like(available)
    while (left := count - int(drawn.sum())) > 0:
        room = available - drawn
        chances = np.where(room > 0, shares, 0.0)
        if chances.sum() <= 0:
            chances = room.astype(np.float64)
        drawn += np.minimum(rng.multinomial(left, chances / chances.sum()), room)
    return drawn


def _kept(split: Split, config: SkewConfig, *, seed: int) -> npt.NDArray[np.bool_]:
    """`[n] bool`: the rows of the split that stay; all but training rows do."""
    users = split.users.astype(np.int64)
    train = split.train_counts[users]
    noise = np.array([np.random.default_rng([seed, _QUANTITY, u]).normal() for u in users.tolist()])
    counts = kept_counts(train, np.exp(config.quantity * noise), keep=config.keep)
    labels = shares = None
    if config.taste is not None:
        labels = taste_clusters(split, clusters=config.tastes)
        shares = _common_shares(split, labels)
    kept = np.ones(len(split.items), np.bool_)
    for user, count in zip(users.tolist(), counts.tolist(), strict=True):
        rng = np.random.default_rng([seed, _TASTE, user])
        mine = split.train(user)
        chosen = np.zeros(len(mine), np.bool_)
        if labels is None or shares is None or config.taste is None:
            chosen[rng.choice(len(mine), size=count, replace=False)] = True
        else:
            present = np.flatnonzero(shares)
            own = np.zeros_like(shares)
            own[present] = rng.dirichlet(config.taste * shares[present])
            tastes = labels[mine]
            available = np.bincount(tastes, minlength=len(shares))
            for taste, number in enumerate(draw_by_taste(available, own, count, rng=rng)):
                places = np.flatnonzero(tastes == taste)
                chosen[rng.choice(places, size=number, replace=False)] = True
        start = int(split.offsets[user])
        kept[start : start + len(mine)] = chosen
    return kept


def _common_shares(split: Split, labels: Ints) -> Floats:
    """`[clusters]`: shares of the clusters in the training parts of all users together."""
    counts = np.zeros(int(labels.max()) + 1)
    for user in split.users.tolist():
        counts += np.bincount(labels[split.train(user)], minlength=len(counts))
    shares: Floats = counts / counts.sum()
    return shares


def _without_profiles(
    dataset: Dataset, split: Split, share: float, *, seed: int
) -> tuple[EncodedColumn, ...]:
    private = [c for c in dataset.user_columns if c.column.side is Side.FEDERATED]
    if not private:
        raise DataError(
            f"data.skew.missing_profiles={share:g}: data set {dataset.name!r} has no private user "
            "column that could be missing. Set it to 0, or declare a column with side federated."
        )
    users = split.users.astype(np.int64)
    draws = [np.random.default_rng([seed, _PROFILE, user]).random() for user in users.tolist()]
    # The lowest draws: a larger share takes the same devices and more.
    chosen = users[np.argsort(draws, kind="stable")[: round(share * len(users))]]
    return tuple(
        _unknown(column, chosen) if column.column.side is Side.FEDERATED else column
        for column in dataset.user_columns
    )


def _unknown(column: EncodedColumn, users: Ints) -> EncodedColumn:
    """The column with the unknown value for some users, as an absent row has it."""
    values = np.array(column.values)
    values[users] = 0
    return replace(column, values=values, missing=column.missing + len(users))


@dataclass(frozen=True)
class SkewReport:
    """How uneven the devices of a split are.

    Attributes:
      devices: users that take part.
      interactions: 5 %, 50 % and 95 % quantile of their training interactions.
      taste_distance: mean over the devices of the total variation distance between their shares
        of the taste clusters and those of all; 0 where all are alike, towards 1 where each has a
        taste of its own.
      without_profile: share of devices none of whose private columns is known; None without such
        columns.
    """

    devices: int
    interactions: tuple[float, float, float]
    taste_distance: float
    without_profile: float | None


def skew_report(dataset: Dataset, split: Split, *, labels: Ints) -> SkewReport:
    """Measures how uneven the devices of a split are.

    Args:
      dataset: of the split.
      split: any.
      labels: `[num_items + 1] int64`, from `taste_clusters`.
    """
    users = split.users.astype(np.int64)
    shares = _common_shares(split, labels)
    distances = []
    for user in users.tolist():
        mine = np.bincount(labels[split.train(user)], minlength=len(shares))
        distances.append(0.5 * np.abs(mine / mine.sum() - shares).sum())
    private = [
        column.values for column in dataset.user_columns if column.column.side is Side.FEDERATED
    ]
    absent = None
    if private:
        empty = [(values[users] == 0).reshape(len(users), -1).all(axis=1) for values in private]
        absent = float(np.mean(np.logical_and.reduce(empty)))
    low, middle, high = np.quantile(split.train_counts[users], (0.05, 0.5, 0.95)).tolist()
    return SkewReport(len(users), (low, middle, high), float(np.mean(distances)), absent)
