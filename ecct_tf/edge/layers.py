"""Layers for edge models, under the names that the field knows, for phones as for the simulation.

A layer is a frozen value that knows its weights; calling it needs them by name. What is not here is
among the functions below, all with gradients that phones can compute.

    def tiny(spec):
        joined = layers.Inputs(spec)
        embedding = layers.Dense("embedding", joined.width, spec.embedding_dim, "tanh")
        head = layers.Head(spec.embedding_dim, joined.width)

        def forward(weights, inputs):
            everything = joined(weights, inputs)
            return head(weights, embedding(weights, everything), everything)

        return architecture([joined, embedding, head], forward)
"""

import dataclasses
import math
from typing import Literal

import tensorflow as tf

from ecct_tf.edge.architecture import Readable, Weights
from ecct_tf.edge.arithmetic import (
    add,
    blend,
    layer_norm,
    masked_mean,
    masked_sum,
    matmul,
    multiply,
    newest_slots,
    per_row,
    product_sum,
    sigmoid,
    softmax,
    split,
    subtract,
    unstack_slots,
)
from ecct_tf.edge.dropout import Dropout
from ecct_tf.edge.embeddings import Embedding, EmbeddingBag
from ecct_tf.edge.layout import Part, Weight, check_sizes
from ecct_tf.edge.model import EdgeInputs, EdgeOutputs, EdgeSpec
from ecct_tf.edge.primitives import (
    add_row,
    attend,
    concat,
    dense,
    relu,
    row_dot,
    spread,
    tanh,
)
from ecct_tf.errors import ConfigError

__all__ = [
    "GRU",
    "Activation",
    "CrossNetwork",
    "Dense",
    "Dropout",
    "Embedding",
    "EmbeddingBag",
    "Head",
    "Inputs",
    "LayerNorm",
    "add",
    "add_row",
    "attend",
    "blend",
    "concat",
    "masked_mean",
    "masked_sum",
    "matmul",
    "multiply",
    "newest_slots",
    "per_row",
    "product_sum",
    "relu",
    "sigmoid",
    "softmax",
    "split",
    "subtract",
    "tanh",
    "unstack_slots",
]

Activation = Literal["linear", "relu", "tanh", "sigmoid"]
_ACTIVATIONS = {"linear": lambda values: values, "relu": relu, "tanh": tanh, "sigmoid": sigmoid}


@dataclasses.dataclass(frozen=True)
class Dense:
    """An affine map and an activation: `[..., B, inputs]` to `[..., B, outputs]`.

    Attributes:
      name: of its weights, unique in the model.
      inputs: width of what it reads.
      outputs: width of what it yields.
      activation: `linear`, `relu`, `tanh` or `sigmoid`.
      part: `backbone`, or `head` for weights that `edge.shared=backbone` keeps private.
    """

    name: str
    inputs: int
    outputs: int
    activation: Activation = "linear"
    part: Part = "backbone"

    def __post_init__(self) -> None:
        check_sizes(self, inputs=self.inputs, outputs=self.outputs)
        if self.activation not in _ACTIVATIONS:
            raise ConfigError(
                f"Dense {self.name!r}: expected an activation out of {', '.join(_ACTIVATIONS)}, "
                f"got {self.activation!r}"
            )

    @property
    def weights(self) -> tuple[Weight, ...]:
        """`kernel` `[inputs, outputs]` and `bias` `[outputs]`."""
        scale = 1.0 / math.sqrt(self.inputs)
        return (
            Weight(f"{self.name}/kernel", (self.inputs, self.outputs), self.part, scale),
            Weight(f"{self.name}/bias", (self.outputs,), self.part),
        )

    def __call__(self, weights: Weights, values: tf.Tensor) -> tf.Tensor:
        """The mapped rows."""
        kernel, bias = weights[f"{self.name}/kernel"], weights[f"{self.name}/bias"]
        return _ACTIVATIONS[self.activation](dense(values, kernel, bias))


