"""The history that a job may read, and what it keeps of it to measure itself."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.retraining.config import JobConfig
from cloud.vocabulary import Vocabulary, renumber
from ecct_tf.data import (
    CloudView,
    OlderInteractions,
    cloud_view,
    load_dataset,
    refuse_heavy_users,
    sample_distinct_negatives,
    split_dataset,
    undivided,
    without_heavy_users,
)
from ecct_tf.errors import DataError

__all__ = ["History", "Validation", "hold_out", "load_history"]

Ids = npt.NDArray[np.int32]

# One interaction to learn from must stay before the one that is held out, and one before it.
_LEAST = 3


@dataclasses.dataclass(frozen=True)
class History:
    """The cloud's side of the data, in the registry's numbers.

    Attributes:
      view: what the cloud knows.
      vocabulary: of the view.
      fingerprint: SHA-256 of the view, in hexadecimal.
    """

    view: CloudView
    vocabulary: Vocabulary
    fingerprint: str


@dataclasses.dataclass(frozen=True)
class Validation:
    """The newest interaction of each user that the cloud knows, held out of training.

    Attributes:
      view: the cloud's view without them.
      users: `[n] int32`.
      items: `[n, 1 + negatives] int32`; column 0 is what was held out.
    """

    view: CloudView
    users: Ids
    items: Ids


def load_history(config: JobConfig, *, known: Vocabulary | None, progress: bool) -> History:
    """Loads the data, drops what the cloud must not see and gives it the registry's numbers.

    Args:
      config: the job.
      known: the vocabulary of the last version, whose numbers stay; None for the first.
      progress: whether a download may show a bar.
    """
    dataset = load_dataset(config.data, seed=config.seed, progress=progress)
    older = config.history == "older"
    if older:
        split = split_dataset(config.data, dataset)
    else:
        split = without_heavy_users(undivided(dataset), max_item_share=config.data.max_item_share)
    view = cloud_view(dataset, split)
    own = Vocabulary(dataset.user_tokens, dataset.item_tokens)
    vocabulary = own if known is None else known.extended(own)
    renumbered = view if vocabulary == own else renumber(view, own, vocabulary)
    return History(renumbered, vocabulary, _fingerprint(renumbered, vocabulary))


def hold_out(
    view: CloudView, *, negatives: int, seed: int, user_tokens: Sequence[str] | None = None
) -> Validation:
    """Takes the newest interaction of each user with three or more out of the view.

    They come from the cloud's own older part: neither the validation and test interactions
    of an evaluation nor anything else that only a device has is looked at. Negatives are
    drawn for each user from (seed, user) alone.

    Args:
      view: what the cloud knows.
      negatives: how many negatives an interaction.
      seed: not negative.
      user_tokens: original ids by number, for messages.

    Raises:
      DataError: no user has three interactions, or one has touched too many items.
    """
    counts = np.diff(view.older.offsets)
    users = np.flatnonzero(counts >= _LEAST).astype(np.int32)
    if not len(users):
        raise DataError(
            f"expected a user with {_LEAST} or more interactions to measure quality with, the "
            "cloud's view has none; bring more data"
        )
    refuse_heavy_users(
        {user: len(np.unique(view.older.of(user))) for user in users.tolist()},
        num_items=view.num_items,
        needed=negatives,
        what=f"validation.negatives={negatives}",
        user_tokens=user_tokens,
    )
    held = view.older.offsets[users + 1] - 1
    kept = np.ones(len(view.older.items), np.bool_)
    kept[held] = False
    fewer = counts.copy()
    fewer[users] -= 1
    older = OlderInteractions(
        items=view.older.items[kept],
        offsets=np.concatenate([[0], np.cumsum(fewer)]),
        timestamps=view.older.timestamps[kept],
    )
    items = np.empty((len(users), 1 + negatives), np.int32)
    items[:, 0] = view.older.items[held]
    for row, user in enumerate(users):
        items[row, 1:] = sample_distinct_negatives(
            np.random.default_rng([seed, 5, int(user)]),
            positives=view.older.of(int(user)),
            num_items=view.num_items,
            size=negatives,
        )
    return Validation(dataclasses.replace(view, older=older), users, items)


def _fingerprint(view: CloudView, vocabulary: Vocabulary) -> str:
    digest = hashlib.sha256("\0".join((*vocabulary.users, "", *vocabulary.items)).encode())
    arrays: list[npt.NDArray[Any]] = [
        column.values for table in (view.items, view.users) for column in table.columns
    ]
    arrays += [view.older.items, view.older.offsets, view.older.timestamps]
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
