"""The history that a job may read, and what it keeps of it to measure itself."""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.columns import StoredColumns, recoded
from cloud.redaction import with_tombstones, without_users
from cloud.registry import Erased
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
from ecct_tf.data.clock import silence, tells_time
from ecct_tf.data.numbers import Scaling
from ecct_tf.data.profile import private_numbers, private_sets, private_words
from ecct_tf.errors import DataError

__all__ = ["HeldOut", "History", "Validation", "hold_out", "load_history"]

_log = logging.getLogger(__name__)

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
      profile_sizes: how many values each private categorical column has, in the order of the
        schema; of the columns themselves nothing is here.
      profile_numbers: how many private numeric columns there are.
      profile_sets: how many values each private column of several values has.
      profile_names: what the private categorical columns are called.
      number_rules: the public rule of each private number.
      set_names: what the private columns of several values are called.
    """

    view: CloudView
    vocabulary: Vocabulary
    fingerprint: str
    profile_sizes: tuple[int, ...] = ()
    profile_numbers: int = 0
    profile_sets: tuple[int, ...] = ()
    profile_names: tuple[str, ...] = ()
    number_rules: Mapping[str, Scaling] = dataclasses.field(default_factory=dict)
    set_names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Interactions that were held out, each among negatives.

    Attributes:
      users: `[n] int32`, ascending; of the gate's a user may have several rows.
      items: `[n, 1 + negatives] int32`; column 0 is what was held out.
    """

    users: Ids
    items: Ids


@dataclasses.dataclass(frozen=True)
class Validation(HeldOut):
    """What is held out of training: one interaction of each user for early stopping.

    Attributes:
      view: the cloud's view without all that is held out.
      gate: the newest interactions, which nothing but the gate looks at.
    """

    view: CloudView
    gate: HeldOut


def load_history(
    config: JobConfig,
    *,
    known: Vocabulary | None,
    columns: StoredColumns | None = None,
    erased: Erased | None = None,
    progress: bool,
) -> History:
    """Loads the data, drops what the cloud must not see and gives it the registry's numbers.

    Args:
      config: the job.
      known: the vocabulary of the last version, whose numbers stay; None for the first.
      columns: of the last version, where its cloud is one's own: their values keep their codes.
      erased: users who were erased from the registry: the data may still have them, the history
        does not.
      progress: whether a download may show a bar.
    """
    dataset = load_dataset(config.data, seed=config.seed, progress=progress)
    if config.features.clock and not tells_time(dataset.timestamps):
        _log.warning("%s", silence(dataset.name, dataset.timestamps))
    older = config.history == "older"
    if older:
        split = split_dataset(config.data, dataset)
    else:
        split = without_heavy_users(undivided(dataset), max_item_share=config.data.max_item_share)
    view = cloud_view(dataset, split)
    own = Vocabulary(dataset.user_tokens, dataset.item_tokens)
    gone = {} if erased is None else erased.places(dataset.user_tokens)
    if gone:
        view, own = without_users(view, [*gone]), with_tombstones(own, gone)
        _log.warning(
            "the data still have %d of the users who were erased; the job leaves them out. Remove "
            "them from the data, too",
            len(gone),
        )
    vocabulary = own if known is None else known.extended(own)
    renumbered = view if vocabulary == own else renumber(view, own, vocabulary)
    if columns is not None:
        renumbered = recoded(renumbered, columns)
    words, rules = private_words(dataset.user_columns), private_numbers(dataset.user_columns)
    sets = private_sets(dataset.user_columns)
    return History(
        renumbered,
        vocabulary,
        _fingerprint(renumbered, vocabulary),
        profile_sizes=tuple(len(known) for known in words.values()),
        profile_numbers=len(rules),
        profile_sets=tuple(len(known) for known in sets.values()),
        profile_names=tuple(words),
        number_rules=rules,
        set_names=tuple(sets),
    )


