"""GRU4Rec's idea as an edge model: a recurrent unit reads the newest items, oldest first.

Its last state is where the user stands; the candidate's item vector is projected into the same
space, and the product of both, beside what every edge model may read, becomes the edge embedding.
"""

from ecct_tf.edge import Architecture, EdgeInputs, EdgeOutputs, EdgeSpec, Weights, architecture
from ecct_tf.edge import layers as kit

_UNITS = 16
_STEPS = 8


def gru4rec(spec: EdgeSpec) -> Architecture:
    """The edge model `own_edge_models.gru:gru4rec`.

    Args:
      spec: the sizes of the run; `spec.item_dim` is the width of an item vector.
    """
    inputs = kit.Inputs(spec)
    gru = kit.GRU("gru", spec.item_dim, _UNITS, steps=_STEPS)
    candidate = kit.Dense("candidate", spec.item_dim, _UNITS)
    width = inputs.width + 2 * _UNITS
    embedding = kit.Dense("embedding", width, spec.embedding_dim, "tanh")
    head = kit.Head(spec.embedding_dim, width, spec.targets)

    def forward(weights: Weights, given: EdgeInputs) -> EdgeOutputs:
        state = gru(weights, given.history_items, given.history_mask)
        # One history for all candidates when a phone ranks, one for each row when it trains.
        state = kit.per_row(state, given.interactions)
        match = kit.multiply(state, candidate(weights, given.candidate_items))
        everything = kit.concat([inputs(weights, given), state, match])
        return head(weights, embedding(weights, everything), everything)

    return architecture([inputs, gru, candidate, embedding, head], forward, reads=["items"])
