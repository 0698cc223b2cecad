"""The configuration of a run as frozen dataclasses that check themselves.

`RunConfig` is the tree; a YAML file mirrors it key by key, and `--set section.key=value`
overrides single values. One name means one thing from the YAML file to the code to the
run folder. Nothing here imports TensorFlow, so a mistake is told before any work.
"""

from ecct_tf.config.attack import AttackConfig
from ecct_tf.config.baselines import (
    CentralizedConfig,
    DeviceCloudConfig,
    EdgeOnlyConfig,
    FederatedBaselineConfig,
    FineTuningConfig,
    PersonalEmbeddingConfig,
)
from ecct_tf.config.candidate_rows import CandidateRowsConfig
from ecct_tf.config.cloud import CloudConfig, LabelVisibility, NextItemConfig, SimilarityConfig
from ecct_tf.config.codec_names import (
    CODEC_ENTRY_POINTS,
    CODECS,
    CodecName,
    check_codec_name,
    codec_names,
    codec_target,
    is_own_codec,
)
from ecct_tf.config.data import SPLITS, DataConfig, SplitName
from ecct_tf.config.data_names import (
    DATA_ENTRY_POINTS,
    DATASETS,
    IN_MEMORY,
    check_dataset_name,
    dataset_names,
    dataset_target,
    is_own_dataset,
)
from ecct_tf.config.data_titles import data_title
from ecct_tf.config.edge import (
    CLOCK_CONTEXT,
    OPTIMIZERS,
    SHARINGS,
    STARTS,
    TIERS,
    EdgeConfig,
    FeatureConfig,
    OptimizerName,
    SampleConfig,
    Sharing,
    StartName,
    Tier,
    TrainingConfig,
    check_tier_form,
    tier_slug,
)
from ecct_tf.config.edge_names import check_tier_names, edge_model_names
from ecct_tf.config.exchange import (
    AnswerBy,
    EngineName,
    ExchangeConfig,
    ItemsName,
    RuntimeConfig,
    ServerConfig,
)
from ecct_tf.config.increments import IncrementConfig
from ecct_tf.config.item_sums import ItemSumConfig
from ecct_tf.config.loading import TypedOption, dump_config, load_config, load_over
from ecct_tf.config.method_names import (
    EDGE_METHODS,
    METHOD_ENTRY_POINTS,
    METHODS,
    check_method_name,
    is_own_method,
    method_names,
    method_target,
)
from ecct_tf.config.outcomes import GradeConfig, TargetConfig, WeightConfig
from ecct_tf.config.participation import (
    AvailabilityConfig,
    DelayConfig,
    MembershipConfig,
    ParticipationConfig,
)
from ecct_tf.config.privacy import PrivacyConfig
from ecct_tf.config.recent_popularity import RecentPopularityConfig
from ecct_tf.config.run import (
    CATALOG_SCOPES,
    ROUNDS_KEYS,
    CatalogScope,
    CheckpointConfig,
    EvaluationConfig,
    RunConfig,
    rounds_key,
)
from ecct_tf.config.skew import SkewConfig
from ecct_tf.config.start import StartConfig
from ecct_tf.config.worker_addresses import listed_workers

__all__ = [
    "CATALOG_SCOPES",
    "CLOCK_CONTEXT",
    "CODECS",
    "CODEC_ENTRY_POINTS",
    "DATASETS",
    "DATA_ENTRY_POINTS",
    "EDGE_METHODS",
    "IN_MEMORY",
    "METHODS",
    "METHOD_ENTRY_POINTS",
    "OPTIMIZERS",
    "ROUNDS_KEYS",
    "SHARINGS",
    "SPLITS",
    "STARTS",
    "TIERS",
    "AnswerBy",
    "AttackConfig",
    "AvailabilityConfig",
    "CandidateRowsConfig",
    "CatalogScope",
    "CentralizedConfig",
    "CheckpointConfig",
    "CloudConfig",
    "CodecName",
    "DataConfig",
    "DelayConfig",
    "DeviceCloudConfig",
    "EdgeConfig",
    "EdgeOnlyConfig",
    "EngineName",
    "EvaluationConfig",
    "ExchangeConfig",
    "FeatureConfig",
    "FederatedBaselineConfig",
    "FineTuningConfig",
    "GradeConfig",
    "IncrementConfig",
    "ItemSumConfig",
    "ItemsName",
    "LabelVisibility",
    "MembershipConfig",
    "NextItemConfig",
    "OptimizerName",
    "ParticipationConfig",
    "PersonalEmbeddingConfig",
    "PrivacyConfig",
    "RecentPopularityConfig",
    "RunConfig",
    "RuntimeConfig",
    "SampleConfig",
    "ServerConfig",
    "Sharing",
    "SimilarityConfig",
    "SkewConfig",
    "SplitName",
    "StartConfig",
    "StartName",
    "TargetConfig",
    "Tier",
    "TrainingConfig",
    "TypedOption",
    "WeightConfig",
    "check_codec_name",
    "check_dataset_name",
    "check_method_name",
    "check_tier_form",
    "check_tier_names",
    "codec_names",
    "codec_target",
    "data_title",
    "dataset_names",
    "dataset_target",
    "dump_config",
    "edge_model_names",
    "is_own_codec",
    "is_own_dataset",
    "is_own_method",
    "listed_workers",
    "load_config",
    "load_over",
    "method_names",
    "method_target",
    "rounds_key",
    "tier_slug",
]