@dataclasses.dataclass(frozen=True)
class GRU:
    """A gated recurrent unit over the newest slots of a history, unrolled.

    `[..., B, L, inputs]` with a mask `[..., B, L, 1]` to the last state `[..., B, units]`; slots
    out of use leave the state as it is.

    Attributes:
      name: of its weights.
      inputs: width of a slot.
      units: width of the state.
      steps: how many of the newest slots it reads; every step is a piece of the graph.
    """

    name: str
    inputs: int
    units: int
    steps: int = 10

    def __post_init__(self) -> None:
        check_sizes(self, inputs=self.inputs, units=self.units, steps=self.steps)

    @property
    def weights(self) -> tuple[Weight, ...]:
        """`kernel`, `recurrent` and their biases; gates in the order reset, update, new."""
        inputs, units = 1.0 / math.sqrt(self.inputs), 1.0 / math.sqrt(self.units)
        return (
            Weight(f"{self.name}/kernel", (self.inputs, 3 * self.units), "backbone", inputs),
            Weight(f"{self.name}/bias", (3 * self.units,), "backbone"),
            Weight(f"{self.name}/recurrent", (self.units, 3 * self.units), "backbone", units),
            Weight(f"{self.name}/recurrent_bias", (3 * self.units,), "backbone"),
        )

    def __call__(self, weights: Weights, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The state after the newest slot."""
        steps, units = min(self.steps, int(values.shape[-2])), self.units
        kernel, bias = weights[f"{self.name}/kernel"], weights[f"{self.name}/bias"]
        recurrent = weights[f"{self.name}/recurrent"]
        recurrent_bias = weights[f"{self.name}/recurrent_bias"]
        projected = unstack_slots(_by_slot(newest_slots(values, steps), kernel, bias))
        in_use = tf.unstack(mask[..., -steps:, :], num=steps, axis=-2)
        state = tf.zeros_like(projected[0][..., :units])
        for gates, used in zip(projected, in_use, strict=True):
            reset, update, new = split(gates, [units] * 3)
            own_reset, own_update, own_new = split(
                dense(state, recurrent, recurrent_bias), [units] * 3
            )
            kept = sigmoid(add(update, own_update))
            proposed = tanh(add(new, multiply(sigmoid(add(reset, own_reset)), own_new)))
            state = blend(used, blend(kept, state, proposed), state)
        return state


@dataclasses.dataclass(frozen=True)
class CrossNetwork:
    """Explicit feature crosses (DCN-v2): `x ← x₀ · (W x + b) + x`, `[..., B, width]` to the same.

    Attributes:
      name: of its weights.
      width: of what it reads and yields.
      layers: how many crosses; each raises the degree of the products by one.
      rank: of each W, which is then a product of two; None for a whole one.
    """

    name: str
    width: int
    layers: int = 2
    rank: int | None = None

    @property
    def _maps(self) -> list[list[Dense]]:
        if self.rank is None:
            return [[Dense(f"{self.name}/{k}", self.width, self.width)] for k in range(self.layers)]
        return [
            [
                Dense(f"{self.name}/{k}/down", self.width, self.rank),
                Dense(f"{self.name}/{k}/up", self.rank, self.width),
            ]
            for k in range(self.layers)
        ]

    @property
    def weights(self) -> tuple[Weight, ...]:
        """Those of its affine maps."""
        return tuple(each for maps in self._maps for one in maps for each in one.weights)

    def __call__(self, weights: Weights, values: tf.Tensor) -> tf.Tensor:
        """The crossed `values`."""
        crossed = values
        for maps in self._maps:
            mapped = crossed
            for one in maps:
                mapped = one(weights, mapped)
            crossed = add(multiply(values, mapped), crossed)
        return crossed


@dataclasses.dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation with a trainable scale and offset, `[..., B, width]` to the same.

    Attributes:
      name: of its weights.
      width: of a row.
    """

    name: str
    width: int

    @property
    def weights(self) -> tuple[Weight, ...]:
        """`scale`, of which 1 is taken away so that it starts at zero, and `offset`, `[width]`."""
        return (
            Weight(f"{self.name}/scale", (self.width,), "backbone"),
            Weight(f"{self.name}/offset", (self.width,), "backbone"),
        )

    def __call__(self, weights: Weights, values: tf.Tensor) -> tf.Tensor:
        """The normalised `values`."""
        scale = weights[f"{self.name}/scale"]
        return layer_norm(values, add(scale, tf.ones_like(scale)), weights[f"{self.name}/offset"])


@dataclasses.dataclass(frozen=True)
class Inputs:
    """All that every model may read, side by side: `[..., B, width]`.

    Interaction features, the cloud's embedding and logit, an embedding of each private category,
    the private numbers and the mean embedding of each private column of several values, where there
    are some: a model with this layer reads them. A model that ends in `Head` over them is never
    worse off than the linear re-ranker.

    Attributes:
      spec: the sizes.
    """

    spec: EdgeSpec

    @property
    def width(self) -> int:
        """How many values a row has."""
        columns = len(self.spec.profile_sizes) + len(self.spec.profile_sets)
        profile = self.spec.profile_dim * columns
        numbers = 2 * self.spec.profile_numbers
        return self.spec.interaction_dim + self.spec.cloud_dim + 1 + profile + numbers

    @property
    def reads(self) -> tuple[Readable, ...]:
        """What a model must declare for it."""
        numbers: tuple[Readable, ...] = ("numbers",) if self.spec.profile_numbers else ()
        return (*numbers, "sets") if self.spec.profile_sets else numbers

    @property
    def _columns(self) -> list[Embedding]:
        return [
            Embedding(f"profile_{index}", rows, self.spec.profile_dim)
            for index, rows in enumerate(self.spec.profile_sizes)
        ]

    @property
    def _sets(self) -> list[EmbeddingBag]:
        return [
            EmbeddingBag(f"set_{index}", values, self.spec.profile_dim)
            for index, values in enumerate(self.spec.profile_sets)
        ]

    @property
    def weights(self) -> tuple[Weight, ...]:
        """A table for each private column of categories or of several values."""
        tables: list[Embedding | EmbeddingBag] = [*self._columns, *self._sets]
        return tuple(weight for table in tables for weight in table.weights)

    def __call__(self, weights: Weights, inputs: EdgeInputs) -> tf.Tensor:
        """The inputs of each row."""
        profile = [
            column(weights, inputs.profile[..., index])
            for index, column in enumerate(self._columns)
        ]
        if inputs.numbers is not None:
            profile.append(inputs.numbers)
        if inputs.sets is not None:
            shares = split(inputs.sets, list(self.spec.profile_sets))
            profile += [bag(weights, part) for bag, part in zip(self._sets, shares, strict=True)]
        if profile and inputs.profile.shape[-2] == 1:
            # One user for all rows, as on a phone.
            profile = [spread(concat(profile), inputs.interactions)]
        return concat(
            [
                inputs.interactions,
                inputs.cloud_embedding,
                tf.expand_dims(inputs.cloud_logit, -1),
                *profile,
            ]
        )


@dataclasses.dataclass(frozen=True)
class Head:
    """The logit, linear in the edge embedding and in further inputs; the private part of a model.

    Attributes:
      embedding_dim: width of the embedding, `spec.embedding_dim`.
      width: of the further inputs.
      targets: names of the further targets, `spec.targets`: a logit each, linear in the same.
    """

    embedding_dim: int
    width: int
    targets: tuple[str, ...] = ()

    @property
    def _others(self) -> Dense:
        width = self.embedding_dim + self.width
        return Dense("targets", width, len(self.targets), part="head")

    @property
    def weights(self) -> tuple[Weight, ...]:
        """`embedding` `[embedding_dim]`, `inputs` `[width]` and `bias` `[1]`; those of targets."""
        return (
            # The part that reads the embedding starts random, lest nothing flow back through it.
            Weight(
                "head/embedding", (self.embedding_dim,), "head", 1.0 / math.sqrt(self.embedding_dim)
            ),
            Weight("head/inputs", (self.width,), "head"),
            Weight("head/bias", (1,), "head"),
            *(self._others.weights if self.targets else ()),
        )

    def __call__(self, weights: Weights, embedding: tf.Tensor, others: tf.Tensor) -> EdgeOutputs:
        """What the model answers."""
        both = concat([embedding, others])
        kernel = concat([weights["head/embedding"], weights["head/inputs"]])
        logit = row_dot(both, kernel, weights["head/bias"])
        if not self.targets:
            return EdgeOutputs(embedding, logit)
        return EdgeOutputs(embedding, logit, self._others(weights, both))


def _by_slot(values: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """An affine map of `[..., B, L, in]`, whose slots become rows of one matrix product."""
    shape, outputs = tf.shape(values), int(kernel.shape[-1])
    lead = [shape[0]] if kernel.shape.rank == 3 else []
    flat = tf.reshape(values, [*lead, -1, int(values.shape[-1])])
    mapped = tf.reshape(dense(flat, kernel, bias), tf.concat([shape[:-1], [outputs]], axis=0))
    mapped.set_shape([*values.shape[:-1], outputs])
    return mapped
