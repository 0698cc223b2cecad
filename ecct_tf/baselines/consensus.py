"""FedMD for recommendation: devices agree on logits of public items, and no weights cross."""

import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.baselines.averaging import AveragingWork
from ecct_tf.baselines.local_data import LocalData
from ecct_tf.baselines.local_training import local_logits

__all__ = ["ConsensusWork", "draw_public_items"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConsensusWork(AveragingWork):
    """FedMD's work of a shard in a round (Li & Wang 2019, arXiv 1910.03581, algorithm 1).

    What the server holds and averages is the consensus, a logit of each public item. A device
    digests it (its items' biases move towards saying the same of the public items), revisits its
    own samples, and answers with its logits. Its model stays on it as private weights.

    A device scores the public items as at one of its own positions, the first in the random order
    of its samples.

    Attributes:
      public_items: the ids, each once.
      digest_rate: share of the way to the consensus that a device's logits go.
    """

    public_items: tuple[int, ...]
    digest_rate: float

    @property
    def private_size(self) -> int:
        """Length of a device's model, which is all private."""
        return self.training.model.size

    def initial(self, seed: int) -> npt.NDArray[np.float32]:
        """`[P_shared + P_private]`: a consensus of zeros, which nobody digests, and the model."""
        consensus = np.zeros(self.shared_size, np.float32)
        return np.concatenate([consensus, self.training.model.initial(seed)])

    def weights(self, shared: tf.Tensor, private: tf.Tensor) -> tf.Tensor:
        """The models of a shard, `[C, P]`: its devices' own."""
        del shared
        return private

    def trained(
        self,
        shared: tf.Tensor,
        data: LocalData,
        negatives: tf.Tensor,
        private: tf.Tensor,
        *,
        steps: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Digests and revisits; arguments and results as of `AveragingWork.trained`."""
        digested = tf.cond(
            steps > 0, lambda: self.digest(private, shared, data), lambda: tf.identity(private)
        )
        final, loss = self.training(digested, data, negatives)
        return final, loss, self.answers(final, data) - shared

    def digest(self, weights: tf.Tensor, consensus: tf.Tensor, data: LocalData) -> tf.Tensor:
        """The models of a shard, nearer to the consensus.

        The bias of a public item moves, which is what one number an item decides: a step along the
        gradient of its logit would move embeddings in the direction of the device's history, which
        is made of embeddings that move too, and diverges.

        Args:
          weights: `[C, P] float32`.
          consensus: `[M] float32`.
          data: a shard.
        """
        model = self.training.model
        devices = tf.shape(weights)[0]
        moved = self.digest_rate * (consensus - self.answers(weights, data))
        places = (tf.constant(self.public_items, tf.int32) + 1) * model.row_width - 1
        places = tf.reshape(places[None] + model.size * tf.range(devices)[:, None], [-1, 1])
        flat = tf.tensor_scatter_nd_add(tf.reshape(weights, [-1]), places, tf.reshape(moved, [-1]))
        return tf.ensure_shape(tf.reshape(flat, [devices, model.size]), [None, model.size])

    def answers(self, weights: tf.Tensor, data: LocalData) -> tf.Tensor:
        """Logits of the public items, `[C, M] float32`."""
        items = tf.constant(self.public_items, tf.int32)
        logits = local_logits(
            self.training.model,
            weights,
            histories=data.histories[:, :1],
            candidates=tf.tile(items[None, None], [tf.shape(weights)[0], 1, 1]),
            profile=data.profile[:, :1],
            clock=data.clock[:, :1],
        )
        return logits[:, 0]


def draw_public_items(num_items: int, *, count: int | None, seed: int) -> tuple[int, ...]:
    """The public items: all, or as many as asked for, the same to every device.

    Args:
      num_items: of the catalog, whose ids begin at 1.
      count: number of public items; None, or at least as many as there are, for all.
      seed: of the run.

    Example:
      >>> draw_public_items(4, count=None, seed=0), len(draw_public_items(4, count=2, seed=0))
      ((1, 2, 3, 4), 2)
    """
    if count is None or count >= num_items:
        return tuple(range(1, num_items + 1))
    drawn = np.random.default_rng([seed, 0xFED]).choice(num_items, count, replace=False)
    return tuple(sorted((drawn + 1).tolist()))
