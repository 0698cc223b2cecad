"""What an exported file trains: all weights, or low-rank and bias adapters on an int8 base.

Either way the trained values are one flat vector, which `expand` turns into the flat
weight vector of the edge model, differentiably and with builtin operators only.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import Sharing
from ecct_tf.edge import EdgeModel, Weight
from ecct_tf.edge.primitives import concat, dense, unpack
from ecct_tf.errors import ConfigError

__all__ = ["Parameters", "all_weights", "low_rank"]

Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The trained values of a file.

    Attributes:
      layout: name and shape of each trained tensor, in the order of the flat vector.
      start: `[P] float32`, the values that the file begins with.
      shared_size: length of the prefix that has the learning rate of the shared weights.
      expand: `(trained [P], zero [] int32) -> weights of the edge model`; `zero` is 0 but
        unknown to the converter, which keeps it from folding int8 constants to float32.
    """

    layout: tuple[tuple[str, tuple[int, ...]], ...]
    start: Array
    shared_size: int
    expand: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

    @property
    def size(self) -> int:
        """P."""
        return len(self.start)


def _check_weights(model: EdgeModel, weights: Array) -> Array:
    """`weights` as `[P] float32`.

    Raises:
      ConfigError: when they have another shape, or hold values that are not finite.
    """
    model.layout.to_dict(np.asarray(weights))
    if not np.isfinite(weights).all():
        raise ConfigError(
            "export: the weights hold NaN or infinite values; the run diverged, lower "
            "training.learning_rate"
        )
    return np.ascontiguousarray(weights, np.float32)


def all_weights(model: EdgeModel, weights: Array, *, sharing: Sharing) -> Parameters:
    """Trains every weight of `model`, from `weights` `[P] float32`."""
    return Parameters(
        layout=tuple((weight.name, weight.shape) for weight in model.layout.weights),
        start=_check_weights(model, weights),
        shared_size=model.layout.shared_size(sharing),
        expand=lambda trained, _: trained,
    )


def low_rank(
    model: EdgeModel, weights: Array, *, sharing: Sharing, rank: int = 4, seed: int = 0
) -> Parameters:
    """Freezes the kernels as int8 and trains `A·B` of `rank` on top; vectors train whole.

    Args:
      model: the edge model.
      weights: `[P] float32`.
      sharing: which weights are shared.
      rank: columns of A.
      seed: of A, which starts random; B starts at zero, so that the file starts as the
        int8 base.
    """
    arrays = model.layout.to_dict(_check_weights(model, weights))
    rng = np.random.default_rng([seed, 0x10FA])
    layout: list[tuple[str, tuple[int, ...]]] = []
    start: list[Array] = []
    shared, shared_weights, seen = 0, model.layout.shared_size(sharing), 0
    frozen: dict[str, _Base] = {}
    for weight in model.layout.weights:
        array = arrays[weight.name]
        if _is_kernel(weight, rank):
            rows, columns = weight.shape
            frozen[weight.name] = _quantised(array)
            down = rng.standard_normal((rows, rank)) / np.sqrt(rows)
            parts = {"A": down.astype(np.float32), "B": np.zeros((rank, columns), np.float32)}
        else:
            parts = {"": array}
        for suffix, part in parts.items():
            layout.append((f"{weight.name}/{suffix}".rstrip("/"), part.shape))
            start.append(part.reshape(-1))
        seen += weight.size
        if seen <= shared_weights:
            shared = sum(len(part) for part in start)

    def expand(trained: tf.Tensor, zero: tf.Tensor) -> tf.Tensor:
        tensors = dict(
            zip(
                [name for name, _ in layout],
                unpack(trained, [shape for _, shape in layout]),
                strict=True,
            )
        )
        flat = []
        for weight in model.layout.weights:
            if weight.name in frozen:
                low, high = tensors[f"{weight.name}/A"], tensors[f"{weight.name}/B"]
                # A dense layer's bias is a row; the frozen kernel is added to the product.
                change = dense(low, high, tf.zeros([weight.shape[1]]))
                value = change + tf.stop_gradient(frozen[weight.name].tensor(zero))
            else:
                value = tensors[weight.name]
            flat.append(tf.reshape(value, [weight.size]))
        return concat(flat)

    return Parameters(tuple(layout), np.concatenate(start).astype(np.float32), shared, expand)


@dataclasses.dataclass(frozen=True)
class _Base:
    """A frozen kernel: `values` `[in, out] int8` with a scale for each column."""

    values: npt.NDArray[np.int8]
    scales: Array

    def tensor(self, zero: tf.Tensor) -> tf.Tensor:
        rows = tf.gather(tf.constant(self.values), tf.range(len(self.values)) + zero)
        return tf.cast(rows, tf.float32) * tf.constant(self.scales)


def _is_kernel(weight: Weight, rank: int) -> bool:
    return weight.name.endswith("/kernel") and len(weight.shape) == 2 and min(weight.shape) > rank


def _quantised(kernel: Array) -> _Base:
    scales = np.maximum(np.abs(kernel).max(axis=0), 1e-8) / 127.0
    values = np.clip(np.rint(kernel / scales), -127, 127).astype(np.int8)
    return _Base(values, scales.astype(np.float32))
