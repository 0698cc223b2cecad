"""The three edge architectures, from a few hundred to a few thousand weights.

`linear` maps the inputs to the embedding `h_e` and adds a logit that is linear in
everything, `mlp` puts one hidden layer before the embedding, `attention` lets the
candidate attend over the recent history first. All end in the same head: a logit
that is linear in `h_e` and in the raw inputs, so that a weak device never does
worse than the linear re-ranker.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ecct_tf.config import TIERS, Tier
from ecct_tf.edge.layout import Weight, WeightLayout
from ecct_tf.edge.model import EdgeInputs, EdgeModel, EdgeOutputs, EdgeSpec
from ecct_tf.edge.primitives import attend, concat, dense, embed, relu, row_dot, spread, tanh
from ecct_tf.errors import ConfigError

__all__ = ["build_edge_model"]

Weights = dict[str, tf.Tensor]


def build_edge_model(tier: Tier, spec: EdgeSpec) -> EdgeModel:
    """Builds the edge architecture `tier` for the sizes in `spec`.

    Raises:
      ConfigError: when the tier is unknown.
    """
    builders: dict[str, Callable[[EdgeSpec], EdgeModel]] = {
        "linear": _linear,
        "mlp": _mlp,
        "attention": _attention,
    }
    if tier not in builders:
        raise ConfigError(f"expected an edge tier out of {TIERS}, got {tier!r}")
    return builders[tier](spec)


def _linear(spec: EdgeSpec) -> EdgeModel:
    width = _input_width(spec)
    layout = WeightLayout(
        (
            *_profile_weights(spec),
            *_dense_weights("embedding", width, spec.embedding_dim),
            *_head_weights(spec, width),
        )
    )

    def forward(flat: tf.Tensor, inputs: EdgeInputs) -> EdgeOutputs:
        weights = layout.unpack(flat)
        joined = _join(weights, inputs, spec)
        embedding = dense(joined, weights["embedding/kernel"], weights["embedding/bias"])
        return _head(weights, embedding, joined)

    return EdgeModel("linear", spec, layout, False, forward)


def _mlp(spec: EdgeSpec) -> EdgeModel:
    width = _input_width(spec)
    layout = WeightLayout(
        (
            *_profile_weights(spec),
            *_dense_weights("hidden", width, spec.hidden_dim),
            *_dense_weights("embedding", spec.hidden_dim, spec.embedding_dim),
            *_head_weights(spec, width),
        )
    )

    def forward(flat: tf.Tensor, inputs: EdgeInputs) -> EdgeOutputs:
        weights = layout.unpack(flat)
        joined = _join(weights, inputs, spec)
        return _head(weights, _hidden_to_embedding(weights, joined), joined)

    return EdgeModel("mlp", spec, layout, False, forward)


def _attention(spec: EdgeSpec) -> EdgeModel:
    attended_width = spec.heads * spec.num_blocks
    width = _input_width(spec) + attended_width
    layout = WeightLayout(
        (
            *_profile_weights(spec),
            Weight("attention/kernel", (spec.num_blocks, spec.heads), "backbone", 0.5),
            Weight("attention/recency", (spec.history_length * spec.heads,), "backbone", 0.1),
            *_dense_weights("hidden", width, spec.hidden_dim),
            *_dense_weights("embedding", spec.hidden_dim, spec.embedding_dim),
            *_head_weights(spec, width),
        )
    )

    def forward(flat: tf.Tensor, inputs: EdgeInputs) -> EdgeOutputs:
        weights = layout.unpack(flat)
        attended = _attended(weights, inputs, spec)
        joined = concat([_join(weights, inputs, spec), attended])
        return _head(weights, _hidden_to_embedding(weights, joined), joined)

    return EdgeModel("attention", spec, layout, True, forward)


def _attended(weights: Weights, inputs: EdgeInputs, spec: EdgeSpec) -> tf.Tensor:
    """Target attention over the history: `[..., B, heads * num_blocks] float32`."""
    length, heads, blocks = spec.history_length, spec.heads, spec.num_blocks
    stacked = inputs.slots.shape.rank == 4
    lead = [tf.shape(inputs.slots)[0]] if stacked else []
    # One matrix product over all (pair, slot) rows: the score of a slot is linear in the
    # candidate's dot products with it, plus a learned bias for how long ago it was.
    rows = tf.reshape(inputs.slots, [*lead, -1, blocks])
    no_bias = tf.zeros_like(weights["attention/kernel"][..., 0, :])
    content = dense(rows, weights["attention/kernel"], no_bias)
    content = tf.reshape(content, [*lead, -1, length * heads])
    scores = _add_row(content, weights["attention/recency"])
    scores = tf.reshape(scores, [*lead, -1, length, heads])
    pooled = attend(scores, inputs.slots, inputs.slot_mask)
    return tf.reshape(pooled, [*lead, -1, heads * blocks])


@tf.custom_gradient
def _add_row(rows: tf.Tensor, row: tf.Tensor) -> Any:
    """Adds `row` `[..., n]` to each of `rows` `[..., B, n]`."""
    return rows + tf.expand_dims(row, -2), lambda up: (up, tf.reduce_sum(up, axis=-2))


def _hidden_to_embedding(weights: Weights, joined: tf.Tensor) -> tf.Tensor:
    hidden = relu(dense(joined, weights["hidden/kernel"], weights["hidden/bias"]))
    return tanh(dense(hidden, weights["embedding/kernel"], weights["embedding/bias"]))


def _join(weights: Weights, inputs: EdgeInputs, spec: EdgeSpec) -> tf.Tensor:
    """Fuses private features and cloud knowledge: `[..., B, width] float32`."""
    profile = [
        embed(weights[f"profile_{index}"], inputs.profile[..., index], rows=rows)
        for index, rows in enumerate(spec.profile_sizes)
    ]
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


def _head(weights: Weights, embedding: tf.Tensor, joined: tf.Tensor) -> EdgeOutputs:
    both = concat([embedding, joined])
    kernel = concat([weights["head/embedding"], weights["head/inputs"]])
    return EdgeOutputs(embedding, row_dot(both, kernel, weights["head/bias"]))


def _input_width(spec: EdgeSpec) -> int:
    profile = spec.profile_dim * len(spec.profile_sizes)
    return spec.interaction_dim + spec.cloud_dim + 1 + profile


def _profile_weights(spec: EdgeSpec) -> tuple[Weight, ...]:
    return tuple(
        Weight(f"profile_{index}", (rows, spec.profile_dim), "backbone", 0.1)
        for index, rows in enumerate(spec.profile_sizes)
    )


def _dense_weights(name: str, inputs: int, outputs: int) -> tuple[Weight, ...]:
    return (
        Weight(f"{name}/kernel", (inputs, outputs), "backbone", 1.0 / math.sqrt(inputs)),
        Weight(f"{name}/bias", (outputs,), "backbone"),
    )


def _head_weights(spec: EdgeSpec, width: int) -> tuple[Weight, ...]:
    return (
        # The part that reads the embedding starts random, lest nothing flow back through it.
        Weight(
            "head/embedding", (spec.embedding_dim,), "head", 1.0 / math.sqrt(spec.embedding_dim)
        ),
        Weight("head/inputs", (width,), "head"),
        Weight("head/bias", (1,), "head"),
    )
