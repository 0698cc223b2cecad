"""The configuration of a run as frozen dataclasses that check themselves.

`RunConfig` is the tree; a YAML file mirrors it key by key, and `--set section.key=value`
overrides single values. One name means one thing from the YAML file to the code to the
run folder. Nothing here imports TensorFlow, so a mistake is told before any work.
"""

from ecct_tf.config.cloud import CloudConfig, LabelVisibility
from ecct_tf.config.edge import (
    OPTIMIZERS,
    SHARINGS,
    TIERS,
    EdgeConfig,
    FeatureConfig,
    OptimizerName,
    SampleConfig,
    Sharing,
    Tier,
    TrainingConfig,
)
from ecct_tf.config.exchange import (
    CODECS,
    CodecName,
    ExchangeConfig,
    ParticipationConfig,
    RuntimeConfig,
    ServerConfig,
)
from ecct_tf.config.loading import dump_config, load_config
from ecct_tf.config.run import DATASETS, DataConfig, DatasetName, EvaluationConfig, RunConfig

__all__ = [
    "CODECS",
    "DATASETS",
    "OPTIMIZERS",
    "SHARINGS",
    "TIERS",
    "CloudConfig",
    "CodecName",
    "DataConfig",
    "DatasetName",
    "EdgeConfig",
    "EvaluationConfig",
    "ExchangeConfig",
    "FeatureConfig",
    "LabelVisibility",
    "OptimizerName",
    "ParticipationConfig",
    "RunConfig",
    "RuntimeConfig",
    "SampleConfig",
    "ServerConfig",
    "Sharing",
    "Tier",
    "TrainingConfig",
    "dump_config",
    "load_config",
]
