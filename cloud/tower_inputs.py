"""What a custom cloud reads: named features, made of a `CloudView` and of nothing else."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cloud.features import CloudPositions, tail_length
from cloud.two_tower import Feature, Features
from ecct_tf.config import FeatureConfig
from ecct_tf.data import CentralizedTable, CloudView, Kind
from ecct_tf.edge.features import pad_history
from ecct_tf.errors import ConfigError

__all__ = ["TowerInputs", "tower_inputs", "tower_positions"]

_OWN = ("user_id", "item_id", "history", "timestamp")

Arrays = dict[str, npt.NDArray[Any]]


class TowerInputs(NamedTuple):
    """The features of a view, and the arrays that batches are gathered from.

    Attributes:
      queries: features of the query tower.
      candidates: features of the candidate tower.
      query_rows: by name `[2 * users, ...]`: row u is user u with the whole older history, row
        users + u the same without its newest part, which the labelled positions are.
      candidate_rows: by name `[items + 1, ...]`, row 0 the padding.
    """

    queries: Features
    candidates: Features
    query_rows: Arrays
    candidate_rows: Arrays


def tower_inputs(view: CloudView, *, features: FeatureConfig, tail: float) -> TowerInputs:
    """The features of `view`.

    Args:
      view: the cloud's side of the data.
      features: how long histories are.
      tail: share of each older history that serves as labelled positions.

    Raises:
      ConfigError: a column has a name that stands for something else.
    """
    users = np.arange(view.num_users, dtype=np.int32)
    wholes = [_situation(view, user, features, left_out=0) for user in users.tolist()]
    earlier = [
        _situation(view, user, features, left_out=tail_length(len(view.older.of(user)), tail))
        for user in users.tolist()
    ]
    histories = np.stack([history for history, _ in (*wholes, *earlier)])
    times = np.array([time for _, time in (*wholes, *earlier)], np.int64)
    query_rows: Arrays = {
        "user_id": np.tile(users, 2),
        "history": histories,
        "timestamp": times,
        **{name: np.concatenate([rows, rows]) for name, rows in _columns(view.users).items()},
    }
    candidate_rows: Arrays = {
        "item_id": np.arange(view.num_items + 1, dtype=np.int32),
        **_columns(view.items),
    }
    queries = Features(
        user_id=Feature("id", users, view.num_users),
        history=Feature("history", histories[: len(users)], view.num_items + 1),
        timestamp=Feature("timestamp", times[: len(users)]),
        **_features(view.users, padding=0),
    )
    candidates = Features(
        item_id=Feature("id", candidate_rows["item_id"][1:], view.num_items + 1),
        **_features(view.items, padding=1),
    )
    return TowerInputs(queries, candidates, query_rows, candidate_rows)


def tower_positions(view: CloudView, *, tail: float) -> CloudPositions:
    """The newest `tail` of each older history as targets, all seen from before the tail.

    Raises:
      ConfigError: nobody has two older interactions.
    """
    users, items = [], []
    for user in range(view.num_users):
        history = view.older.of(user)
        count = tail_length(len(history), tail)
        users.append(np.full(count, user, np.int32))
        items.append(history[len(history) - count :])
    everyone = np.concatenate(users)
    if not len(everyone):
        raise ConfigError(
            "the cloud has no positions to learn from: expected cloud.tail above 0 and a user "
            f"with two or more older interactions, got cloud.tail={tail} and at most "
            f"{max(map(len, map(view.older.of, range(view.num_users))), default=0)} of a user"
        )
    # A state is a row of the inputs: those before a tail follow those after whole histories.
    return CloudPositions(
        users=everyone,
        states=view.num_users + np.arange(view.num_users, dtype=np.int32),
        seen_from=everyone.astype(np.int64),
        items=np.concatenate(items).astype(np.int32),
    )


def _situation(
    view: CloudView, user: int, features: FeatureConfig, *, left_out: int
) -> tuple[npt.NDArray[np.int32], int]:
    """A user's history without its newest `left_out`, padded, and the time of the newest left."""
    size = len(view.older.of(user)) - left_out
    history = view.older.of(user)[:size]
    # Who has none counts as the earliest, so that times stay in the range of the others.
    earliest = int(view.older.timestamps.min(initial=np.iinfo(np.int64).max))
    time = int(view.older.times_of(user)[size - 1]) if size else earliest
    return pad_history(history, features.history_length), time


def _columns(table: CentralizedTable) -> Arrays:
    taken = [name for name in table.names if name in _OWN]
    if taken:
        raise ConfigError(
            f"column {taken[0]!r}: a cloud of your own reads {', '.join(_OWN)} under these names; "
            "rename the column in the schema, and give the file's own as its header"
        )
    return {column.column.name: column.values for column in table.columns}


def _features(table: CentralizedTable, *, padding: int) -> dict[str, Feature]:
    found = {}
    for column in table.columns:
        kind, words = column.column.kind, column.vocabulary
        size = {Kind.CATEGORICAL: len(words) + 1, Kind.MULTI_CATEGORICAL: len(words)}.get(kind, 0)
        found[column.column.name] = Feature(kind.value, column.values[padding:], size, words)
    return found
