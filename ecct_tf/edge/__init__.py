"""The edge model: pure functions that run alike in the simulation and on a phone.

`interaction_features` turns a device's history and the item table into frozen features;
`pair_inputs` adds the private profile and the cloud's knowledge; `build_edge_model`
gives the model of a name as a forward function over one flat weight vector: one of three tiers, or
anybody's own, whose builder returns an `Architecture` of `layers`. All of it is written over
primitives whose forward and gradient use TFLite builtin operators.
"""

from ecct_tf.edge import layers
from ecct_tf.edge.architecture import Architecture, Weights, architecture
from ecct_tf.edge.building import (
    build_edge_model,
    check_edge_models,
    largest_tier,
    model_of,
)
from ecct_tf.edge.dropout import row_keys
from ecct_tf.edge.features import (
    Interactions,
    interaction_features,
    no_slots,
    pad_history,
)
from ecct_tf.edge.inputs import (
    cloud_knowledge,
    cloud_told,
    input_embedding,
    input_logit,
    pair_inputs,
    with_item_vectors,
)
from ecct_tf.edge.item_tensors import (
    ItemTensors,
    item_tensors,
    laid_out,
    read_rows,
    table_tensors,
)
from ecct_tf.edge.layout import Weight, WeightLayout
from ecct_tf.edge.loss_registry import build_loss, changed_losses, check_losses, loss_origins
from ecct_tf.edge.losses import EdgeLoss
from ecct_tf.edge.model import EdgeInputs, EdgeModel, EdgeOutputs, EdgeSpec
from ecct_tf.edge.optimizers import LocalOptimizer, build_optimizer
from ecct_tf.edge.origin import changed_sources, edge_origins
from ecct_tf.edge.task import DeviceTask
from ecct_tf.edge.training_loss import collaborative_loss

__all__ = [
    "Architecture",
    "DeviceTask",
    "EdgeInputs",
    "EdgeLoss",
    "EdgeModel",
    "EdgeOutputs",
    "EdgeSpec",
    "Interactions",
    "ItemTensors",
    "LocalOptimizer",
    "Weight",
    "WeightLayout",
    "Weights",
    "architecture",
    "build_edge_model",
    "build_loss",
    "build_optimizer",
    "changed_losses",
    "changed_sources",
    "check_edge_models",
    "check_losses",
    "cloud_knowledge",
    "cloud_told",
    "collaborative_loss",
    "edge_origins",
    "input_embedding",
    "input_logit",
    "interaction_features",
    "item_tensors",
    "laid_out",
    "largest_tier",
    "layers",
    "loss_origins",
    "model_of",
    "no_slots",
    "pad_history",
    "pair_inputs",
    "read_rows",
    "row_keys",
    "table_tensors",
    "with_item_vectors",
]
