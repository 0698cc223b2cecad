"""All that a phase of training must remember, in one checkpoint."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from cloud.retraining.checkpoints import Checkpoints

__all__ = ["TrainingState"]

_NONE_YET = float("-inf")


class TrainingState:
    """Variables, where the training is, and the best variables so far.

    Args:
      variables: of the model and the optimiser, in a fixed order.
      folder: of the checkpoints.
      keep: how many of the newest stay.

    Attributes:
      epoch: epochs done.
      step: steps done of the next one.
      loss_sum: of those steps.
      best: quality of the best epoch.
      best_epoch: its number; 0 is the state before the first.
      done: whether the phase has ended and the variables are the best ones.
    """

    def __init__(self, variables: Sequence[tf.Variable], *, folder: Path, keep: int) -> None:
        self.epoch = self.step = self.best_epoch = 0
        self.loss_sum = 0.0
        self.best = _NONE_YET
        self.done = False
        self._variables = list(variables)
        self._best = [tf.Variable(variable, trainable=False) for variable in self._variables]
        self._counts = tf.Variable(tf.zeros([4], tf.int64), trainable=False)
        self._numbers = tf.Variable(tf.zeros([2], tf.float64), trainable=False)
        tracked = tf.train.Checkpoint(
            variables=self._variables,
            best=self._best,
            counts=self._counts,
            numbers=self._numbers,
        )
        self._checkpoints = Checkpoints(tracked, folder, keep=keep)

    def restore(self) -> bool:
        """Goes back to the newest checkpoint; False when there is none.

        Raises:
          CheckpointError: it cannot be read, or is of another model.
        """
        if self._checkpoints.restore() is None:
            return False
        self.epoch, self.step, self.best_epoch, done = self._counts.numpy().tolist()
        self.loss_sum, self.best = self._numbers.numpy().tolist()
        self.done = bool(done)
        return True

    def save(self) -> None:
        """Writes a checkpoint; a kill leaves this one whole or the one before it.

        Raises:
          StorageError: the system refused the write.
        """
        self._counts.assign([self.epoch, self.step, self.best_epoch, int(self.done)])
        self._numbers.assign([self.loss_sum, self.best])
        self._checkpoints.save()

    def judge(self, quality: float) -> None:
        """Keeps the variables if `quality` is above the best so far."""
        if quality > self.best:
            self.best, self.best_epoch = quality, self.epoch
            for kept, variable in zip(self._best, self._variables, strict=True):
                kept.assign(tf.convert_to_tensor(variable))

    def finish(self) -> None:
        """Goes back to the best variables."""
        for kept, variable in zip(self._best, self._variables, strict=True):
            variable.assign(tf.convert_to_tensor(kept))
        self.done = True
