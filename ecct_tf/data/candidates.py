"""The items that an evaluated item is ranked against, fixed by a seed."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import complement_items, owned
from ecct_tf.data.heavy_users import refuse_heavy_users
from ecct_tf.data.split import Part, Split
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.files import write_atomically

__all__ = ["Candidates", "evaluated_positions", "evaluation_candidates"]

_PART_CODE = {"validation": 1, "test": 2}
_SAMPLE = 0x5A3D


@dataclass(frozen=True, eq=False)
class Candidates:
    """One row of candidates per evaluated interaction.

    Attributes:
      users: `[k] int32`, whose interaction it is; neighbours repeat where a
        user has several.
      positions: `[k] int64`, the interaction's index in its user's sequence:
        the history to rank with is `split.before(user, position)`.
      items: `[k, 1 + negatives] int32`; column 0 is the positive.
    """

    users: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", owned(self.users, np.int32))
        object.__setattr__(self, "positions", owned(self.positions, np.int64))
        object.__setattr__(self, "items", owned(self.items, np.int32))
        rows = self.users.shape
        if self.items.ndim != 2 or not rows == self.positions.shape == self.items.shape[:1]:
            raise DataError(
                f"Candidates: expected users [k], positions [k] and items [k, 1 + negatives], "
                f"received shapes {list(rows)}, {list(self.positions.shape)} and "
                f"{list(self.items.shape)}."
            )

    def of_users(self, users: npt.ArrayLike) -> Candidates:
        """The rows of some users, in their order."""
        rows = np.isin(self.users, users)
        return Candidates(
            users=self.users[rows], positions=self.positions[rows], items=self.items[rows]
        )

    def save(self, path: str | Path) -> None:
        """Writes an .npz file at exactly `path`, whole or not at all."""
        write_atomically(
            Path(path),
            lambda file: np.savez_compressed(
                file, users=self.users, positions=self.positions, items=self.items
            ),
        )

    @classmethod
    def load(cls, path: str | Path) -> Candidates:
        """Reads what `save` wrote."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(
                    users=stored["users"], positions=stored["positions"], items=stored["items"]
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: expected candidates as Candidates.save writes them: {error}. Delete the "
                "file to have them drawn again."
            ) from error


def evaluation_candidates(
    split: Split,
    *,
    part: Part,
    negatives: int = 99,
    seed: int,
    devices: int | None = None,
    user_tokens: Sequence[str] | None = None,
) -> Candidates:
    """Draws each held-out interaction's candidates: its item and uniform negatives.

    Negatives are drawn without replacement from the items that the user never
    touched in any part. A draw depends on (seed, part, user) alone, in the
    temporal split on the position too, so that adding users changes nobody
    else's candidates.

    In the temporal split an interaction with an item that its user had
    touched before is not evaluated: no negative was ever touched, so that a
    model would win by repeating what it knows. It stays in the histories of
    later interactions, and `split_report` counts it.

    Args:
      split: leave-one-out or temporal.
      part: which held-out interactions are the positives.
      negatives: how many negatives an interaction.
      seed: the seed, not negative.
      devices: of how many users, drawn by the seed alone and the same for both parts; None for all.
      user_tokens: original ids by number, for messages.

    Raises:
      DataError: a user has touched too many items to draw from the others, or
        nothing is left to evaluate.
    """
    if part not in _PART_CODE:
        raise ConfigError(f"part must be one of {list(_PART_CODE)}, received {part!r}.")
    if negatives < 1 or seed < 0:
        raise ConfigError(
            f"negatives must be at least 1 and seed at least 0, received {negatives} and {seed}."
        )
    tested = [
        (user, position)
        for user in _evaluated_users(split, devices=devices, seed=seed)
        for position in evaluated_positions(split, user, part)
    ]
    if not tested:
        needed = "2 training interactions" if split.cuts else "4 interactions"
        raise DataError(
            f"the {part} part holds no interaction to evaluate: {len(split.users)} of "
            f"{split.num_users} users have the {needed} that the split needs. Give more data, or "
            "change data.split and its fractions."
        )
    counts = {user: len(np.unique(split.touched(user))) for user, _ in tested}
    refuse_heavy_users(
        counts,
        num_items=split.num_items,
        needed=negatives,
        what=f"evaluation.negatives={negatives}",
        user_tokens=user_tokens,
    )
    items = np.empty((len(tested), 1 + negatives), np.int32)
    for row, (user, position) in enumerate(tested):
        mine = split.touched(user)
        touched = np.unique(mine)
        remaining = split.num_items - len(touched)
        # Leave-one-out has one position a user, which therefore stays out of the seed.
        entropy = [seed, _PART_CODE[part], user] + ([position] if split.cuts else [])
        ranks = np.random.default_rng(entropy).choice(remaining, size=negatives, replace=False)
        items[row, 0] = mine[position]
        items[row, 1:] = complement_items(touched, ranks)
    users, positions = zip(*tested, strict=True)
    return Candidates(users=np.array(users), positions=np.array(positions), items=items)


def _evaluated_users(split: Split, *, devices: int | None, seed: int) -> list[int]:
    users = split.users
    if devices is not None and devices < len(users):
        rng = np.random.default_rng([seed, _SAMPLE])
        users = np.sort(rng.choice(users, size=devices, replace=False))
    found: list[int] = users.tolist()
    return found


def evaluated_positions(split: Split, user: int, part: Part) -> list[int]:
    """The held-out positions of `user` that are evaluated.

    Leave-one-out evaluates all; the temporal split those with an item that the
    user had not touched before.
    """
    positions = split.positions(user, part)
    if split.cuts is None:
        return list(positions)
    items = split.touched(user).tolist()
    return [position for position in positions if items[position] not in items[:position]]
