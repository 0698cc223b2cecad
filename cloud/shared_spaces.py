"""Input spaces that several recommenders of one run share.

A space is most of what building a recommender costs, and a run builds several over the same
view: the quick references, the cloud alone in two forms, the upper bound. What a space depends
on decides whether it is shared, so that a recommender with another view, other blocks or
another seed gets one of its own.
"""

import dataclasses
import hashlib
from typing import Any

import numpy.typing as npt

from cloud.input_space import InputSpace, build_input_space
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.data import CloudView, EncodedColumn

__all__ = ["InputSpaces"]

# What the towers and their training read; all other fields, future ones too, are in the key.
_NOT_READ = frozenset(
    {
        "model", "free_dim", "hidden_dim", "fit_epochs", "update_epochs", "batch_size",
        "update_batch_size", "learning_rate", "negatives", "tail", "l2", "distillation_weight",
        "temperature", "label_visibility", "staleness_half_life", "query_top_share",
        "answer_ridge", "answers_kept", "downlink_rate",
    }
)  # fmt: skip

_Key = tuple[str, tuple[tuple[str, object], ...], FeatureConfig, int]


class InputSpaces:
    """Computes each space once and keeps it; a run makes one and passes it along.

    >>> len(InputSpaces())
    0
    """

    def __init__(self) -> None:
        """Begins with none."""
        self._kept: dict[_Key, InputSpace] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(
        self, view: CloudView, config: CloudConfig, *, features: FeatureConfig, seed: int
    ) -> InputSpace:
        """The space that `build_input_space` gives for the same arguments, bit for bit."""
        settings = tuple(
            (field.name, getattr(config, field.name))
            for field in dataclasses.fields(config)
            if field.name not in _NOT_READ
        )
        key = (_digest(view), settings, features, seed)
        if key not in self._kept:
            self._kept[key] = build_input_space(view, config, features=features, seed=seed)
        return self._kept[key]


def _digest(view: CloudView) -> str:
    """SHA-256 of all that a view holds, in hexadecimal."""
    older = view.older
    columns: tuple[EncodedColumn, ...] = (*view.items.columns, *view.users.columns)
    digest = hashlib.sha256(repr((view.num_users, view.num_items)).encode())
    arrays: tuple[npt.NDArray[Any], ...] = (older.items, older.offsets, older.timestamps)
    for array in arrays:
        digest.update(array.tobytes())
    for column in columns:
        digest.update(repr((column.column, column.vocabulary)).encode())
        digest.update(f"{column.values.dtype}{column.values.shape}".encode())
        digest.update(column.values.tobytes())
    return digest.hexdigest()
