"""A run's models over the whole catalog, through the same scores as among sampled candidates."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data import Candidates, Split
from ecct_tf.evaluation import CatalogRanker, CatalogRanking
from ecct_tf.federated import Algorithm
from ecct_tf.simulation.experiment import Experiment

__all__ = ["CatalogPlan", "catalog_plan", "item_users", "rank_catalog"]

# Some seconds of a device's model on two cores.
_AUTO_PAIRS = 4_000_000
_ROWS_AT_ONCE = 4096
# Narrower blocks cost more for their number than for their items.
_FEWEST_AT_ONCE = 99


@dataclasses.dataclass(frozen=True)
class CatalogPlan:
    """Whose models are ranked over the whole catalog.

    Attributes:
      own: the models of the run itself.
      references: those of its quick references.
      note: what to tell a reader who did not choose; empty otherwise.
    """

    own: bool
    references: bool
    note: str = ""


def catalog_plan(experiment: Experiment) -> CatalogPlan:
    """What `evaluation.catalog` means for the data of this run."""
    asked = experiment.config.evaluation.catalog
    if asked != "auto":
        return CatalogPlan(own=asked in ("own", "all"), references=asked == "all")
    if experiment.config.exchange.items == "candidates":
        return CatalogPlan(
            own=False,
            references=False,
            note="Not ranked over the whole catalog, of which devices hold rows of some items.",
        )
    rows, items = len(experiment.test.users), experiment.split.num_items
    if rows * items <= _AUTO_PAIRS:
        return CatalogPlan(own=True, references=False)
    return CatalogPlan(
        own=False,
        references=False,
        note=(
            f"Not ranked over the whole catalog: {rows:,} test interactions with {items:,} items "
            "take more than some seconds; evaluation.catalog=own ranks them."
        ),
    )


def rank_catalog(
    experiment: Experiment, algorithm: Algorithm[Any], state: Any
) -> dict[str, CatalogRanking]:
    """Ranks each tested item among all items that its user had not met before, by side.

    Left out is what came before the tested interaction: training and validation items, in the
    temporal split earlier test items too. The tested item itself always stays. One call of
    `algorithm.scores` has at most 4,096 rows and, beside the tested item, `evaluation.negatives`
    items (99 where that is less), as many as the sampled evaluation; what is kept between the
    calls are the rows' places and lists. Memory does not grow with the catalog.

    Args:
      experiment: the data; its test interactions are ranked.
      algorithm: whose scores.
      state: in which it is.
    """
    test, width = experiment.test, _width(experiment)
    parts: dict[str, list[CatalogRanking]] = {}
    for start in range(0, len(test.users), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        part = Candidates(test.users[rows], test.positions[rows], test.items[rows, :1])
        for side, found in _ranked(experiment, algorithm, state, part, width).items():
            parts.setdefault(side, []).append(found)
    return {side: CatalogRanking.joined(found) for side, found in parts.items()}


def item_users(split: Split) -> npt.NDArray[np.int64]:
    """`[num_items + 1] int64`: how many users met each item in training."""
    counts = np.zeros(split.num_items + 1, np.int64)
    for user in split.users.tolist():
        counts[np.unique(split.train(user))] += 1
    return counts


def _width(experiment: Experiment) -> int:
    return max(experiment.config.evaluation.negatives, _FEWEST_AT_ONCE)


def _ranked(
    experiment: Experiment, algorithm: Algorithm[Any], state: Any, part: Candidates, width: int
) -> dict[str, CatalogRanking]:
    num_items, k = experiment.split.num_items, experiment.config.evaluation.k
    positives = part.items[:, 0]
    rows, items = _left_out(experiment, part)
    rankers: dict[str, CatalogRanker] = {}
    for first in range(1, num_items + 1, width):
        block = np.arange(first, min(first + width, num_items + 1), dtype=np.int32)
        # Every block has one shape, for which no function is traced anew.
        asked = np.repeat(positives[:, None], 1 + width, axis=1)
        asked[:, 1 : 1 + len(block)] = block
        allowed = np.ones((len(positives), len(block)), np.bool_)
        low, high = np.searchsorted(items, [first, first + width])
        allowed[rows[low:high], items[low:high] - first] = False
        scores = algorithm.scores(state, Candidates(part.users, part.positions, asked))
        for side, found in scores.items():
            ranker = rankers.setdefault(side, CatalogRanker(positives, k=k))
            ranker.add(found[:, : 1 + len(block)], items=block, allowed=allowed)
    return {side: ranker.ranking() for side, ranker in rankers.items()}


def _left_out(
    experiment: Experiment, part: Candidates
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Row and item of what is not ranked, ordered by item: met before, or the tested item."""
    each = [
        np.append(experiment.met_before(int(user), int(position)), positive)
        for user, position, positive in zip(
            part.users, part.positions, part.items[:, 0], strict=True
        )
    ]
    rows = np.repeat(np.arange(len(each)), [len(mine) for mine in each])
    items = np.concatenate(each).astype(np.int32)
    order = np.argsort(items, kind="stable")
    return rows[order], items[order]
