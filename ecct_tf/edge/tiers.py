"""The three edge architectures, from a few hundred to a few thousand weights.

`linear` maps the inputs to the embedding `h_e` and adds a logit that is linear in
everything, `mlp` puts one hidden layer before the embedding, `attention` lets the
candidate attend over the recent history first. All end in the same head: a logit
that is linear in `h_e` and in the raw inputs, so that a weak device never does
worse than the linear re-ranker. They are builders as anybody's: see `ecct_tf.edge.architecture`.
"""

import tensorflow as tf

from ecct_tf.edge import layers
from ecct_tf.edge.architecture import Architecture, Weights, architecture
from ecct_tf.edge.layout import Weight
from ecct_tf.edge.model import EdgeInputs, EdgeOutputs, EdgeSpec
from ecct_tf.edge.primitives import add_row, attend, concat, dense

__all__ = ["attention", "linear", "mlp"]


def linear(spec: EdgeSpec) -> Architecture:
    """The embedding is linear in all inputs, and so is the logit."""
    joined = layers.Inputs(spec)
    embedding = layers.Dense("embedding", joined.width, spec.embedding_dim)
    head = layers.Head(spec.embedding_dim, joined.width, spec.targets)

    def forward(weights: Weights, inputs: EdgeInputs) -> EdgeOutputs:
        everything = joined(weights, inputs)
        return head(weights, embedding(weights, everything), everything)

    return architecture([joined, embedding, head], forward)


def mlp(spec: EdgeSpec) -> Architecture:
    """One hidden layer before the embedding."""
    joined = layers.Inputs(spec)
    hidden = layers.Dense("hidden", joined.width, spec.hidden_dim, "relu")
    embedding = layers.Dense("embedding", spec.hidden_dim, spec.embedding_dim, "tanh")
    head = layers.Head(spec.embedding_dim, joined.width, spec.targets)

    def forward(weights: Weights, inputs: EdgeInputs) -> EdgeOutputs:
        everything = joined(weights, inputs)
        return head(weights, embedding(weights, hidden(weights, everything)), everything)

    return architecture([joined, hidden, embedding, head], forward)


def attention(spec: EdgeSpec) -> Architecture:
    """The candidate attends over the dot products of the recent history first."""
    joined = layers.Inputs(spec)
    width = joined.width + spec.heads * spec.num_blocks
    scores = _Scores(spec)
    hidden = layers.Dense("hidden", width, spec.hidden_dim, "relu")
    embedding = layers.Dense("embedding", spec.hidden_dim, spec.embedding_dim, "tanh")
    head = layers.Head(spec.embedding_dim, width, spec.targets)

    def forward(weights: Weights, inputs: EdgeInputs) -> EdgeOutputs:
        attended = scores.attended(weights, inputs)
        everything = concat([joined(weights, inputs), attended])
        return head(weights, embedding(weights, hidden(weights, everything)), everything)

    return architecture([joined, scores, hidden, embedding, head], forward, reads=["slots"])


class _Scores:
    """The score of a history slot: linear in its dot products, plus a bias for its age."""

    def __init__(self, spec: EdgeSpec) -> None:
        self._spec = spec

    @property
    def weights(self) -> tuple[Weight, ...]:
        length, heads, blocks = self._sizes
        return (
            Weight("attention/kernel", (blocks, heads), "backbone", 0.5),
            Weight("attention/recency", (length * heads,), "backbone", 0.1),
        )

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return self._spec.history_length, self._spec.heads, self._spec.num_blocks

    def attended(self, weights: Weights, inputs: EdgeInputs) -> tf.Tensor:
        """Target attention over the history: `[..., B, heads * num_blocks] float32`."""
        length, heads, blocks = self._sizes
        stacked = inputs.slots.shape.rank == 4
        lead = [tf.shape(inputs.slots)[0]] if stacked else []
        # One matrix product over all (pair, slot) rows: the score of a slot is linear in the
        # candidate's dot products with it, plus a learned bias for how long ago it was.
        rows = tf.reshape(inputs.slots, [*lead, -1, blocks])
        no_bias = tf.zeros_like(weights["attention/kernel"][..., 0, :])
        content = dense(rows, weights["attention/kernel"], no_bias)
        content = tf.reshape(content, [*lead, -1, length * heads])
        scores = add_row(content, weights["attention/recency"])
        scores = tf.reshape(scores, [*lead, -1, length, heads])
        pooled = attend(scores, inputs.slots, inputs.slot_mask)
        return tf.reshape(pooled, [*lead, -1, heads * blocks])
