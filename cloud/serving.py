"""The serving export: a SavedModel that scores, retrieves, and hands out the item table.

It needs nothing of this package to be loaded: `tf.saved_model.load`, or TF Serving. Users and
items are given by number, or by their original id in the signatures that end in `_tokens`.

- `score` takes `user [b] int32` and `candidates [b, c] int32`, and gives `logits [b, c]` and
  `h_c [b, c, d_c]`.
- `retrieve` takes `user [b] int32`, `exclude [b, e] int32` and `exclude_known [b] bool`, and
  gives `items [b, K] int32` and `logits [b, K]`, the best first.
- `item_table` takes nothing and gives the arrays of the item table.

`score` is also the default signature. A user who is not known counts as the mean of all; an
item that is not known as row 0 of the table. Fewer than K items, when more is excluded, leave
item 0 (`''` for tokens) with the lowest float32 at the end.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from cloud.ranker_model import RankerModel
from cloud.version_files import StoredCloud
from cloud.vocabulary import Vocabulary
from ecct_tf.data import OlderInteractions
from ecct_tf.errors import ExportError
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_arrays import item_table_arrays
from ecct_tf.tensorflow_files import writing

__all__ = ["Retrieval", "Serving", "ServingContent", "export_serving", "saved", "variable_of"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_NOTHING_LEFT = float(np.finfo(np.float32).min)


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """How `retrieve` finds items.

    Attributes:
      top_k: K; at most the number of items.
      index: `brute_force`, exact; or `scann`, approximate, for catalogs of millions. ScaNN's
        SavedModel needs ScaNN's operators where it is loaded.
      leaves: of ScaNN's tree.
      leaves_searched: of them for each query.
      reordered: candidates that ScaNN scores exactly at the end.
    """

    top_k: int = 100
    index: Literal["brute_force", "scann"] = "brute_force"
    leaves: int = 100
    leaves_searched: int = 10
    reordered: int = 500

    def __post_init__(self) -> None:
        sizes = (self.top_k, self.leaves, self.leaves_searched, self.reordered)
        if self.index not in ("brute_force", "scann") or min(sizes) < 1:
            raise ExportError(
                "retrieval: expected index brute_force or scann and sizes of at least 1, got "
                f"{self}"
            )


@dataclasses.dataclass(frozen=True)
class ServingContent:
    """What a SavedModel is made of.

    Attributes:
      users: `[users, d_c] float32`, user embeddings as the cloud predicts with them; of a cloud
        that sends rows, the weights of `h_c` that uplinks add.
      table: the item table as published, before any codec.
      older: what the cloud knows of each user; `retrieve` can leave it out.
      vocabulary: original ids of users and items.
      pairs: what scores pairs, where the score is no product; else None.
    """

    users: Array
    table: ItemTable
    older: OlderInteractions
    vocabulary: Vocabulary
    pairs: RankerModel | None = None

    @classmethod
    def of(
        cls,
        stored: StoredCloud,
        *,
        everybody: Callable[[Callable[[Ids], Array]], Array] | None = None,
    ) -> "ServingContent":
        """The content of a stored version; its users with their uplinks fused in.

        Args:
          stored: the version.
          everybody: gives the embeddings of all users, out of a function that gives those of some;
            None calls it.
        """
        cloud = stored.recommender()

        def embeddings(users: Ids) -> Array:
            return cloud.user_embeddings(
                users, knowledge=stored.knowledge, round_number=stored.round_number
            )

        if everybody is None:
            users = embeddings(np.arange(len(stored.vocabulary.users), dtype=np.int32))
        else:
            users = everybody(embeddings)
        pairs = cloud.model if isinstance(cloud.model, RankerModel) else None
        return cls(users, stored.table, stored.older, stored.vocabulary, pairs)

    def __post_init__(self) -> None:
        users, items = len(self.users), self.table.num_items
        known = self.vocabulary
        found = (len(known.users), len(self.older.offsets) - 1, len(known.items))
        if found != (users, users, items):
            raise ExportError(
                f"serving: expected ids and histories of {users} users and ids of {items} items, "
                f"got {found[0]}, {found[1]} and {found[2]}; they come from different versions"
            )


def export_serving(
    content: ServingContent, path: Path, *, retrieval: Retrieval | None = None
) -> None:
    """Writes a SavedModel to `path`.

    Raises:
      ExportError: when ScaNN was asked for and is not installed.
      StorageError: the system refused the write.
    """
    saved(Serving(content, retrieval or Retrieval()), path)


def saved(module: "Serving", path: Path) -> None:
    """Writes a module with its signatures to `path`.

    Raises:
      StorageError: the system refused the write.
    """
    signatures = module.signatures()
    signatures["serving_default"] = signatures["score"]
    options = tf.saved_model.SaveOptions(
        namespace_whitelist=["Scann"] if module.approximate else None
    )
    with writing(path, way_out="the same command then writes it again"):
        tf.saved_model.save(module, str(path), signatures=signatures, options=options)


class Serving(tf.Module):
    """The variables and functions of the SavedModel."""

    def __init__(self, content: ServingContent, retrieval: Retrieval) -> None:
        super().__init__()
        table = content.table
        self._num_users = len(content.users)
        self._num_items = table.num_items
        self._k = min(retrieval.top_k, table.num_items)
        self.approximate = retrieval.index == "scann"
        unknown = content.users.mean(axis=0, keepdims=True)
        self._users = variable_of(np.concatenate([content.users, unknown]))
        self._table = {name: variable_of(value) for name, value in item_table_arrays(table).items()}
        self._vectors, self._bias = self._table["cloud"], self._table["bias"]
        self._known = variable_of(content.older.items)
        # The unknown user, last, knows nothing.
        ends = np.concatenate([content.older.offsets, content.older.offsets[-1:]])
        self._known_offsets = variable_of(ends)
        self._user_of = _lookup(content.vocabulary.users, start=0, missing=self._num_users)
        self._item_of = _lookup(content.vocabulary.items, start=1, missing=0)
        self._item_tokens = variable_of(
            np.array(["", *content.vocabulary.items], object), tf.string
        )
        self._index = self._built_index(table, retrieval)

    def _built_index(self, table: ItemTable, retrieval: Retrieval) -> Any:
        return _index(table, retrieval, k=self._k)

    def signatures(self) -> dict[str, Any]:
        """Concrete functions by name."""
        numbers, texts = (
            {
                "user": tf.TensorSpec([None], dtype, "user"),
                "candidates": tf.TensorSpec([None, None], dtype, "candidates"),
                "exclude": tf.TensorSpec([None, None], dtype, "exclude"),
                "flag": tf.TensorSpec([None], tf.bool, "exclude_known"),
            }
            for dtype in (tf.int32, tf.string)
        )
        found = {"item_table": tf.function(self.item_table).get_concrete_function()}
        for suffix, specs in (("", numbers), ("_tokens", texts)):
            score = tf.function(getattr(self, f"score{suffix}"))
            retrieve = tf.function(getattr(self, f"retrieve{suffix}"))
            found[f"score{suffix}"] = score.get_concrete_function(
                specs["user"], specs["candidates"]
            )
            found[f"retrieve{suffix}"] = retrieve.get_concrete_function(
                specs["user"], specs["exclude"], specs["flag"]
            )
        return found

    def score(self, user: tf.Tensor, candidates: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """`z_c` and `h_c = u ⊙ v` of each candidate."""
        known = (candidates >= 0) & (candidates <= self._num_items)
        items = tf.where(known, candidates, 0)
        users = tf.gather(self._users, self._user_rows(user))
        embeddings = users[:, None, :] * tf.gather(self._vectors, items)
        logits = tf.reduce_sum(embeddings, axis=-1) + tf.gather(self._bias, items)
        return {"logits": logits, "h_c": embeddings}

    def score_tokens(self, user: tf.Tensor, candidates: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """`score` by original ids."""
        return self.score(self._user_of.lookup(user), self._item_of.lookup(candidates))

    def retrieve(
        self, user: tf.Tensor, exclude: tf.Tensor, exclude_known: tf.Tensor
    ) -> Mapping[str, tf.Tensor]:
        """The K best items, best first, without `exclude` and, where asked, the known ones."""
        rows = self._user_rows(user)
        known = tf.gather(
            tf.RaggedTensor.from_row_splits(self._known, self._known_offsets, validate=False), rows
        ).to_tensor()
        excluded = tf.concat([exclude, tf.where(exclude_known[:, None], known, 0)], axis=1)
        # As many more are looked up as may have to be left out.
        count = tf.minimum(self._k + tf.shape(excluded)[1], self._num_items)
        logits, items = self.best(rows, count)
        taken = tf.vectorized_map(
            lambda pair: tf.reduce_any(pair[0][:, None] == pair[1][None, :], axis=1),
            (items, excluded),
        )
        best, places = tf.math.top_k(tf.where(taken, _NOTHING_LEFT, logits), k=self._k)
        found = tf.gather(items, places, batch_dims=1)
        return {"items": tf.where(best > _NOTHING_LEFT, found, 0), "logits": best}

    def best(self, rows: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits `[b, count]` and items of the best of all, of rows `[b] int32` of the users."""
        users = tf.gather(self._users, rows)
        queries = tf.concat([users, tf.ones_like(users[:, :1])], axis=1)
        logits, items = self._index(queries, k=count)
        return logits, items

    def retrieve_tokens(
        self, user: tf.Tensor, exclude: tf.Tensor, exclude_known: tf.Tensor
    ) -> Mapping[str, tf.Tensor]:
        """`retrieve` by original ids."""
        excluded = self._item_of.lookup(exclude)
        found = self.retrieve(self._user_of.lookup(user), excluded, exclude_known)
        return {"items": tf.gather(self._item_tokens, found["items"]), "logits": found["logits"]}

    def item_table(self) -> Mapping[str, tf.Tensor]:
        """The arrays from which `item_table` of `ecct_tf.knowledge.table_arrays` makes a table."""
        return {name: tf.identity(value) for name, value in self._table.items()}

    def _user_rows(self, user: tf.Tensor) -> tf.Tensor:
        known = (user >= 0) & (user < self._num_users)
        return tf.where(known, user, self._num_users)


