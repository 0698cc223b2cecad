"""Synthetic data with a signal on both sides, at any size.

Central signal: items have categories and latent factors, users a long-term
taste for them, and both shape every interaction. Private signal: the newest
interactions follow a taste that has drifted, and an affinity between the
user's profile and the item's category. The drift starts exactly where the
default split's recent part starts, and the affinity acts only from there on,
so the cloud's older interactions hold no trace of either: it shows in the
federated columns and the recent interactions alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ecct_tf.data.dataset import Dataset
from ecct_tf.data.encoding import encode_column
from ecct_tf.data.schema import Column, FeatureSchema, Kind, Side
from ecct_tf.errors import ConfigError

__all__ = ["SYNTHETIC_SCHEMA", "SyntheticConfig", "synthetic_dataset"]

SYNTHETIC_SCHEMA = FeatureSchema(
    name="synthetic",
    columns=(
        Column("gender", "user", Side.FEDERATED, Kind.CATEGORICAL),
        Column("age", "user", Side.FEDERATED, Kind.CATEGORICAL),
        Column("category", "item", Side.CENTRALIZED, Kind.MULTI_CATEGORICAL),
    ),
)

_GENDERS = ("F", "M")
_AGES = ("under25", "25-44", "45+")
_RECENT_FRACTION = 0.2
_POOL = 512  # items a user chooses from: bounds the work at 10,000 items
_CHUNK = 4096  # users at a time: bounds the memory
_SCORED_WHOLE = 1 << 17  # of larger catalogs a user's pool alone is scored
_EPOCH_SECONDS = 1_600_000_000


@dataclass(frozen=True)
class SyntheticConfig:
    """What to generate.

    Attributes:
      users: number of users.
      items: number of items, at least twice `interactions`.
      interactions: mean number of interactions a user, at least 8.
      latent: size of the latent factors.
      groups: number of item categories.
      private_strength: weight of the private signal, 0 for none.
      central_strength: weight of the central signal, 0 for none.
      seed: the seed; equal configurations give equal data.

    Example:
      >>> SyntheticConfig(users=8, seed=1).items
      400
    """

    users: int = 256
    items: int = 400
    interactions: int = 60
    latent: int = 8
    groups: int = 4
    private_strength: float = 1.0
    central_strength: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        lowest = {"users": 1, "interactions": 8, "latent": 1, "groups": 1, "seed": 0}
        lowest["items"] = max(2 * self.interactions, self.groups)
        for field in fields(self):
            value = getattr(self, field.name)
            strength = field.name.endswith("_strength")
            low = 0 if strength else lowest[field.name]
            allowed = (int, float) if strength else (int,)
            right = isinstance(value, allowed) and not isinstance(value, bool)
            if not right or not (low <= value < math.inf):
                what = "number" if strength else "whole number"
                raise ConfigError(
                    f"SyntheticConfig.{field.name}: expected a finite {what} from {low}, "
                    f"received {value!r}."
                )


def synthetic_dataset(config: SyntheticConfig | None = None) -> Dataset:
    """Generates a data set; users' interactions are distinct items in time order.

    Args:
      config: its sizes and seed; None for the defaults.

    Example:
      >>> data = synthetic_dataset(SyntheticConfig(users=8))
      >>> data.num_users, data.num_items, [c.column.name for c in data.user_columns]
      (8, 400, ['gender', 'age'])
    """
    config = SyntheticConfig() if config is None else config
    rng = np.random.default_rng(config.seed)
    category = np.resize(np.arange(config.groups), config.items)
    second = rng.integers(config.groups, size=config.items)
    second = np.where(rng.random(config.items) < 0.3, second, category)
    centres = rng.normal(size=(config.groups, config.latent))
    factors = 0.7 * centres[category] + 0.7 * rng.normal(size=(config.items, config.latent))
    factors = (factors / math.sqrt(config.latent)).astype(np.float32)
    popularity = rng.normal(scale=0.7, size=config.items).astype(np.float32)
    gender = rng.integers(len(_GENDERS), size=config.users)
    age = rng.integers(len(_AGES), size=config.users)
    affinity = rng.normal(scale=1.5, size=(len(_GENDERS) * len(_AGES), config.groups))
    affinity = affinity.astype(np.float32)
    profile = gender * len(_AGES) + age

    low, high = max(8, config.interactions // 4), min(4 * config.interactions, config.items // 2)
    counts = np.clip(
        np.rint(rng.gamma(4.0, config.interactions / 4.0, size=config.users)), low, high
    ).astype(np.int64)
    newest = np.ceil(_RECENT_FRACTION * (counts - 2) - 1e-9).astype(np.int64) + 2

    size = min(config.items, max(_POOL, high))
    parts = []
    for start in range(0, config.users, _CHUNK):
        rows = slice(start, min(start + _CHUNK, config.users))
        width = rows.stop - rows.start
        pool = _pools(rng, width, num_items=config.items, size=size)
        taste, drift = rng.normal(size=(2, width, config.latent)).astype(np.float32)
        liked = affinity[profile[rows]]
        if config.items <= _SCORED_WHOLE:
            central = 2.0 * config.central_strength * (taste @ factors.T + popularity)
            private = liked[:, category] + 2.0 * drift @ factors.T
            before = np.take_along_axis(central, pool, 1)
            after = np.take_along_axis(central + config.private_strength * private, pool, 1)
        else:
            inside = factors[pool]
            before = np.einsum("rl,rpl->rp", taste, inside) + popularity[pool]
            before *= 2.0 * config.central_strength
            private = np.take_along_axis(liked, category[pool], 1)
            private += 2.0 * np.einsum("rl,rpl->rp", drift, inside)
            after = before + config.private_strength * private
        picked = _pick(
            rng,
            before=before,
            after=after,
            counts_before=(counts - newest)[rows],
            counts_after=newest[rows],
        )
        parts.append((pool[picked] + 1).astype(np.int32))

    users = np.repeat(np.arange(config.users, dtype=np.int32), counts)
    gaps = rng.integers(60, 86_400, size=len(users))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    elapsed = np.cumsum(gaps)
    elapsed -= np.repeat(elapsed[offsets[:-1]], counts)
    first = rng.integers(_EPOCH_SECONDS, _EPOCH_SECONDS + 30 * 86_400, size=config.users)
    genders, ages, categories = SYNTHETIC_SCHEMA.columns
    words = [
        f"category{a}" if a == b else f"category{a} category{b}"
        for a, b in zip(category, second, strict=True)
    ]
    return Dataset(
        name="synthetic",
        schema=SYNTHETIC_SCHEMA,
        user_tokens=tuple(map(str, range(1, config.users + 1))),
        item_tokens=tuple(map(str, range(1, config.items + 1))),
        users=users,
        items=np.concatenate(parts),
        timestamps=(elapsed + np.repeat(first, counts)).astype(np.int64),
        user_columns=(
            encode_column(genders, [_GENDERS[code] for code in gender], padding=False),
            encode_column(ages, [_AGES[code] for code in age], padding=False),
        ),
        item_columns=(encode_column(categories, words, padding=True),),
    )


def _pools(
    rng: np.random.Generator, rows: int, *, num_items: int, size: int
) -> npt.NDArray[np.int64]:
    """Returns `[rows, size] int64`: distinct items (from 0) for each row.

    A walk over a shuffled catalogue with a stride coprime to its size visits
    no item twice, at the cost of one addition per entry.
    """
    catalogue = rng.permutation(num_items)
    strides = np.arange(1, num_items + 1)
    strides = strides[np.gcd(strides, num_items) == 1]
    begin = rng.integers(num_items, size=(rows, 1))
    walk = begin + rng.choice(strides, size=(rows, 1)) * np.arange(size)
    return np.asarray(catalogue[walk % num_items], np.int64)


def _pick(
    rng: np.random.Generator,
    *,
    before: npt.NDArray[np.float32],
    after: npt.NDArray[np.float32],
    counts_before: npt.NDArray[np.int64],
    counts_after: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Picks distinct pool entries for each row, in two phases.

    Args:
      rng: the generator.
      before: `[rows, pool] float32` logits before the drift.
      after: `[rows, pool] float32` logits after it.
      counts_before: `[rows] int64`, how many to pick by `before`.
      counts_after: `[rows] int64`, how many more to pick by `after`.

    Returns:
      Index arrays (row, entry), row by row, each row in time order.
    """
    first = _gumbel_order(rng, before)[:, : int(counts_before.max())]
    in_first = np.arange(first.shape[1]) < counts_before[:, None]
    left = after.copy()
    taken = np.where(in_first, -np.inf, np.take_along_axis(left, first, 1))
    np.put_along_axis(left, first, taken.astype(np.float32), 1)
    second = _gumbel_order(rng, left)[:, : int(counts_after.max())]
    in_second = np.arange(second.shape[1]) < counts_after[:, None]
    entries = np.concatenate([first, second], axis=1)
    valid = np.concatenate([in_first, in_second], axis=1)
    # The best-liked item must not always come first: shuffle within a phase.
    moment = rng.random(entries.shape, dtype=np.float32)
    moment[:, first.shape[1] :] += 1.0
    order = np.argsort(np.where(valid, moment, np.inf), axis=1)
    kept = np.take_along_axis(valid, order, 1)
    return np.nonzero(kept)[0], np.take_along_axis(entries, order, 1)[kept]


def _gumbel_order(
    rng: np.random.Generator, logits: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Orders each row by logits + Gumbel noise: sampling without replacement."""
    noise = -np.log(rng.standard_exponential(logits.shape, dtype=np.float32) + 1e-20)
    return np.argsort(-(logits + noise), axis=1)
