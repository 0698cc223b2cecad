"""A deep and cross network as an edge model: explicit products of the inputs beside a hidden layer.

The cross network reads what every edge model may read; nothing more is computed for it.
"""

from ecct_tf.edge import Architecture, EdgeInputs, EdgeOutputs, EdgeSpec, Weights, architecture
from ecct_tf.edge import layers as kit

_RANK = 8


def dcn(spec: EdgeSpec) -> Architecture:
    """The edge model `own_edge_models.dcn:dcn`.

    Args:
      spec: the sizes of the run.
    """
    inputs = kit.Inputs(spec)
    cross = kit.CrossNetwork("cross", inputs.width, layers=2, rank=_RANK)
    norm = kit.LayerNorm("norm", inputs.width)
    deep = kit.Dense("deep", inputs.width, spec.hidden_dim, "relu")
    width = inputs.width + spec.hidden_dim
    embedding = kit.Dense("embedding", width, spec.embedding_dim, "tanh")
    head = kit.Head(spec.embedding_dim, inputs.width, spec.targets)

    def forward(weights: Weights, given: EdgeInputs) -> EdgeOutputs:
        everything = inputs(weights, given)
        crossed = norm(weights, cross(weights, everything))
        both = kit.concat([crossed, deep(weights, everything)])
        return head(weights, embedding(weights, both), everything)

    return architecture([inputs, cross, norm, deep, embedding, head], forward)
