"""The configuration of a retraining job: the tree that `job.yaml` mirrors."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from cloud.retraining.edge_config import EdgeModelsConfig, EdgeStartConfig
from cloud.retraining.engine_config import EngineConfig
from ecct_tf.config import (
    CloudConfig,
    CodecName,
    DataConfig,
    FeatureConfig,
    SampleConfig,
    TrainingConfig,
    check_codec_name,
    load_over,
)
from ecct_tf.config.checks import (
    at_least,
    numbers,
    one_of,
    positive,
    shorter_than_candidates,
    within,
)
from ecct_tf.config.exchange import check_table_codec
from ecct_tf.config.table_names import AUTO, check_table_form
from ecct_tf.data.outcomes import outcome_columns
from ecct_tf.errors import ConfigError

__all__ = [
    "ClusterConfig",
    "Distribution",
    "EngineConfig",
    "GateConfig",
    "GateMetric",
    "JobCheckpointConfig",
    "JobConfig",
    "UplinkConfig",
    "UplinkLogConfig",
    "ValidationConfig",
    "load_job_config",
]

Distribution = Literal["none", "mirrored", "multi_worker_mirrored", "parameter_server"]
GateMetric = Literal["hr", "ndcg", "mrr"]
Start = Literal["warm", "scratch"]
History = Literal["older", "all"]

_PATHS = ("registry", "uplinks", "data.schema", "data.folder")


@dataclasses.dataclass(frozen=True)
class UplinkConfig:
    """What the cloud declared to the devices; other uplinks are put into quarantine.

    Attributes:
      queries: Q, items that a device is asked about at once.
      embedding_dim: d_e, width of the edge embedding `h_e`.
      codec: codec of embeddings and logits, and of the published item table unless `item_table`
        says otherwise: one as in `exchange.codec` of a run.
      item_table: format of the published item table, as `exchange.item_table` of a run.
      clip_norm: largest Euclidean norm of an `h_e` that leaves a device.
      clip_logit: largest absolute `z_e` that leaves a device.
      noise_multiplier: multiplier of the noise that devices add to their uplinks.
      use_logits: whether the cloud learns from the edge's logits if uplinks have them.
    """

    queries: int = 24
    embedding_dim: int = 16
    codec: CodecName = "int8"
    item_table: str | None = AUTO
    clip_norm: float = 8.0
    clip_logit: float = 12.0
    noise_multiplier: float = 0.0
    use_logits: bool = True

    def __post_init__(self) -> None:
        numbers(self, "exchange")
        check_codec_name(self.codec, setting="exchange.codec")
        check_table_codec(self.codec, self.item_table)
        if self.item_table is not None:
            check_table_form(self.item_table, setting="exchange.item_table")
        at_least(self, "exchange", 1, "queries", "embedding_dim")
        at_least(self, "exchange", 0, "noise_multiplier")
        positive(self, "exchange", "clip_norm", "clip_logit")


@dataclasses.dataclass(frozen=True)
class UplinkLogConfig:
    """What the job accepts from the uplink log, besides the format of an uplink.

    Attributes:
      max_refused: the largest share of devices, and of records that name none, that may be
        refused for one reason; beyond it the job stops before anything counts as read.
      max_device_share: largest share of the training signal that one device's answers may have;
        with fewer devices than its inverse, all of them weigh less.
      max_item_share: largest share of it that the answers about one item may have.
      newest_round: the last round in which devices were asked, if rounds are not counted by `ecct
        cloud publish` or a simulation; null reads their records.
      clock_slack_hours: tolerance for a device's clock; an answer further in the future, or from
        further before its round was opened, is refused.
    """

    max_refused: float = 0.05
    max_device_share: float = 0.05
    max_item_share: float = 0.05
    newest_round: int | None = None
    clock_slack_hours: float = 24.0

    def __post_init__(self) -> None:
        numbers(self, "uplink_log")
        if self.newest_round is not None:
            within(self, "uplink_log", 0, 2**31 - 1, "newest_round")
        within(self, "uplink_log", 0, 1, "max_refused", "max_device_share", "max_item_share")
        positive(self, "uplink_log", "max_device_share", "max_item_share")
        within(self, "uplink_log", 0, 24 * 366, "clock_slack_hours")


@dataclasses.dataclass(frozen=True)
class ValidationConfig:
    """How the job measures itself: on its own view's newest interaction of each user.

    Attributes:
      negatives: number of sampled candidates to rank with the held-out item, none of them in the
        user's history as the cloud knows it.
      k: list length of HR@K and NDCG@K, below the number of candidates.
      metric: metric for early stopping, the choice of the epoch, and the gate.
      patience: epochs without improvement after which training stops.
      users: largest number of users that it is measured on after each epoch; of more, so many
        are drawn from the seed.
    """

    negatives: int = 99
    k: int = 10
    metric: GateMetric = "ndcg"
    patience: int = 3
    users: int = 20_000

    def __post_init__(self) -> None:
        numbers(self, "validation")
        at_least(self, "validation", 1, "negatives", "k", "patience", "users")
        shorter_than_candidates(self, "validation")
        one_of(self, "validation", "metric", get_args(GateMetric))


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """When a new version may take the place of the promoted one.

    Attributes:
      promote: whether the job promotes at all; otherwise it only stores and compares.
      held_out: largest number of a user's newest interactions that only the gate reads; the more,
        the narrower the interval of the difference.
      users: largest number of users whose interactions the gate reads; of more, so many are drawn
        from the seed.
      confidence: confidence level of that interval. Half its width is the gate's room: the loss,
        accumulated since the best version of the chain, that chance alone may cause.
      largest_loss: bound on the room, as a share of the promoted version's quality, for when there
        are too few users.
      minimum_gain: smallest `validation.metric` of the new version minus the promoted one's, on the
        same candidates, beyond the room; negative allows a loss beyond it.
    """

    promote: bool = True
    held_out: int = 4
    users: int = 50_000
    confidence: float = 0.95
    largest_loss: float = 0.05
    minimum_gain: float = 0.0

    def __post_init__(self) -> None:
        numbers(self, "gate")
        at_least(self, "gate", 1, "held_out", "users")
        at_least(self, "gate", 0, "largest_loss")
        if not 0 < self.confidence < 1:
            raise ConfigError(
                f"gate.confidence: expected a value between 0 and 1, got {self.confidence}; "
                "0.95 is usual"
            )


@dataclasses.dataclass(frozen=True)
class JobCheckpointConfig:
    """When the job's whole state is written.

    Attributes:
      every: steps between checkpoints; the end of an epoch always has one.
      keep: number of the newest checkpoints to keep.
    """

    every: int = 200
    keep: int = 2

    def __post_init__(self) -> None:
        numbers(self, "checkpoint")
        at_least(self, "checkpoint", 1, "every", "keep")


@dataclasses.dataclass(frozen=True)
class ClusterConfig:
    """How the processes of a distributed job wait for each other.

    Attributes:
      wait_seconds: longest wait for a process that is missing, was lost, or does not answer in a
        step; then the job ends and names it.
    """

    wait_seconds: float = 600.0

    def __post_init__(self) -> None:
        numbers(self, "cluster")
        positive(self, "cluster", "wait_seconds")


@dataclasses.dataclass(frozen=True)
class JobConfig:
    """One retraining job.

    Attributes:
      registry: folder of the registry, which has the last version and gets the new one.
      uplinks: folder of the uplink log; null trains only on history.
      start: `warm` continues from the promoted version and keeps its item side, which devices hold;
        if none was promoted yet it begins from scratch. `scratch` computes a new item side and
        trains everything again; users and items keep their numbers.
      seed: seed from which all randomness derives.
      history: `older`, if `data` holds everything and the cloud may see the older part, as in a
        simulation; `all`, if `data` is only what the cloud holds anyway.
      distribution: `none`, `mirrored`, `multi_worker_mirrored` or `parameter_server`.
      cluster: how the processes of a distributed job wait for each other.
      engine: what runs the parts of the job that one process may be too small for.
      data: the cloud's history.
      features: how devices pool histories.
      exchange: the uplinks.
      uplink_log: what the job takes of their log.
      cloud: the recommender. Here `fit_epochs` is the most that the first phase of a job from
        scratch takes, in which the item side learns, and `update_epochs` the most that the
        phase after it takes, in which it does not.
      edge: the edge models that it trains starting weights for.
      edge_start: how it trains them.
      samples: what devices train on. The job only keeps it in the version, for the files that
        `ecct cloud export` makes of it.
      training: how devices train. The job only keeps it in the version, as `samples`.
      validation: how the job measures itself.
      gate: when the new version is promoted.
      checkpoint: when the state is written.
    """

    registry: str = "registry"
    uplinks: str | None = None
    start: Start = "warm"
    seed: int = 0
    history: History = "older"
    distribution: Distribution = "none"
    cluster: ClusterConfig = dataclasses.field(default_factory=ClusterConfig)
    engine: EngineConfig = dataclasses.field(default_factory=EngineConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    features: FeatureConfig = dataclasses.field(default_factory=FeatureConfig)
    exchange: UplinkConfig = dataclasses.field(default_factory=UplinkConfig)
    uplink_log: UplinkLogConfig = dataclasses.field(default_factory=UplinkLogConfig)
    cloud: CloudConfig = dataclasses.field(default_factory=lambda: CloudConfig(update_epochs=20))
    edge: EdgeModelsConfig = dataclasses.field(default_factory=EdgeModelsConfig)
    edge_start: EdgeStartConfig = dataclasses.field(default_factory=EdgeStartConfig)
    samples: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)
    checkpoint: JobCheckpointConfig = dataclasses.field(default_factory=JobCheckpointConfig)

    def __post_init__(self) -> None:
        numbers(self, "job")
        one_of(self, "job", "start", get_args(Start))
        one_of(self, "job", "history", get_args(History))
        one_of(self, "job", "distribution", get_args(Distribution))
        at_least(self, "job", 0, "seed")
        if self.data.nodes is not None:
            raise ConfigError(
                "data.nodes: a cloud job has no edge nodes, expected null, got "
                f"{self.data.nodes}; leave it out"
            )
        if self.data.skew.active:
            raise ConfigError(
                "data.skew: devices are made uneven in simulations alone; a cloud job reads the "
                "data as they are. Leave it out"
            )
        told = outcome_columns(self.samples)
        if told:
            raise ConfigError(
                f"samples: got tables of the values of {', '.join(told)}, which are private and "
                "stay out of a job and its version. Leave grade, weight and targets out, name the "
                "columns in edge.outcomes and the targets in edge.targets, and give `ecct cloud "
                "export` the tables (--config)"
            )


def load_job_config(path: Path | None, *, overrides: Iterable[str] = ()) -> JobConfig:
    """Reads a job's configuration as `ecct_tf.config.load_config` reads a run's.

    Raises:
      ConfigError: for an unknown key, a wrong type or a value out of range.

    Example:
      >>> load_job_config(None, overrides=["start=scratch"]).start
      'scratch'
    """
    default = JobConfig()
    overrides = [*overrides]
    config = load_over(default, path, overrides=overrides, paths=_PATHS)
    if config.registry == default.registry:
        registry = str(((path.parent if path else Path()) / default.registry).absolute())
        config = dataclasses.replace(config, registry=registry)
    return config
