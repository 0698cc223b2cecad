"""What several recommenders of one run share: input spaces, and fits of the library's own cloud.

They are most of what building a recommender costs, and a run builds several over the same view:
the quick references, the cloud alone in two forms, the upper bound. What a space or a fit depends
on decides whether it is shared, so that a recommender with another view, other blocks or another
seed gets one of its own. Nothing is kept but what comes from views of the cloud.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cloud.input_space import InputSpace, build_input_space
from cloud.parts import labelled_positions, user_states
from cloud.recommender import CloudRecommender
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.config.cloud_names import BUILT_IN_CLOUD
from ecct_tf.data import CloudView, EncodedColumn

__all__ = ["InputSpaces", "digest"]

Array = npt.NDArray[np.float32]

# What the towers and their training read; all other fields, future ones too, are in the key.
_NOT_READ = frozenset(
    {
        "model", "free_dim", "hidden_dim", "fit_epochs", "update_epochs", "batch_size",
        "update_batch_size", "learning_rate", "negatives", "tail", "l2", "distillation_weight",
        "temperature", "label_visibility", "staleness_half_life", "query_top_share",
        "answer_ridge", "answers_kept", "downlink_rate",
    }
)  # fmt: skip

# Of each kind. A run has two views, the cloud's and one for starting weights, and three fits.
_KEPT = 8

ValueT = TypeVar("ValueT")


class InputSpaces:
    """Computes what is shared once and keeps the newest of each kind; a run makes one.

    >>> len(InputSpaces())
    0
    """

    def __init__(self) -> None:
        """Begins with nothing."""
        self._kept: dict[str, dict[Hashable, Any]] = {}

    def __len__(self) -> int:
        """How many spaces it has."""
        return len(self._kept.get("space", ()))

    def of(
        self, view: CloudView, config: CloudConfig, *, features: FeatureConfig, seed: int
    ) -> InputSpace:
        """The space that `build_input_space` gives for the same arguments, bit for bit."""
        return self.once(
            "space",
            _space_key(view, config, features=features, seed=seed),
            lambda: build_input_space(view, config, features=features, seed=seed),
        )

    def fitted(
        self,
        view: CloudView,
        config: CloudConfig,
        *,
        features: FeatureConfig,
        edge_dim: int,
        num_queries: int,
        seed: int,
        held_out_share: float = 0.0,
        recent: Array | None = None,
    ) -> CloudRecommender:
        """A recommender of its own, bit for bit as `CloudRecommender.fit` leaves it.

        Its space is shared; of the library's own cloud, also what it reads and what it learned.
        No key can say whether two custom clouds are the same: each of them is fitted. The
        arguments are those of `CloudRecommender`, and `recent` of its space, which no tower reads.
        """
        space = self.of(view, config, features=features, seed=seed)
        if recent is not None:
            space = dataclasses.replace(space, recent=recent)
        own = config.model != BUILT_IN_CLOUD
        key = _space_key(view, config, features=features, seed=seed)
        cloud = CloudRecommender(
            view,
            config,
            features=features,
            edge_dim=edge_dim,
            num_queries=num_queries,
            seed=seed,
            space=space,
            states=None if own else self.once("states", key, lambda: user_states(view, space)),
            positions=lambda: self.once(
                "positions", (key, config.tail), lambda: labelled_positions(view, config, space)
            ),
            held_out_share=held_out_share,
        )

        def learn() -> dict[str, Array]:
            cloud.fit()
            return cloud.snapshot()

        if own:
            cloud.fit()
        else:
            cloud.restore(self.once("fit", (key, config, edge_dim, held_out_share), learn))
        return cloud

    def once(self, kind: str, key: Hashable, compute: Callable[[], ValueT]) -> ValueT:
        """What `compute` gave when it was first called for `kind` and `key`.

        Args:
          kind: what is computed.
          key: all that it depends on.
          compute: computes it, from views of the cloud and nothing else.
        """
        kept = self._kept.setdefault(kind, {})
        value: ValueT = kept.pop(key) if key in kept else compute()
        kept[key] = value
        if len(kept) > _KEPT:
            del kept[next(iter(kept))]
        return value


def _space_key(
    view: CloudView, config: CloudConfig, *, features: FeatureConfig, seed: int
) -> Hashable:
    settings = tuple(
        (field.name, getattr(config, field.name))
        for field in dataclasses.fields(config)
        if field.name not in _NOT_READ
    )
    return digest(view), settings, features, seed


def digest(view: CloudView) -> str:
    """SHA-256 of all that a view holds, in hexadecimal."""
    older = view.older
    columns: tuple[EncodedColumn, ...] = (*view.items.columns, *view.users.columns)
    digest = hashlib.sha256(repr((view.num_users, view.num_items)).encode())
    arrays: tuple[npt.NDArray[Any], ...] = (older.items, older.offsets, older.timestamps)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    for column in columns:
        digest.update(repr((column.column, column.vocabulary)).encode())
        digest.update(f"{column.values.dtype}{column.values.shape}".encode())
        digest.update(np.ascontiguousarray(column.values).data)
    return digest.hexdigest()
