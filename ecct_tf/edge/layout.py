"""How the trainable weights of an edge model lie in one flat vector.

One flat `float32` vector is what the optimiser updates, what a federated mean
averages, what a device keeps between rounds and what the exported file stores
as a single variable. `WeightLayout` is the map between that vector and the
named tensors of the forward function.
"""

import dataclasses
import math
import operator
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import Sharing
from ecct_tf.edge.primitives import unpack
from ecct_tf.errors import ConfigError

__all__ = ["Part", "Weight", "WeightLayout", "check_sizes"]

Part = Literal["backbone", "head"]


def check_sizes(layer: object, **sizes: int) -> None:
    """Refuses a layer without an input or an output, before a weight is made of no numbers.

    Args:
      layer: named in the message, by its class and its `name`.
      **sizes: by the name of the argument, all expected from 1.

    Raises:
      ConfigError: one is 0, as where it counts columns that the data do not have.
    """
    for argument, size in sizes.items():
        if not size >= 1:
            raise ConfigError(
                f"{type(layer).__name__} {getattr(layer, 'name', '')!r}: expected {argument} of at "
                f"least 1, got {size!r}; leave the layer out where there is nothing to read"
            )


@dataclasses.dataclass(frozen=True)
class Weight:
    """One trainable tensor.

    Attributes:
      name: its name, unique in the layout.
      shape: its shape for one device.
      part: `backbone` (features to embedding) or `head` (embedding to logit).
      scale: standard deviation of the initial values; 0 starts at zero.
    """

    name: str
    shape: tuple[int, ...]
    part: Part
    scale: float = 0.0

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ConfigError(f"weight: expected a name of letters, got {name!r}")
        try:
            shape = tuple(map(operator.index, self.shape))
        except TypeError:
            shape = (-1,)
        if min(shape, default=0) < 0:
            raise ConfigError(
                f"weight {name!r}: expected a shape of whole numbers from 0, got {self.shape!r}"
            )
        object.__setattr__(self, "shape", shape)
        if self.part not in get_args(Part):
            raise ConfigError(
                f"weight {name!r}: expected a part out of {get_args(Part)}, got {self.part!r}"
            )
        if not 0 <= self.scale < math.inf:
            raise ConfigError(
                f"weight {name!r}: expected a scale from 0, got {self.scale!r}; 0 starts at zero"
            )

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class WeightLayout:
    """The order of the weights in the flat vector: the whole backbone, then the head.

    With that order the part that a cohort shares is always a prefix of the
    vector, so splitting and joining cost a slice and a concatenation.
    """

    weights: tuple[Weight, ...]

    def __post_init__(self) -> None:
        parts = [weight.part for weight in self.weights]
        if parts != sorted(parts):
            raise ConfigError(
                f"expected all backbone weights before the head weights, got the order {parts}; "
                "list the backbone first"
            )
        names = [weight.name for weight in self.weights]
        if len(set(names)) != len(names):
            raise ConfigError(f"weight names must be unique, got {names}")

    @property
    def size(self) -> int:
        """Length P of the flat vector."""
        return sum(weight.size for weight in self.weights)

    def shared_size(self, sharing: Sharing) -> int:
        """Length of the prefix that is averaged over the cohort under `sharing`."""
        if sharing == "none":
            return 0
        if sharing == "all":
            return self.size
        return sum(weight.size for weight in self.weights if weight.part == "backbone")

    def initial(self, seed: int) -> npt.NDArray[np.float32]:
        """Draws initial weights, `[P] float32`, reproducible from `seed`."""
        rng = np.random.default_rng([seed, 0xED6E])
        parts = [
            rng.standard_normal(weight.size).astype(np.float32) * np.float32(weight.scale)
            for weight in self.weights
        ]
        return np.concatenate(parts).astype(np.float32)

    def unpack(self, flat: tf.Tensor) -> dict[str, tf.Tensor]:
        """Names the tensors of `flat`, `[..., P] float32`, differentiably."""
        tensors = unpack(flat, [weight.shape for weight in self.weights])
        return {weight.name: tensor for weight, tensor in zip(self.weights, tensors, strict=True)}

    def to_dict(self, flat: npt.NDArray[np.float32]) -> Mapping[str, npt.NDArray[np.float32]]:
        """Names the tensors of one device's vector, `[P] float32`, as arrays."""
        if flat.shape != (self.size,):
            raise ConfigError(
                f"expected a weight vector of shape ({self.size},), got {flat.shape}; "
                "it belongs to another tier or another edge specification"
            )
        ends = np.cumsum([weight.size for weight in self.weights])
        return {
            weight.name: flat[end - weight.size : end].reshape(weight.shape)
            for weight, end in zip(self.weights, ends, strict=True)
        }
