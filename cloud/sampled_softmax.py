"""Naming the next item among some: a softmax that does not cost as much as there are items."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

__all__ = ["ItemSampler", "sampled_loss"]

Ids = npt.NDArray[np.int32]
Array = npt.NDArray[np.float32]

# Of word2vec: between what is popular and what there is.
_SMOOTHING = 0.75


class ItemSampler:
    """Draws items, popular ones more often, and tells how likely each is to be in a draw.

    Args:
      counts: `[items + 1]`, how often each item came next; item 0 is padding and never drawn.
      size: tries of a draw; an item that is tried twice is in it once.

    Example:
      >>> sampler = ItemSampler(np.array([0, 0, 15]), size=4)
      >>> [f"{chance:.2f}" for chance in sampler.expected]
      ['0.00', '0.38', '1.00']
    """

    def __init__(self, counts: npt.NDArray[np.int64], *, size: int) -> None:
        weights = (counts + 1.0) ** _SMOOTHING
        weights[0] = 0.0
        chances = weights / weights.sum()
        self._ends = np.cumsum(chances)
        self._size = size
        certain = np.minimum(chances, 1.0 - 1e-12)
        self.expected: Array = (-np.expm1(size * np.log1p(-certain))).astype(np.float32)

    def draw(self, rng: np.random.Generator) -> Ids:
        """`[S] int32`, ascending, each once."""
        places = np.searchsorted(self._ends, rng.random(self._size) * self._ends[-1], side="right")
        return np.unique(np.minimum(places, len(self._ends) - 1)).astype(np.int32)


def sampled_loss(
    users: tf.Tensor,
    items: tf.Tensor,
    bias: tf.Tensor,
    *,
    targets: tf.Tensor,
    drawn: tf.Tensor,
    expected: tf.Tensor,
) -> tf.Tensor:
    """The mean over a batch of the sampled cross-entropy of naming the target.

    Logits are corrected by how likely an item is to be in a draw (Jean et al., arXiv 1412.2007);
    where all items are certain to be, it is the softmax over all.

    Args:
      users: `[B, d] float32`.
      items: `[N + 1, d] float32`.
      bias: `[N + 1] float32`.
      targets: `[B] int32`.
      drawn: `[S] int32`, from an `ItemSampler`.
      expected: `[N + 1] float32`, its `expected`.

    Returns:
      `[] float32`, in nats.
    """
    labels = tf.cast(targets, tf.int64)[:, None]
    losses = tf.nn.sampled_softmax_loss(
        items,
        bias,
        labels,
        users,
        num_sampled=tf.shape(drawn)[0],
        num_classes=tf.shape(bias)[0],
        sampled_values=(
            tf.cast(drawn, tf.int64),
            tf.gather(expected, labels),
            tf.gather(expected, drawn),
        ),
    )
    return tf.reduce_mean(losses)
