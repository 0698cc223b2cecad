"""The best items for a user, by a model of a run."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config.parsing import near_miss
from ecct_tf.data import Candidates
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.plain_text import shown
from ecct_tf.runs.recommendations import Recommendations, TouchedItem
from ecct_tf.runs.scoring import RunScores
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.methods import model_name

__all__ = ["recommend", "user_number"]

# Bounds what the features of one user with all items take.
_ITEMS_AT_ONCE = 4096


class _Moment(NamedTuple):
    """When a user asks.

    Attributes:
      user: their number.
      position: how many of their interactions came before.
    """

    user: int
    position: int


def recommend(
    scores: RunScores, user: str | int, *, k: int = 10, side: str | None = None
) -> Recommendations:
    """The `k` best items of the whole catalog that a user had not met.

    Of a run with `exchange.items=candidates` a device ranks the items that it has rows of.

    It is the moment of the test: the history holds what came before the user's first tested
    interaction, in a temporal split without one all of theirs; models that read the time then get a
    silent clock. Items with equal scores keep the order of their numbers.

    Args:
      scores: of a run.
      user: their id.
      k: how many items.
      side: whose model; None for the edge, or the one that the run has.

    Raises:
      DataError: when there is no such user, or they take no part in the run.
      ConfigError: when `k` is no whole number from 1, or the run has no model of that side.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ConfigError(
            f"k: expected a list length of at least 1, received {shown(k)}. Usual: 10."
        )
    experiment, config = scores.experiment, scores.experiment.config
    moment = _moment(experiment, user)
    if side is None:
        side = "edge" if "edge" in scores.sides else scores.sides[0]
    dataset, split = experiment.dataset, experiment.split
    met = split.before(moment.user, moment.position)
    times = split.times_before(moment.user, moment.position)
    items = np.setdiff1d(scores.ranked_items(side, moment.user), met)
    found = _scores(scores, side, moment, items)
    best = np.argsort(-found, kind="stable")[:k]
    chosen = items[best].tolist()
    return Recommendations(
        user=dataset.user_tokens[moment.user],
        side=side,
        model=model_name(config, side),
        rounds=scores.rounds,
        items=tuple(dataset.item_tokens[item - 1] for item in chosen),
        scores=tuple(found[best].tolist()),
        titles=tuple(map(dataset.title, chosen)),
        history=tuple(
            TouchedItem(dataset.item_tokens[item - 1], dataset.title(item), second)
            for item, second in zip(met[::-1].tolist(), times[::-1].tolist(), strict=True)
        ),
    )


def user_number(experiment: Experiment, user: str | int) -> int:
    """The number of the user with the id `user`, who takes part in the run.

    Raises:
      DataError: when there is none, or they take no part.
    """
    dataset, split, token = experiment.dataset, experiment.split, _token(user)
    numbers = {other: number for number, other in enumerate(dataset.user_tokens)}
    if token not in numbers:
        some = ", ".join(map(repr, dataset.user_tokens[:3]))
        raise DataError(
            f"user {token!r}: expected the id of one of the {dataset.num_users:,} users of data "
            f"set {dataset.name!r}, such as {some}{near_miss(token, numbers)}"
        )
    number = numbers[token]
    if not split.includes(number):
        why = f"of {len(split.touched(number))} interactions the split leaves too few to train on"
        if number in split.heavy_users:
            why = "they met more of the catalog than data.max_item_share"
        raise DataError(f"user {token!r} takes no part in the run: {why}. Ask for another user.")
    return number


def _token(user: object) -> str:
    """An id as data sets have it: of a frame it may come as a float or as bytes."""
    if isinstance(user, float | np.floating) and user.is_integer():
        return str(int(user))
    if isinstance(user, bytes):
        return user.decode(errors="replace")
    return str(user)


def _moment(experiment: Experiment, user: str | int) -> _Moment:
    number, split, test = user_number(experiment, user), experiment.split, experiment.test
    tested = test.positions[test.users == number]
    position = int(tested[0]) if len(tested) else split.positions(number, "test").start
    return _Moment(number, position)


def _scores(
    scores: RunScores, side: str, moment: _Moment, items: npt.NDArray[np.int32]
) -> npt.NDArray[np.float32]:
    """`[items] float32`: the score of each."""
    who, when = np.array([moment.user], np.int32), np.array([moment.position], np.int64)
    parts = [
        scores.of(side, Candidates(who, when, items[None, start : start + _ITEMS_AT_ONCE]))[0]
        for start in range(0, len(items), _ITEMS_AT_ONCE)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])
