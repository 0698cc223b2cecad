"""Logits of a cohort's edge models; interaction features that repeat are computed once."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import FeatureConfig
from ecct_tf.edge import Interactions, ItemTensors, interaction_features, no_slots, pair_inputs
from ecct_tf.federated import DeviceWork
from ecct_tf.simulation.requests import Asked

__all__ = ["EdgeScorer"]

Array = npt.NDArray[np.float32]
Weights = Callable[[slice], Array]

_CHUNK = 256
_KEPT_BYTES = 128 * 2**20
_CANDIDATES = tf.TensorSpec([None, None], tf.int32)


class _Features(NamedTuple):
    """Of the candidates of some rows: `[r, K, F]` and `[r, K, L or 0, blocks] float32`."""

    features: tf.Tensor
    slots: tf.Tensor


class EdgeScorer:
    """Scores candidates with the edge models of one cohort.

    Nothing in interaction features is trained: validation asks for the same ones after each round.
    What is asked for a second time is kept, up to a bound.
    """

    def __init__(
        self,
        work: DeviceWork,
        *,
        items: ItemTensors,
        features: FeatureConfig,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        """Takes what a cohort's devices have in common.

        Args:
          work: of the cohort.
          items: the item table as devices received it.
          features: how histories are pooled.
          kept_bytes: how much of the features stays.
        """
        self._work = work
        self._items = items
        self._config = features
        self._left_bytes = kept_bytes
        self._seen: set[bytes] = set()
        self._kept: dict[bytes, tuple[_Features, ...]] = {}
        self._compiled: dict[tuple[bool, int | None] | None, Callable[..., Any]] = {}

    def logits(
        self,
        asked: Asked,
        items: npt.NDArray[np.int32],
        *,
        known: Any,
        weights: Weights,
        use_logit: bool,
        target: int | None = None,
    ) -> Array:
        """Logits `[r, K] float32`.

        Args:
          asked: r rows.
          items: `[r, K] int32`, what is scored for each.
          known: what the devices of `asked.users` received of the cloud.
          weights: of some of the rows, `[n, P] float32`.
          use_logit: whether the models read the cloud's logit.
          target: of which further target, by its place; None for the logit that ranks.
        """
        chunks = [slice(start, start + _CHUNK) for start in range(0, len(items), _CHUNK)]
        result = np.zeros(items.shape, np.float32)
        for rows, found in zip(chunks, self._features(asked, items, chunks), strict=True):
            told = tf.nest.map_structure(partial(tf.gather, indices=asked.place[rows]), known)
            result[rows] = self._scoring(asked, told, use_logit=use_logit, target=target)(
                tf.constant(weights(rows)),
                tf.constant(asked.histories[rows]),
                tf.constant(items[rows]),
                tf.constant(asked.profiles[rows]),
                told,
                *found,
            ).numpy()
        return result

    def _features(
        self, asked: Asked, items: npt.NDArray[np.int32], chunks: Sequence[slice]
    ) -> Sequence[_Features]:
        digest = hashlib.sha256(items.tobytes())
        for part in (asked.histories, asked.clocks):
            digest.update(part.tobytes())
        key = digest.digest()
        if key in self._kept:
            return self._kept[key]
        compute = self._computing(asked)
        computed = tuple(
            compute(
                tf.constant(asked.histories[rows]),
                tf.constant(items[rows]),
                tf.constant(asked.clocks[rows]),
            )
            for rows in chunks
        )
        size = sum(part.dtype.size * int(tf.size(part)) for found in computed for part in found)
        if key in self._seen and size <= self._left_bytes:
            self._kept[key] = computed
            self._left_bytes -= size
        self._seen.add(key)
        return computed

    # Each is traced once, for any number of rows and candidates.

    def _computing(self, asked: Asked) -> Callable[..., _Features]:
        if None not in self._compiled:
            signature = [_rows(asked.histories), _CANDIDATES, _rows(asked.clocks)]
            self._compiled[None] = tf.function(
                self._compute, input_signature=signature, autograph=False
            )
        return self._compiled[None]

    def _scoring(
        self, asked: Asked, told: Any, *, use_logit: bool, target: int | None
    ) -> Callable[..., tf.Tensor]:
        key = use_logit, target
        if key not in self._compiled:
            spec = self._work.model.spec
            signature = [
                tf.TensorSpec([None, self._work.model.layout.size], tf.float32),
                _rows(asked.histories),
                _CANDIDATES,
                _rows(asked.profiles),
                tf.nest.map_structure(_rows, told),
                tf.TensorSpec([None, None, spec.interaction_dim], tf.float32),
                tf.TensorSpec([None, None, self._slots, spec.num_blocks], tf.float32),
            ]
            self._compiled[key] = tf.function(
                partial(self._score, use_logit, target), input_signature=signature, autograph=False
            )
        return self._compiled[key]

    @property
    def _slots(self) -> int:
        """History slots of which the model reads something each."""
        model = self._work.model
        return model.spec.history_length if model.reads_slots else 0

    def _compute(self, history: tf.Tensor, candidates: tf.Tensor, clock: tf.Tensor) -> _Features:
        found = interaction_features(
            self._items,
            block_sizes=self._work.block_sizes,
            config=self._config,
            history=history,
            candidates=candidates,
            clock=clock,
        )
        return _Features(found.features, found.slots if self._slots else no_slots(found))

    def _score(
        self,
        use_logit: bool,
        target: int | None,
        weights: tf.Tensor,
        history: tf.Tensor,
        candidates: tf.Tensor,
        profile: tf.Tensor,
        known: Any,
        features: tf.Tensor,
        slots: tf.Tensor,
    ) -> tf.Tensor:
        mask = tf.cast(history > 0, tf.float32)[:, None, :, None]
        lead = tf.concat([tf.shape(candidates), tf.shape(mask)[2:]], axis=0)
        inputs = pair_inputs(
            self._items,
            block_sizes=self._work.block_sizes,
            config=self._config,
            history=history,
            candidates=candidates,
            profile=profile,
            user_embeddings=known,
            use_logit=use_logit,
            use_embedding=self._work.task.uses_embeddings,
            reads_items=self._work.model.reads_items,
            interactions=Interactions(features, slots, tf.broadcast_to(mask, lead)),
        )
        outputs = self._work.model.forward(weights, inputs)
        if target is None or outputs.targets is None:
            return outputs.logit
        return outputs.targets[..., target]


def _rows(array: Any) -> tf.TensorSpec:
    """The type of any number of rows like these."""
    return tf.TensorSpec([None, *array.shape[1:]], tf.as_dtype(array.dtype))
