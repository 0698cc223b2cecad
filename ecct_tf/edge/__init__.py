from ecct_tf.edge.features import FeatureConfig, Interactions, ItemTensors, interaction_features, item_tensors, pad_history
from ecct_tf.edge.layout import Sharing, Weight, WeightLayout
from ecct_tf.edge.model import TIERS, EdgeInputs, EdgeModel, EdgeOutputs, EdgeSpec, Tier
from ecct_tf.edge.optimizers import OPTIMIZERS, LocalOptimizer, OptimizerName, build_optimizer
from ecct_tf.edge.tiers import build_edge_model
