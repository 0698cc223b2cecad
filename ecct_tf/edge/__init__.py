"""The edge model: pure functions that run alike in the simulation and on a phone.

`interaction_features` turns a device's history and the item table into frozen features;
`pair_inputs` adds the private profile and the cloud's knowledge; `build_edge_model`
gives one of three tiers as a forward function over one flat weight vector. All of it
is written over primitives whose forward and gradient use TFLite builtin operators.
"""

from ecct_tf.edge.features import (
    Interactions,
    ItemTensors,
    interaction_features,
    item_tensors,
    pad_history,
)
from ecct_tf.edge.inputs import cloud_knowledge, input_logit, pair_inputs
from ecct_tf.edge.layout import Weight, WeightLayout
from ecct_tf.edge.model import EdgeInputs, EdgeModel, EdgeOutputs, EdgeSpec
from ecct_tf.edge.optimizers import LocalOptimizer, build_optimizer
from ecct_tf.edge.tiers import build_edge_model

__all__ = [
    "EdgeInputs",
    "EdgeModel",
    "EdgeOutputs",
    "EdgeSpec",
    "Interactions",
    "ItemTensors",
    "LocalOptimizer",
    "Weight",
    "WeightLayout",
    "build_edge_model",
    "build_optimizer",
    "cloud_knowledge",
    "input_logit",
    "interaction_features",
    "item_tensors",
    "pad_history",
    "pair_inputs",
]
