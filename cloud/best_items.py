"""Which items a ranker has rows for: its own choice, from its own view alone."""

import functools
import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.exchange_model import ExchangeModel
from cloud.ranker_model import RankerModel
from cloud.user_states import UserStates
from ecct_tf.config import CloudConfig
from ecct_tf.data import CloudView
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import CloudRows

__all__ = ["RankedItems", "choose_rows", "popular_items", "ranked_items"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

# Bounds the pairs that are scored at once.
_PAIRS_AT_ONCE = 1 << 16


class RankedItems:
    """The best guesses for each user out of the whole catalog, without what the cloud knows.

    By the model that downlinks are made with. They are kept as long as that stays as it is, since
    every pair of a user and an item is scored for them.

    Args:
      view: the cloud's side of the data.
      model: scores pairs.
      states: `[users] int32`, the model's states of the users.
      config: how many rows there are, and for which share of them items are popular.
      num_queries: Q.
    """

    def __init__(
        self,
        view: CloudView,
        model: RankerModel,
        *,
        states: Ids,
        config: CloudConfig,
        num_queries: int,
    ) -> None:
        self._view, self._model, self._states = view, model, states
        self._config = config
        self._num_rows = config.rows
        # Queries are drawn out of four times as many best guesses.
        wanted = max(config.rows, 4 * round(num_queries * config.query_top_share), 1)
        self._count = min(wanted, view.num_items)
        self._version = b""
        self._kept: dict[int, tuple[Ids, Array]] = {}

    def rows(self, users: Ids, *, asked: Ids) -> CloudRows:
        """The rows of downlinks, `[n, K]`.

        Args:
          users: `[n] int32`.
          asked: `[n, Q] int32`, what their devices are asked about.
        """
        best, _ = self._best(users)
        chosen = np.zeros((len(users), self._num_rows), np.int32)
        for row, user in enumerate(users.tolist()):
            chosen[row] = choose_rows(
                asked=asked[row],
                best=best[row],
                popular=self._popular,
                known=self._view.older.of(user),
                size=self._num_rows,
                popular_share=self._config.popular_rows,
            )
        embeddings, logits = self._model.sent_pairs(self._states[users], chosen)
        return CloudRows(chosen, embeddings.numpy(), logits.numpy())

    def logits(self, users: Ids) -> Array:
        """`z_c` of the best guesses of `users` `[n]` among all items: `[n, items]`, else -inf."""
        best, found = self._best(users)
        logits = np.full((len(users), self._view.num_items + 1), -np.inf, np.float32)
        np.put_along_axis(logits, best, found, axis=1)
        return logits[:, 1:]

    @functools.cached_property
    def _popular(self) -> Ids:
        return popular_items(self._view)

    def _best(self, users: Ids) -> tuple[Ids, Array]:
        """The best first, `[n, count]`, and their logits; 0 and -inf where there are fewer."""
        digest = hashlib.sha256()
        for variable in self._model.sent:
            digest.update(variable.numpy().tobytes())
        if digest.digest() != self._version:
            self._version, self._kept = digest.digest(), {}
        missing = np.array([each for each in users.tolist() if each not in self._kept], np.int32)
        step = max(_PAIRS_AT_ONCE // self._view.num_items, 1)
        for start in range(0, len(missing), step):
            self._add(missing[start : start + step])
        kept = [self._kept[user] for user in users.tolist()]
        shape = (len(users), self._count)
        return (
            np.array([items for items, _ in kept], np.int32).reshape(shape),
            np.array([logits for _, logits in kept], np.float32).reshape(shape),
        )

    def _add(self, users: Ids) -> None:
        number = self._view.num_items
        logits = np.empty((len(users), number), np.float32)
        width = max(_PAIRS_AT_ONCE // len(users), 1)
        for start in range(0, number, width):
            items = np.arange(start + 1, min(start + width, number) + 1, dtype=np.int32)
            tiled = np.broadcast_to(items, (len(users), len(items)))
            logits[:, items - 1] = self._model.sent_pairs(self._states[users], tiled)[1].numpy()
        for row, user in enumerate(users.tolist()):
            logits[row, self._view.older.of(user) - 1] = -np.inf
            best = np.argsort(-logits[row], kind="stable")[: self._count]
            found = logits[row, best]
            items = np.where(np.isfinite(found), best + 1, 0).astype(np.int32)
            self._kept[user] = items, found


def ranked_items(
    view: CloudView,
    model: ExchangeModel,
    *,
    states: npt.NDArray[Any] | UserStates,
    config: CloudConfig,
    num_queries: int,
) -> RankedItems | None:
    """The ranked items of a model that sends rows; None for any other.

    Raises:
      ConfigError: a downlink has fewer rows than items that it asks about.
    """
    if not isinstance(model, RankerModel):
        return None
    if config.rows < num_queries:
        raise ConfigError(
            f"cloud.rows: expected at least exchange.queries={num_queries}, since a device answers "
            f"with what the cloud says of the items it is asked about, got {config.rows}"
        )
    return RankedItems(
        view, model, states=np.asarray(states), config=config, num_queries=num_queries
    )


def popular_items(view: CloudView) -> Ids:
    """All items, those with most older interactions first, `[items] int32`."""
    counts = view.item_counts[1:]
    return (1 + np.argsort(-counts, kind="stable")).astype(np.int32)


def choose_rows(
    *, asked: Ids, best: Ids, popular: Ids, known: Ids, size: int, popular_share: float
) -> Ids:
    """The items that a user's downlink has rows for.

    First those that the device is asked about, then, of the places that are left, a share for
    popular items and the rest for the best guesses. Nothing but the arguments goes in, all of
    which the cloud has made itself.

    Args:
      asked: items that the cloud asks about, at most `size` different ones.
      best: its best guesses, the best first; 0 for none.
      popular: popular items, the most popular first.
      known: what the cloud knows that the user touched, for which rows would be wasted.
      size: K.
      popular_share: share of the places.

    Returns:
      `[K] int32`, ascending, each once, then 0 where there are not so many.

    Example:
      >>> ids = [np.array(each, np.int32) for each in ([9, 9], [4, 2, 5, 6], [1, 2, 3], [1])]
      >>> names = ("asked", "best", "popular", "known")
      >>> choose_rows(**dict(zip(names, ids)), size=6, popular_share=0.4).tolist()
      [2, 3, 4, 5, 6, 9]
    """
    taken = dict.fromkeys(np.unique(asked[asked > 0]).tolist())
    closed = set(known.tolist()) | {0}
    places = max(size - len(taken), 0)
    for source, share in ((popular, popular_share), (best, 1.0), (popular, 1.0)):
        wanted = size if share == 1.0 else len(taken) + round(share * places)
        for item in source.tolist():
            if len(taken) >= wanted:
                break
            if item not in closed:
                taken.setdefault(item)
    rows = np.zeros(size, np.int32)
    rows[: len(taken)] = sorted(taken)
    return rows
