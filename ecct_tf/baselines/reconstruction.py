"""Federated reconstruction: what is private is found anew whenever a device takes part."""

import dataclasses

import tensorflow as tf

from ecct_tf.baselines.local_data import LocalData
from ecct_tf.baselines.local_training import LocalTraining

__all__ = ["ReconstructionTraining"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructionTraining(LocalTraining):
    """FedRecon's local step (Singhal et al., NeurIPS 2021, arXiv 2102.03448, algorithm 1).

    A device's positions, which stand in a random order, are dealt out in two halves. The first
    finds the head from its start while the item table stands still; the second trains the table
    under that head. The head is then forgotten: devices keep nothing between rounds.

    Attributes:
      reconstruction_epochs: passes over the first half.
    """

    reconstruction_epochs: int

    def __call__(
        self, start: tf.Tensor, data: LocalData, negatives: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Trains C devices; arguments and result as of `LocalTraining`.

        Who has one position finds a head and trains nothing.
        """
        fields = dataclasses.fields(LocalTraining)
        plain = {field.name: getattr(self, field.name) for field in fields}
        finding = {"embedding_learning_rate": 0.0, "epochs": self.reconstruction_epochs}
        find = LocalTraining(**{**plain, **finding})
        train = LocalTraining(**{**plain, "learning_rate": 0.0})
        reconstructed, _ = find(start, *_half(data, negatives, first=0))
        final, loss = train(reconstructed, *_half(data, negatives, first=1))
        head = start[:, self.model.table_size :]
        return tf.concat([final[:, : self.model.table_size], head], axis=-1), loss


def _half(data: LocalData, negatives: tf.Tensor, *, first: int) -> tuple[LocalData, tf.Tensor]:
    """Every second position of each device from `first` on, with their negatives.

    Padded by as many rows as the longer half has, so that whole batches can be cut from it.
    """

    def every_second(rows: tf.Tensor) -> tf.Tensor:
        return tf.concat([rows[:, first::2], tf.zeros_like(rows[:, ::2])], axis=1)

    samples = (data.samples + 1 - first) // 2
    rest = {name: every_second(getattr(data, name)) for name in LocalData._fields[1:]}
    return LocalData(samples=samples, **rest), every_second(negatives)
