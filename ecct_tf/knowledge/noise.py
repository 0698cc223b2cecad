"""The noise that simulated devices add to their uplinks: repeatable, and thus no protection.

A run must come out the same when it is resumed, so its noise follows from its seed, and
whoever knows that seed can draw the noise again and subtract it. Without the seed, rounds,
stages, users and the two payloads of one uplink tell nothing of each other. Real devices
draw from their system's entropy instead; no exported file holds a seed of noise.
"""

import numpy as np
import tensorflow as tf

__all__ = ["draw_noise", "noise_seed", "noise_stream"]

_STREAM = 0x4015E
_EMBEDDINGS, _LOGITS = 0, 1


def noise_stream(seed: int) -> tuple[int, int]:
    """Two int64, of a run's seed and of no other use of it.

    >>> noise_stream(0) == noise_stream(0), noise_stream(0) == noise_stream(1)
    (True, False)
    """
    words = np.random.SeedSequence([seed, _STREAM]).generate_state(2, np.uint64).view(np.int64)
    return int(words[0]), int(words[1])


def noise_seed(
    stream: tuple[int, int], *, round_number: tf.Tensor | int, with_logits: bool
) -> tf.Tensor:
    """`[2] int64`, of a round and of the stage, which says whether logits are sent."""
    of_round = _fold_in(tf.constant(stream, tf.int64), round_number)
    return _fold_in(of_round, int(with_logits))


def draw_noise(users: tf.Tensor, seed: tf.Tensor, *, queries: int, width: int) -> tf.Tensor:
    """Standard normal noise for the answers of some users.

    Args:
      users: `[n] int32`; each has a seed of its own, so that shards do not matter.
      seed: `[2] int64`, from `noise_seed`.
      queries: Q.
      width: d_e.

    Returns:
      `[n, Q, d_e + 1] float32`: for the embedding, then for the logit.
    """

    def of_user(user: tf.Tensor) -> tf.Tensor:
        own = _fold_in(seed, user)
        parts = [
            tf.random.stateless_normal([queries, size], _fold_in(own, payload), alg="philox")
            for payload, size in ((_EMBEDDINGS, width), (_LOGITS, 1))
        ]
        return tf.concat(parts, axis=-1)

    spec = tf.TensorSpec([queries, width + 1], tf.float32)
    noise: tf.Tensor = tf.map_fn(of_user, users, fn_output_signature=spec)
    return noise


def _fold_in(seed: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    """Another seed for each number; `seed` does not follow from it."""
    folded: tf.Tensor = tf.random.experimental.stateless_fold_in(
        seed, tf.cast(number, tf.int64), alg="philox"
    )
    return folded
