"""The serving export of a cloud whose score is no product: the same signatures, pair by pair.

`retrieve` scores every item of the catalog for each user. A user who is not known counts as the
mean of 256 users, or of all where there are fewer.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.ranker_model import RankerModel
from cloud.serving import Retrieval, Serving, ServingContent, saved, variable_of
from ecct_tf.errors import ExportError
from ecct_tf.knowledge import ItemTable

__all__ = ["export_ranker_serving"]

Array = npt.NDArray[np.float32]

_MEMBERS = 256
_PAIRS = 1 << 16


def export_ranker_serving(
    content: ServingContent, path: Path, *, retrieval: Retrieval | None = None
) -> None:
    """Writes a SavedModel to `path`.

    Raises:
      ExportError: an index was asked for that finds items by products.
      StorageError: the system refused the write.
    """
    chosen = retrieval or Retrieval()
    if content.pairs is None or chosen.index != "brute_force":
        raise ExportError(
            "serving: expected a cloud of pairs and the index brute_force, which scores each of "
            f"them, got {chosen.index}; ScaNN looks items up by a product"
        )
    saved(_RankerServing(content, chosen), path)


class _RankerServing(Serving):
    """Scores pairs by the ranker, whose features lie beside it."""

    def __init__(self, content: ServingContent, retrieval: Retrieval) -> None:
        super().__init__(content, retrieval)
        if content.pairs is None:
            raise TypeError("expected a cloud of pairs")
        model = content.pairs
        # Keras keeps the layers, this module the arrays that they read.
        self._model = model.ranker
        queries, candidates = model.feature_rows
        count = len(content.users)
        self._queries = {name: variable_of(rows[:count]) for name, rows in queries.items()}
        self._candidates = {name: variable_of(rows) for name, rows in candidates.items()}
        self._pairs = model.scored_by(self._queries, self._candidates)
        means = _means(model, content.users)
        self._mean_embedding, self._mean_logit = (variable_of(part) for part in means)

    def _built_index(self, table: ItemTable, retrieval: Retrieval) -> Any:
        """None: nothing is looked up by a product."""
        del table, retrieval

    def _scored(self, rows: tf.Tensor, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`h_c` `[b, c, d_c]` and `z_c` `[b, c]` of items `[b, c]` of user rows `[b]`."""
        known = tf.minimum(rows, self._num_users - 1)
        embeddings, logits = self._pairs(known, items)
        weights = tf.gather(self._users, known)
        logits += tf.einsum("bd,bcd->bc", weights, embeddings)
        unknown = (rows == self._num_users)[:, None]
        return (
            tf.where(unknown[..., None], tf.gather(self._mean_embedding, items), embeddings),
            tf.where(unknown, tf.gather(self._mean_logit, items), logits),
        )

    def score(self, user: tf.Tensor, candidates: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """`z_c` and `h_c` of each candidate."""
        known = (candidates >= 0) & (candidates <= self._num_items)
        embeddings, logits = self._scored(self._user_rows(user), tf.where(known, candidates, 0))
        return {"logits": logits, "h_c": embeddings}

    def best(self, rows: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits `[b, count]` and items of the best of all, user by user."""
        everything = tf.range(1, self._num_items + 1)[None]

        def of_one(row: tf.Tensor) -> tf.Tensor:
            return self._scored(row[None], everything)[1][0]

        logits = tf.map_fn(of_one, rows, fn_output_signature=tf.float32)
        best, places = tf.math.top_k(logits, k=count)
        return best, places + 1


def _means(model: RankerModel, weights: Array) -> tuple[Array, Array]:
    """Mean `h_c` `[items + 1, d_c]` and `z_c` `[items + 1]` over some users, evenly chosen."""
    users = np.unique(np.linspace(0, len(weights) - 1, _MEMBERS).astype(np.int32))
    number = model.num_items
    embeddings = np.zeros((number + 1, model.width), np.float32)
    logits = np.zeros(number + 1, np.float32)
    step = max(_PAIRS // len(users), 1)
    for start in range(1, number + 1, step):
        items = np.arange(start, min(start + step, number + 1), dtype=np.int32)
        found, said = model.pairs(users, np.broadcast_to(items, (len(users), len(items))))
        added = np.einsum("nd,ncd->nc", weights[users], found.numpy())
        embeddings[items] = found.numpy().mean(axis=0)
        logits[items] = (said.numpy() + added).mean(axis=0)
    return embeddings, logits