def variable_of(values: npt.NDArray[Any], dtype: Any = None) -> tf.Variable:
    """A variable: constants would lie in the graph's file, which is limited to 2 GB."""
    return tf.Variable(tf.constant(values, dtype), trainable=False)


def _lookup(tokens: tuple[str, ...], *, start: int, missing: int) -> tf.lookup.StaticHashTable:
    numbers = np.arange(start, start + len(tokens), dtype=np.int32)
    entries = tf.lookup.KeyValueTensorInitializer(
        tf.constant(list(tokens), tf.string), tf.constant(numbers)
    )
    return tf.lookup.StaticHashTable(entries, missing)


def _index(table: ItemTable, retrieval: Retrieval, *, k: int) -> Any:
    """TFRS's layer over `[v, b]`, whose product with `[u, 1]` is `z_c`."""
    layers = tfrs.layers.factorized_top_k
    if retrieval.index == "brute_force":
        layer = layers.BruteForce(k=k)
    else:
        try:
            layer = layers.ScaNN(
                k=k,
                num_leaves=min(retrieval.leaves, table.num_items),
                num_leaves_to_search=min(retrieval.leaves_searched, table.num_items),
                num_reordering_candidates=min(retrieval.reordered, table.num_items),
            )
        except ImportError as error:
            raise ExportError(
                "retrieval by ScaNN needs the package scann, which is not installed: "
                "pip install 'ecct-tf[scann]', in a separate environment since it fixes "
                "TensorFlow's version; or use the index brute_force, which is exact"
            ) from error
    vectors = np.concatenate([table.cloud, table.bias[:, None]], axis=1)[1:]
    identifiers = tf.range(1, table.num_items + 1, dtype=tf.int32)
    return layer.index(tf.constant(vectors, tf.float32), identifiers)
