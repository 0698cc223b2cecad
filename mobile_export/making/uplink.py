"""The uplink of an exported file: what the simulation's devices send, in types a phone reads."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from ecct_tf.edge import EdgeOutputs
from ecct_tf.knowledge import ExchangeSpec
from mobile_export.making import guards

__all__ = ["encoded_answer"]

_LARGEST_NOISE = 20.0


def encoded_answer(
    exchange: ExchangeSpec, *, queries: tf.Tensor, outputs: EdgeOutputs, noise: tf.Tensor | None
) -> Mapping[str, tf.Tensor]:
    """Clips, noises and encodes the answer to the cloud.

    Args:
      exchange: the declared form.
      queries: `[Q] int32`.
      outputs: for the Q queries.
      noise: `[Q, d_e + 1] float32`, standard normal, if the exchange has noise.

    Returns:
      The outputs of the signature `uplink`.
    """
    drawn = tf.constant(0)
    if noise is not None:
        exchange = _WithNoise(**dataclasses.asdict(exchange))
        drawn = guards.bounded_or_zero(noise, _LARGEST_NOISE)[None]
    uplink = exchange.make_uplink(
        tf.constant([0], tf.int32),
        queries[None],
        outputs.embedding[None],
        outputs.logit[None],
        noise_seed=drawn,
    )
    found = {"items": queries + 0, "embeddings": _readable(uplink.embeddings[0])[0]}
    if exchange.with_logits:
        found["logits"] = _readable(uplink.logits[0])[0]
    if exchange.codec == "int8":
        found["embedding_scales"] = _readable(uplink.embeddings[1])[0, :, 0]
        if exchange.with_logits:
            found["logit_scale"] = _readable(uplink.logits[1])[0]
    return found


class _WithNoise(ExchangeSpec):
    """Takes the noise itself where the simulation takes the seed of it.

    A phone draws noise from its own generator; random operators would need Flex.
    """

    def _noise(self, users: tf.Tensor, noise_seed: tf.Tensor) -> tf.Tensor:
        del users
        return self.noise_multiplier * noise_seed


def _readable(values: tf.Tensor) -> tf.Tensor:
    """float16 as its bits in an int32; Java and browsers have no float16."""
    if values.dtype != tf.float16:
        return values
    bits = tf.cast(tf.bitcast(values, tf.int16), tf.int32)
    return tf.where(bits < 0, bits + 0x10000, bits)
