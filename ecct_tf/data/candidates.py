"""The items that an evaluated item is ranked against, fixed by a seed."""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ecct_tf.data._arrays import complement_items, owned
from ecct_tf.data.split import Split
from ecct_tf.errors import ConfigError, DataError

__all__ = ["Candidates", "evaluation_candidates"]

_PART_CODE = {"validation": 1, "test": 2}


@dataclass(frozen=True, eq=False)
class Candidates:
    """One row of candidates per evaluated user.

    Attributes:
      users: `[k] int32`.
      items: `[k, 1 + negatives] int32`; column 0 is the positive.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", owned(self.users, np.int32))
        object.__setattr__(self, "items", owned(self.items, np.int32))
        if self.users.ndim != 1 or self.items.ndim != 2 or len(self.users) != len(self.items):
            raise DataError(
                f"Candidates: expected users [k] and items [k, 1 + negatives], received shapes "
                f"{list(self.users.shape)} and {list(self.items.shape)}."
            )

    def save(self, path: str | Path) -> None:
        """Writes an .npz file at exactly `path`, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, users=self.users, items=self.items)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | Path) -> Candidates:
        """Reads what `save` wrote."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(users=stored["users"], items=stored["items"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path}: expected candidates as Candidates.save writes them: {error}. Delete the "
                "file to have them drawn again."
            ) from error


def evaluation_candidates(
    split: Split, *, part: Literal["validation", "test"], negatives: int = 99, seed: int
) -> Candidates:
    """Draws each user's candidates: the held-out item and uniform negatives.

    Negatives are drawn without replacement from the items that the user never
    touched in any part. A user's draw depends on (seed, part, user) alone, so
    that adding users changes nobody else's candidates.

    Args:
      split: the leave-one-out split.
      part: which held-out interaction is the positive.
      negatives: how many negatives a user.
      seed: the seed, not negative.
    """
    if part not in _PART_CODE:
        raise ConfigError(f"part must be one of {list(_PART_CODE)}, received {part!r}.")
    if negatives < 1 or seed < 0:
        raise ConfigError(
            f"negatives must be at least 1 and seed at least 0, received {negatives} and {seed}."
        )
    items = np.empty((len(split.users), 1 + negatives), np.int32)
    for row, user in enumerate(split.users.tolist()):
        touched = np.unique(split.touched(user))
        remaining = split.num_items - len(touched)
        if remaining < negatives:
            raise DataError(
                f"user {user} touched {len(touched)} of {split.num_items} items, which leaves "
                f"{remaining}, fewer than the {negatives} negatives asked for. Lower negatives."
            )
        rng = np.random.default_rng([seed, _PART_CODE[part], user])
        ranks = rng.choice(remaining, size=negatives, replace=False)
        items[row, 0] = split.validation(user) if part == "validation" else split.test(user)
        items[row, 1:] = complement_items(touched, ranks)
    return Candidates(users=split.users, items=items)
