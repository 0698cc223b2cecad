"""The best items for a user, by a model of a run."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ecct_tf.config import EDGE_METHODS
from ecct_tf.data import Candidates
from ecct_tf.errors import ConfigError
from ecct_tf.plain_text import shown
from ecct_tf.runs.recommendations import Recommendations, TouchedItem
from ecct_tf.runs.scoring import RunScores
from ecct_tf.runs.users import user_number, why_left_out
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.methods import model_name

__all__ = ["recommend"]

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

    A user with too few interactions for the split has no device in the run. Edge models serve them
    as somebody who comes now, with all of their history: see `ecct_tf.runs.newcomers`.

    Args:
      scores: of a run.
      user: their id.
      k: how many items.
      side: whose model; None for the edge, or the one that the run has.

    Raises:
      DataError: when there is no such user, or they take no part in the run and it has no model
        for a new user.
      ConfigError: when `k` is no whole number from 1, or the run has no model of that side.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ConfigError(
            f"k: expected a list length of at least 1, received {shown(k)}. Usual: 10."
        )
    experiment, config = scores.experiment, scores.experiment.config
    dataset, split = experiment.dataset, experiment.split
    number = user_number(experiment, user, newcomers=config.method in EDGE_METHODS)
    moment = _moment(experiment, number)
    if side is None:
        side = "edge" if "edge" in scores.sides else scores.sides[0]
    scores.check_side(side)
    score, note = scores.of, ""
    if not split.includes(number):
        score = scores.newcomers.scores
        note = (
            f"User {dataset.user_tokens[number]!r} has no device in the run: "
            f"{why_left_out(split, number)}. {scores.newcomers.served_by(side)}"
        )
    met = split.before(number, moment.position)
    times = split.times_before(number, moment.position)
    items = np.setdiff1d(scores.ranked_items(side, number), met)
    found = _scores(functools.partial(score, side), moment, items)
    best = np.argsort(-found, kind="stable")[:k]
    chosen = items[best].tolist()
    return Recommendations(
        user=dataset.user_tokens[number],
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
        note=note,
    )


def _moment(experiment: Experiment, number: int) -> _Moment:
    split, test = experiment.split, experiment.test
    if not split.includes(number):
        return _Moment(number, len(split.touched(number)))
    tested = test.positions[test.users == number]
    position = int(tested[0]) if len(tested) else split.positions(number, "test").start
    return _Moment(number, position)


def _scores(
    score: Callable[[Candidates], npt.NDArray[np.float32]],
    moment: _Moment,
    items: npt.NDArray[np.int32],
) -> npt.NDArray[np.float32]:
    """`[items] float32`: the score of each."""
    who, when = np.array([moment.user], np.int32), np.array([moment.position], np.int64)
    parts = [
        score(Candidates(who, when, items[None, start : start + _ITEMS_AT_ONCE]))[0]
        for start in range(0, len(items), _ITEMS_AT_ONCE)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])
