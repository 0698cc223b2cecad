"""Dropout whose masks follow from counters: the same in the simulation, in a file and on a phone.

No runtime of phones draws random numbers as another does. So a mask is computed, from whole numbers
that every side has: the seed of the layer, the step since the round began, the row's place in its
batch, its item, and the user embedding that the cloud sent, which differs from user to user and
from round to round. Products modulo a prime mix them; none reaches 2³¹, so that all are exact.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from ecct_tf.edge.layout import Weight
from ecct_tf.edge.model import EdgeInputs
from ecct_tf.errors import ConfigError

__all__ = ["Dropout", "row_keys"]

_PRIME = 46_337
"""Its square is below 2³¹; 3 does not divide the number before it, so that cubes permute."""
_FACTOR = 27_149
_STEP = 20_011
_SCALE, _BOUND = 1024.0, 16.0


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Sets a share of values to zero while a device trains, and scales up the others.

    `[..., B, width]` to the same. What a device answers, scores and sends is without: there all
    values pass. It has no weights, and is listed among the layers of `architecture`, which then
    declares that keys of the rows are read.

    Attributes:
      rate: of the values that are dropped, from 0 to below 1.
      seed: of the masks; two layers of one model take two.
    """

    rate: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate < 1.0:
            raise ConfigError(f"Dropout: expected a rate from 0 to below 1, got {self.rate!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"Dropout: expected a whole number from 0 as seed, got {self.seed!r}")

    @property
    def weights(self) -> tuple[Weight, ...]:
        """None."""
        return ()

    @property
    def reads(self) -> frozenset[str]:
        """What it reads beside values."""
        return frozenset({"dropout"})

    def __call__(self, values: tf.Tensor, inputs: EdgeInputs) -> tf.Tensor:
        """The values that are left, scaled; all as they are where nothing trains.

        Raises:
          ConfigError: values have not one row for each candidate.
        """
        keys = inputs.dropout
        if keys is None or not self.rate:
            return values
        width = values.shape[-1]
        if values.shape.rank != keys.shape.rank + 1 or width is None:
            raise ConfigError(
                f"Dropout: expected values [..., rows, width], got {values.shape} for keys of "
                f"{keys.shape}; drop what is computed of the rows"
            )
        columns = tf.range(self.seed % _PRIME, self.seed % _PRIME + width)
        drawn = _mixed(_mixed(tf.expand_dims(keys, -1), self.seed % _PRIME), columns)
        kept = tf.cast(drawn >= round(self.rate * _PRIME), tf.float32) * (1.0 / (1.0 - self.rate))

        @tf.custom_gradient
        def drop(given: tf.Tensor) -> Any:
            return given * kept, lambda upstream: upstream * kept

        return drop(values)


def row_keys(
    step: tf.Tensor, like: tf.Tensor, *, items: tf.Tensor | None, users: tf.Tensor | None = None
) -> tf.Tensor:
    """A key for each row of a batch: `[..., B] int32`.

    Args:
      step: `[..., 1] float32`, from 1 when a round begins.
      like: `[..., B]`; only its shape is read.
      items: `[..., B] int32`, of the rows; None where they are not known.
      users: `[..., B, d_c] float32` or `[..., 1, d_c]`, user embeddings as received; None without.
    """
    rows = tf.range(tf.shape(like)[-1])
    key = _mixed(tf.math.floormod(tf.cast(step, tf.int32), _PRIME), rows)
    if items is not None:
        key = _mixed(key, tf.cast(items, tf.int32))
    if users is None:
        return key
    steps = tf.cast(tf.minimum(tf.abs(users), _BOUND) * _SCALE, tf.int32)
    return _mixed(key, tf.reduce_sum(steps, axis=-1))


def _mixed(key: tf.Tensor, other: Any) -> tf.Tensor:
    """A number below the prime of two, of which `key` is one; `int32`, broadcast."""
    # Below 2³¹ at each step: (2¹⁵·⁵)² and what is added leave no room for more.
    spread = tf.math.floormod(tf.math.floormod(other, _PRIME) * _STEP, _PRIME)
    sums = tf.math.floormod(key * _FACTOR + spread, _PRIME)
    return tf.math.floormod(tf.math.floormod(sums * sums, _PRIME) * sums, _PRIME)
