"""Training with the variables on parameter servers, for tables that one machine cannot hold.

The workers of a step get its rows in parts, compute gradients against the variables on the
servers, and give them back; the coordinator sums them and lets the servers' optimiser take
one step. So, unlike Keras's asynchronous `fit`, the result is that of one worker, and a job
can go on after a kill without repeating or skipping a batch. A worker that is lost is waited
for, as long as `cluster.wait_seconds` says, and its part given out anew, by TensorFlow's
coordinator; a server that is lost ends the
job, which goes on from its checkpoint when it is started again.
"""

import contextlib
import logging
import threading
from typing import Any

import tensorflow as tf

from cloud.exchange_model import ExchangeModel
from cloud.retraining.cluster import Patience
from cloud.retraining.engines import Rows, gradients_of, lost, part_of, rows_of
from ecct_tf.errors import WorkerError

__all__ = ["ParameterServerEngine", "serve"]

_log = logging.getLogger(__name__)


class ParameterServerEngine:
    """Runs in the coordinator, the task `chief` of `TF_CONFIG`."""

    is_chief = True
    checkpoint_folder = "checkpoints"

    def __init__(self, patience: Patience) -> None:
        """Connects to all servers and workers, and waits for them as long as it takes.

        Args:
          patience: waits for the steps.
        """
        self._patience = patience
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        self._workers = len(resolver.cluster_spec().as_dict().get("worker", ()))
        self._strategy = tf.distribute.ParameterServerStrategy(resolver)
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(self._strategy)
        self._model: ExchangeModel | None = None
        self._gradients: Any = None
        self._rows: Rows = {}
        self._batch_size = 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where the model must be built."""
        scope: contextlib.AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def prepare(self, model: ExchangeModel) -> None:
        """Takes the variables of `model` that now are trainable."""

        @tf.function(reduce_retracing=True)
        def gradients(batch: dict[str, tf.Tensor], share: tf.Tensor) -> Any:
            return gradients_of(model, batch, share=share, replicas=self._workers)

        self._model, self._gradients = model, gradients

    def _descend(self, parts: list[list[tf.Tensor]]) -> None:
        """One step of the optimiser, on the servers, with the sum of the workers' gradients.

        The coordinator itself takes it, once: what a worker does may be given out again.
        """
        model = self._model
        if model is None:
            raise WorkerError("expected prepare before the first step")
        for same, variable in zip(zip(*parts, strict=True), model.trainable_variables, strict=True):
            model.optimizer.update_step(tf.add_n(list(same)), variable)
        model.optimizer.iterations.assign_add(1)

    def load(self, rows: Rows, *, batch_size: int) -> None:
        """Takes the rows of an epoch."""
        self._rows, self._batch_size = rows, batch_size

    def step(self, number: int) -> float:
        """One step on batch `number` of the epoch.

        Raises:
          WorkerError: a parameter server was lost, or a worker does not come back.
        """
        try:
            return self._patience(lambda: self._step(number), doing="a training step")
        except tf.errors.OpError as error:
            raise WorkerError(lost(error)) from error

    def _step(self, number: int) -> float:
        start = number * self._batch_size
        size = min(self._batch_size, rows_of(self._rows) - start)
        parts = []
        for index in range(self._workers):
            first, last = part_of(size, index, self._workers)
            chosen = slice(start + first, start + max(last, first + 1))
            batch = {name: tf.constant(value[chosen]) for name, value in self._rows.items()}
            share = tf.constant((last - first) / size, tf.float32)
            parts.append(self._coordinator.schedule(self._gradients, args=(batch, share)))
        self._coordinator.join()
        fetched = [part.fetch() for part in parts]
        self._descend([gradients for _, gradients in fetched])
        return float(sum(float(loss) for loss, _ in fetched))

    def close(self) -> None:
        """Nothing to end: the cluster is not the job's."""


def serve() -> None:
    """Is a `worker` or `ps` of `TF_CONFIG` until it is ended from outside."""
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    server = tf.distribute.Server(
        resolver.cluster_spec(),
        job_name=resolver.task_type,
        task_index=resolver.task_id,
        protocol="grpc",
    )
    _log.warning(
        "%s %d serves at %s until it is ended",
        *(resolver.task_type, resolver.task_id, server.target.removeprefix("grpc://")),
    )
    # Not `server.join()`: TensorFlow would wait there, deaf to Ctrl-C and SIGTERM.
    threading.Event().wait()
