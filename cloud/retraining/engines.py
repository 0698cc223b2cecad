"""How a step is computed: on one worker, or on several that must come to the same result.

Every worker makes the same batch, which is a pure function of seed, epoch and step, and
takes its share of the rows. A replica's loss is weighed by its share of the batch, the
regularisation by one over the number of replicas, and the gradients are summed: whatever
the number of workers, that is the gradient of the mean over the whole batch.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cloud.model import CloudModel

__all__ = ["Batch", "Engine", "ReplicaEngine", "rows_of", "share_of", "signature_of"]

Batch = Mapping[str, npt.NDArray[Any]]


class Engine(Protocol):
    """Computes training steps.

    Attributes:
      is_chief: whether this process writes what all share: metrics, checkpoints, versions.
      checkpoint_folder: where in the job's folder this process writes checkpoints.
    """

    is_chief: bool
    checkpoint_folder: str

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where the model must be built."""
        ...

    def prepare(self, model: CloudModel, example: Batch) -> None:
        """Compiles the step for the variables of `model` that now are trainable."""
        ...

    def step(self, batch: Batch) -> float:
        """One step on a whole batch, rows first; the loss, without regularisation."""
        ...

    def close(self) -> None:
        """Ends what the engine started."""
        ...


class ReplicaEngine:
    """One step on all replicas of a `tf.distribute.Strategy` at once, in synchrony.

    Args:
      strategy: the strategy; TensorFlow's default one is a single replica.
      is_chief: whether this process is the first of its cluster.
    """

    def __init__(self, strategy: Any, *, is_chief: bool = True) -> None:
        self.is_chief = is_chief
        self.checkpoint_folder = "checkpoints"
        self._strategy = strategy
        self._replicas = int(strategy.num_replicas_in_sync)
        self._run: Any = None

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where the model must be built."""
        scope: contextlib.AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def prepare(self, model: CloudModel, example: Batch) -> None:
        """Compiles the step for the variables of `model` that now are trainable."""
        replicas = self._replicas

        def on_replica(batch: dict[str, tf.Tensor], share: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = share * model.compute_loss(batch, training=True)
                total = loss + tf.add_n(model.losses) / replicas
            variables = model.trainable_variables
            gradients = tape.gradient(total, variables)
            model.optimizer.apply_gradients(
                (gradient, variable)
                for gradient, variable in zip(gradients, variables, strict=True)
                if gradient is not None
            )
            return loss

        if replicas == 1:
            # No tensor of shares: one row too few or too many cannot come in between.
            self._run = tf.function(on_replica, input_signature=signature_of(example))
            return
        strategy = self._strategy

        @tf.function(reduce_retracing=True)
        def run(batch: Any, share: Any) -> tf.Tensor:
            losses = strategy.run(on_replica, args=(batch, share))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

        self._run = run

    def step(self, batch: Batch) -> float:
        """One step on a whole batch."""
        if self._replicas == 1:
            return float(self._run(dict(batch), np.float32(1.0)))

        def local(context: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            rows = share_of(batch, context.replica_id_in_sync_group, self._replicas)
            own = {name: tf.constant(value) for name, value in rows.items()}
            total = rows_of(batch)
            exact = _bounds(total, context.replica_id_in_sync_group, self._replicas)
            return own, tf.constant((exact[1] - exact[0]) / total, tf.float32)

        distribute = self._strategy.experimental_distribute_values_from_function
        parts = {
            name: distribute(lambda context, name=name: local(context)[0][name]) for name in batch
        }
        return float(self._run(parts, distribute(lambda context: local(context)[1])))

    def close(self) -> None:
        """Nothing to end."""


def rows_of(batch: Batch) -> int:
    """Number of rows of a batch."""
    return len(next(iter(batch.values())))


def share_of(batch: Batch, index: int, replicas: int) -> dict[str, npt.NDArray[Any]]:
    """The rows of replica `index`; the first row where it has none, to be weighed by zero.

    >>> share_of({"x": np.arange(5)}, 1, 2)["x"].tolist()
    [3, 4]
    """
    start, end = _bounds(rows_of(batch), index, replicas)
    return {name: value[start:end] if end > start else value[:1] for name, value in batch.items()}


def signature_of(example: Batch) -> list[Any]:
    """The signature of a step on batches like `example`, with any number of rows."""
    return [
        {
            name: tf.TensorSpec([None, *value.shape[1:]], tf.as_dtype(value.dtype))
            for name, value in example.items()
        },
        tf.TensorSpec([], tf.float32),
    ]


def _bounds(rows: int, index: int, replicas: int) -> tuple[int, int]:
    """Where the rows of replica `index` start and end: as even as can be, the first ones more."""
    size, more = divmod(rows, replicas)
    start = index * size + min(index, more)
    return start, start + size + (index < more)