def hold_out(
    view: CloudView,
    *,
    negatives: int,
    gate: int,
    seed: int,
    most_to_stop: int | None = None,
    most_for_gate: int | None = None,
    user_tokens: Sequence[str] | None = None,
) -> Validation:
    """Takes the newest interactions of each user with three or more out of the view.

    The newest ones, up to `gate` and up to half of all but two, are the gate's; the one before
    them decides when to stop. Of users with three only one can be taken: it is the gate's of
    every other user. Where there are more users than are measured, those that are not drawn keep
    all their interactions in the view. All come from the cloud's own older part: neither the
    validation and test interactions of an evaluation nor anything else that only a device has is
    looked at.
    Negatives are drawn for each user from (seed, user) alone.

    Args:
      view: what the cloud knows.
      negatives: candidates beside each that is held out.
      gate: the most that the gate gets of a user.
      seed: of the negatives and of users that are drawn, not negative.
      most_to_stop: users to measure on after each epoch; None for all.
      most_for_gate: users whose interactions the gate gets; None for all.
      user_tokens: original ids by number, for messages.

    Raises:
      DataError: nobody has enough interactions, or one has touched too many items.
    """
    counts = np.diff(view.older.offsets)
    for_gate, for_stop = _shares(counts, gate)
    for_gate = _of_some(for_gate, most_for_gate, seed=[seed, 7])
    for_stop = _of_some(for_stop, most_to_stop, seed=[seed, 8])
    if not for_gate.any() or not for_stop.any():
        raise DataError(
            f"expected a user with {_LEAST + 1} interactions, or two with {_LEAST}, to measure "
            f"quality with, the cloud's view has none: the most are {counts.max(initial=0)}; "
            "bring more data"
        )
    refuse_heavy_users(
        {
            user: len(np.unique(view.older.of(user)))
            for user in np.flatnonzero(for_gate + for_stop).tolist()
        },
        num_items=view.num_items,
        needed=negatives,
        what=f"validation.negatives={negatives}",
        user_tokens=user_tokens,
    )
    kept = np.ones(len(view.older.items), np.bool_)
    ends = view.older.offsets[1:]
    places = {"stop": _newest(ends - for_gate, for_stop), "gate": _newest(ends, for_gate)}
    for _, held in places.values():
        kept[held] = False
    older = OlderInteractions(
        items=view.older.items[kept],
        offsets=np.concatenate([[0], np.cumsum(counts - for_gate - for_stop)]),
        timestamps=view.older.timestamps[kept],
    )
    stop, own = (
        _among(view, users, held, negatives=negatives, seed=[seed, stream])
        for stream, (users, held) in zip((5, 6), places.values(), strict=True)
    )
    return Validation(stop.users, stop.items, dataclasses.replace(view, older=older), own)


def _shares(counts: npt.NDArray[np.int64], gate: int) -> tuple[Any, Any]:
    """How many of each user's interactions are for the gate, and how many to stop by."""
    several = counts > _LEAST
    odd = np.arange(len(counts)) % 2 == 1
    for_gate = np.where(several, np.minimum(gate, (counts - 2) // 2), (counts == _LEAST) & odd)
    for_stop = np.where(several, 1, (counts == _LEAST) & ~odd)
    return for_gate.astype(np.int64), for_stop.astype(np.int64)


def _of_some(
    sizes: npt.NDArray[np.int64], most: int | None, *, seed: list[int]
) -> npt.NDArray[np.int64]:
    """`sizes` `[users]`, 0 but for at most so many users, who are drawn.

    Whoever was not drawn is not drawn among more users either: what a later job holds out, an
    earlier one of the chain had not trained on.
    """
    users = np.flatnonzero(sizes)
    if most is None or len(users) <= most:
        return sizes
    places = np.random.default_rng(seed).random(len(sizes))[users]
    drawn = users[np.argsort(places, kind="stable")[:most]]
    found = np.zeros_like(sizes)
    found[drawn] = sizes[drawn]
    return found


def _newest(ends: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> tuple[Ids, Any]:
    """The users and the places of the last `sizes` interactions before `ends`."""
    users = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(users)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return users.astype(np.int32), (ends - sizes)[users] + within


def _among(
    view: CloudView, users: Ids, places: npt.NDArray[np.int64], *, negatives: int, seed: list[int]
) -> HeldOut:
    items = np.empty((len(users), 1 + negatives), np.int32)
    items[:, 0] = view.older.items[places]
    rng, before = np.random.default_rng(seed), -1
    for row, user in enumerate(users.tolist()):
        if user != before:
            rng, before = np.random.default_rng([*seed, user]), user
        items[row, 1:] = sample_distinct_negatives(
            rng, positives=view.older.of(user), num_items=view.num_items, size=negatives
        )
    return HeldOut(users, items)


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
