"""Which rows of the item table the cloud sends each device, and what it then asks devices about.

A device that cannot hold a catalog holds rows of the items that the cloud ranks highest for its
user, of what the cloud knows of the user's newest interactions, and of a base that all devices
share. The choice follows from the cloud's view, its published table and its downlinks alone: a
device asks for nothing, so that it never names an item. The cloud asks about what it sent.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from cloud.best_items import popular_items
from cloud.best_products import IN_ONE_PIECE, BestProducts
from cloud.chunks import in_chunks
from cloud.guard import GuardedCloud
from cloud.queries import choose_queries
from cloud.recommender import CloudRecommender
from ecct_tf.config import CandidateRowsConfig
from ecct_tf.data import CloudView
from ecct_tf.data.held_items import HeldItems
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import CloudRows, ItemTable, KnowledgeStore

__all__ = ["AskingHeld", "choose_held_items"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_UNIFORM = 0x4E1D
# Bounds the scores of users and items that are held at once.
_PAIRS_AT_ONCE = 1 << 24
_USERS_AT_ONCE = 128


def choose_held_items(
    view: CloudView,
    table: ItemTable,
    config: CandidateRowsConfig,
    *,
    downlinks: Callable[[Ids], Array],
    newest: int,
    seed: int,
) -> HeldItems:
    """The rows that devices hold.

    Args:
      view: the cloud's side of the data.
      table: the item table as devices receive it.
      config: how many rows.
      downlinks: `(users [n]) -> u [n, d_c]`, as published.
      newest: L, rows of the newest interactions that the cloud knows of a user.
      seed: of the rows that are drawn uniformly.

    Raises:
      ConfigError: the cloud's score is no product, so that its table ranks nothing.
    """
    if table.row_dim:
        raise ConfigError(
            "exchange.items=candidates: expected a cloud whose score is a product of a user's and "
            "an item's part, by which rows are chosen, got one that sends rows of pairs; use "
            "exchange.items=table"
        )
    popular = popular_items(view)
    shared = popular[: config.popular]
    rng = np.random.default_rng([seed, _UNIFORM])
    others = popular[config.popular :]
    drawn = rng.choice(others, min(config.uniform, len(others)), replace=False)
    shared = np.sort(np.concatenate([shared, drawn])).astype(np.int32)
    if table.num_items > IN_ONE_PIECE:
        ranked, size = _in_blocks(table, shared, count=config.best), _USERS_AT_ONCE
    else:
        most = config.best + len(shared) + int(np.diff(view.older.offsets).max(initial=0))
        ranked, size = _whole(table, most), max(_PAIRS_AT_ONCE // table.num_items, 1)

    def chosen(users: Ids) -> Ids:
        known = [view.older.of(user) for user in users.tolist()]
        guesses = ranked(downlinks(users), known)
        rows = np.zeros((len(users), config.best + newest), np.int32)
        for row, (ids, old) in enumerate(zip(guesses, known, strict=True)):
            best = ids[(ids > 0) & ~np.isin(ids, np.concatenate([old, shared]))]
            own = np.union1d(best[: config.best], old[len(old) - min(newest, len(old)) :])
            rows[row, : len(own)] = own
        return rows

    everybody = np.arange(view.num_users, dtype=np.int32)
    return HeldItems(shared, in_chunks(chosen, everybody, size=size))


# `(u [n, d_c], what the cloud knows of each) -> [n, k]`, items from the best on.
_Ranked = Callable[[Array, list[Ids]], Ids]


def _whole(table: ItemTable, most: int) -> _Ranked:
    """By the scores of all items at once, without regard to what is known."""
    vectors = np.concatenate([table.cloud, table.bias[:, None]], axis=1)[1:]
    layer = tfrs.layers.factorized_top_k.BruteForce(k=min(most, table.num_items))
    layer.index(tf.constant(vectors, tf.float32), tf.range(1, table.num_items + 1, dtype=tf.int32))

    def ranked(users: Array, known: list[Ids]) -> Ids:
        del known
        queries = np.concatenate([users, np.ones((len(users), 1), np.float32)], axis=1)
        found: Ids = layer(tf.constant(queries))[1].numpy()
        return found

    return ranked


def _in_blocks(table: ItemTable, shared: Ids, *, count: int) -> _Ranked:
    """The same items but `shared` and known ones, block by block of a large catalog."""
    biases = table.bias[1:].astype(np.float32)
    biases[shared - 1] = -np.inf
    best = BestProducts(table.cloud[1:], biases)
    return lambda users, known: best.of(users, closed=known, count=count)


class AskingHeld:
    """Implements `ecct_tf.federated.TrainableCloud`: another one that asks about what it sent.

    Args:
      cloud: all that it does but asking.
      held: rows that devices hold.
      view: the cloud's side of the data; what it knows of a user it does not ask about.
      num_queries: Q.
      top_share: share of the questions drawn from the best guesses.
      seed: of the draws.
    """

    def __init__(
        self,
        cloud: CloudRecommender | GuardedCloud,
        held: HeldItems,
        view: CloudView,
        *,
        num_queries: int,
        top_share: float,
        seed: int,
    ) -> None:
        self._cloud, self._held, self._view = cloud, held, view
        self._num_queries, self._top_share, self._seed = num_queries, top_share, seed

    def queries(self, users: Ids, *, round_number: int) -> Ids:
        """`[n, Q] int32`: best guesses and uniform ones out of the rows of each device."""

        def asked(rows: Ids) -> Ids:
            pools = [np.setdiff1d(self._held.of(u), self._view.older.of(u)) for u in rows.tolist()]
            padded = np.zeros((len(rows), max(map(len, pools))), np.int32)
            for row, pool in enumerate(pools):
                padded[row, : len(pool)] = pool
            logits = self.scores(rows, padded, knowledge=None, round_number=round_number)
            chosen = np.empty((len(rows), self._num_queries), np.int32)
            for row, (user, pool) in enumerate(zip(rows.tolist(), pools, strict=True)):
                places = choose_queries(
                    np.random.default_rng([self._seed, 2, round_number, user]),
                    logits=logits[row, : len(pool)],
                    known=np.zeros(0, np.int32),
                    size=self._num_queries,
                    top_share=self._top_share,
                )
                chosen[row] = pool[places - 1]
            return chosen

        return in_chunks(asked, users, size=_USERS_AT_ONCE)

    def update(
        self, knowledge: KnowledgeStore, *, round_number: int, use_logits: bool
    ) -> dict[str, float]:
        """As the other."""
        return self._cloud.update(knowledge, round_number=round_number, use_logits=use_logits)

    def downlinks(self, users: Ids, *, round_number: int) -> Array | CloudRows:
        """As the other."""
        return self._cloud.downlinks(users, round_number=round_number)

    def publish(self) -> ItemTable:
        """As the other."""
        return self._cloud.publish()

    def user_embeddings(
        self, users: Ids, *, knowledge: KnowledgeStore | None, round_number: int
    ) -> Array:
        """As the other."""
        return self._cloud.user_embeddings(users, knowledge=knowledge, round_number=round_number)

    def scores(
        self,
        users: Ids,
        candidates: Ids,
        *,
        knowledge: KnowledgeStore | None,
        round_number: int,
    ) -> Array:
        """As the other."""
        return self._cloud.scores(users, candidates, knowledge=knowledge, round_number=round_number)

    def snapshot(self) -> dict[str, Array]:
        """As the other."""
        return self._cloud.snapshot()

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """As the other."""
        self._cloud.restore(snapshot)
