"""How a step is computed: on one worker, or on several that must come to the same result.

Every worker makes the same batch, which is a pure function of seed, epoch and step, and
takes its share of the rows. A replica's loss is weighed by its share of the batch, the
regularisation by one over the number of replicas, and the gradients are summed: whatever
the number of workers, that is the gradient of the mean over the whole batch.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy.typing as npt
import tensorflow as tf

from cloud.exchange_model import ExchangeModel
from cloud.retraining.cluster import Patience
from ecct_tf.errors import WorkerError

__all__ = [
    "Engine",
    "ReplicaEngine",
    "Rows",
    "gradients_of",
    "losses_told",
    "lost",
    "part_of",
    "rows_of",
]

Rows = Mapping[str, npt.NDArray[Any]]


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

    def prepare(self, model: ExchangeModel) -> None:
        """Takes the variables of `model` that now are trainable."""
        ...

    def load(self, rows: Rows, *, batch_size: int) -> None:
        """Takes the rows of an epoch, `[n, ...]` each."""
        ...

    def step(self, number: int) -> float:
        """One step on batch `number` of the epoch; its loss, without regularisation."""
        ...

    def close(self) -> None:
        """Ends what the engine started."""
        ...


class ReplicaEngine:
    """One step on all replicas of a `tf.distribute.Strategy` at once, in synchrony.

    Args:
      strategy: the strategy; TensorFlow's default one is a single replica.
      is_chief: whether this process is the first of its cluster.
      checkpoint_folder: where in the job's folder this process writes checkpoints.
      patience: waits for the steps of a cluster; None for one process.
    """

    def __init__(
        self,
        strategy: Any,
        *,
        is_chief: bool = True,
        checkpoint_folder: str = "checkpoints",
        patience: Patience | None = None,
    ) -> None:
        self._patience = patience
        self.is_chief = is_chief
        self.checkpoint_folder = checkpoint_folder
        self._strategy = strategy
        self._replicas = int(strategy.num_replicas_in_sync)
        self._run: Any = None
        self._prepared: tuple[ExchangeModel, list[str]] | None = None
        self._rows: dict[str, Any] = {}
        self._total = self._batch_size = 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where the model must be built."""
        scope: contextlib.AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def prepare(self, model: ExchangeModel) -> None:
        """Takes the variables of `model` that now are trainable; compiled once for them."""
        replicas, strategy = self._replicas, self._strategy
        names = [variable.name for variable in model.trainable_variables]
        if self._prepared is not None and self._prepared[0] is model and self._prepared[1] == names:
            return
        self._prepared = model, names

        def on_replica(rows: dict[str, tf.Tensor], bounds: tf.Tensor, share: tf.Tensor) -> Any:
            batch = {name: value[bounds[0] : bounds[1]] for name, value in rows.items()}
            return _descend(model, batch, share=share, replicas=replicas)

        @tf.function(reduce_retracing=True)
        def run(rows: Any, bounds: Any, shares: Any) -> tf.Tensor:
            if replicas == 1:
                return on_replica(rows, bounds, shares)
            losses = strategy.run(on_replica, args=(rows, bounds, shares))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

        self._run = run

    def load(self, rows: Rows, *, batch_size: int) -> None:
        """Takes the rows of an epoch; they are in the memory of the first device at once."""
        self._rows = {name: tf.constant(value) for name, value in rows.items()}
        self._total, self._batch_size = rows_of(rows), batch_size

    def step(self, number: int) -> float:
        """One step on batch `number` of the epoch.

        Raises:
          WorkerError: a worker of the cluster was lost, or does not answer.
        """
        start = number * self._batch_size
        size = min(self._batch_size, self._total - start)

        def bounds(index: int) -> tf.Tensor:
            first, last = part_of(size, index, self._replicas)
            # A replica without a row takes one that weighs nothing.
            return tf.constant([start + first, start + max(last, first + 1)])

        def share(index: int) -> tf.Tensor:
            first, last = part_of(size, index, self._replicas)
            return tf.constant((last - first) / size, tf.float32)

        if self._replicas == 1:
            return float(self._run(self._rows, bounds(0), share(0)))
        spread = self._strategy.experimental_distribute_values_from_function

        def run() -> float:
            return float(
                self._run(
                    self._rows,
                    spread(lambda context: bounds(context.replica_id_in_sync_group)),
                    spread(lambda context: share(context.replica_id_in_sync_group)),
                )
            )

        try:
            return run() if self._patience is None else self._patience(run, doing="a training step")
        except tf.errors.OpError as error:
            raise WorkerError(lost(error)) from error

    def close(self) -> None:
        """Nothing to end."""


def _descend(
    model: ExchangeModel, batch: dict[str, tf.Tensor], *, share: tf.Tensor, replicas: int
) -> tf.Tensor:
    """One replica's part of a step; the optimiser sums the gradients of all replicas.

    Returns:
      `[] float32`, its part of the loss, without regularisation.
    """
    loss, gradients = gradients_of(model, batch, share=share, replicas=replicas)
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    return loss


def gradients_of(
    model: ExchangeModel, batch: dict[str, tf.Tensor], *, share: tf.Tensor, replicas: int
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """A replica's part of the loss and of the gradient of each trainable variable."""
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        loss = share * model.compute_loss(batch, training=True)
        # Towers without a regulariser have no losses of their own.
        total = loss + tf.add_n(model.losses) / replicas if model.losses else loss
    gradients = tape.gradient(total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return loss, [tf.convert_to_tensor(gradient) for gradient in gradients]


@contextlib.contextmanager
def losses_told() -> Iterator[None]:
    """For what else needs the cluster than a step: checkpoints, evaluation, the version.

    Raises:
      WorkerError: another process of the cluster cannot be reached any more.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise WorkerError(lost(error)) from error


def lost(error: Exception) -> str:
    """What to tell when the job failed because of another process."""
    return (
        "the job failed, most likely because a worker of the cluster was lost: "
        f"{type(error).__name__}: {str(error)[:300]}. The job's checkpoints are intact: start all "
        "workers again with the same command, and it resumes from the newest"
    )


def rows_of(rows: Rows) -> int:
    """Number of rows."""
    return len(next(iter(rows.values())))


def part_of(size: int, index: int, replicas: int) -> tuple[int, int]:
    """Where the rows of replica `index` start and end: as even as can be, the first ones more.

    >>> [part_of(5, index, 2) for index in range(2)]
    [(0, 3), (3, 5)]
    """
    each, more = divmod(size, replicas)
    start = index * each + min(index, more)
    return start, start + each + (index < more)
