"""The configuration of a cycle: a retraining job's, and that of the devices."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from cloud.retraining import JobConfig
from cloud.retraining.config import (
    GateConfig,
    JobCheckpointConfig,
    UplinkConfig,
    ValidationConfig,
)
from cloud.retraining.edge_config import EdgeModelsConfig, EdgeStartConfig
from ecct_tf.config import (
    CloudConfig,
    CodecName,
    DataConfig,
    EdgeConfig,
    EvaluationConfig,
    ExchangeConfig,
    FeatureConfig,
    GradeConfig,
    RunConfig,
    SampleConfig,
    ServerConfig,
    StartConfig,
    TrainingConfig,
    WeightConfig,
    is_own_codec,
    load_over,
)
from ecct_tf.config.aggregator_names import MEAN
from ecct_tf.config.checks import at_least, numbers, one_of
from ecct_tf.data.outcomes import outcome_columns, target_names
from ecct_tf.errors import ConfigError

__all__ = ["CycleConfig", "CycleExchangeConfig", "TransportName", "load_cycle_config"]

RuntimeName = Literal["litert", "tensorflow"]
TransportName = Literal["files", "http"]

_PATHS = ("data.schema", "data.folder")


@dataclasses.dataclass(frozen=True)
class CycleExchangeConfig(UplinkConfig):
    """The uplinks as a job declares them, and the third thing that crosses.

    Attributes:
      weights_codec: of the shared weights, where there are any, and of files of starting weights;
        with a custom one these are float16.
    """

    weights_codec: CodecName = "float16"

    @property
    def start_codec(self) -> CodecName:
        """Of the files of starting weights, which know the library's codecs alone."""
        return self.weights_codec if is_own_codec(self.weights_codec) else "float16"


@dataclasses.dataclass(frozen=True)
class CycleConfig:
    """A chain of cycles.

    Attributes:
      seed: from which all randomness derives.
      rounds_per_cycle: rounds of local training between two versions of the cloud; in the
        last of them devices answer.
      runtime: what runs the exported files: `litert`, or `tensorflow` for its interpreter.
      transport: how devices reach the cloud: `files` in a folder, or `http` by `ecct cloud serve`,
        over which shared weights do not cross (`edge.shared=none`).
      devices: how many users have a device, drawn from the seed; null for all. Quality is
        measured for these.
      data: the data and who holds it; one user a device.
      features: how histories are pooled.
      samples: what devices train on.
      edge: the edge models.
      start: the starting weights that the cloud makes for them.
      training: local training.
      server: how shared weights are averaged.
      exchange: what crosses.
      cloud: the recommender, as for a retraining job.
      validation: how a job measures itself.
      gate: when a version is promoted.
      checkpoint: when a job's state is written.
      evaluation: how quality is measured after each cycle, among sampled candidates.
    """

    seed: int = 0
    rounds_per_cycle: int = 10
    runtime: RuntimeName = "litert"
    transport: TransportName = "files"
    devices: int | None = None
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    features: FeatureConfig = dataclasses.field(default_factory=FeatureConfig)
    samples: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    edge: EdgeConfig = dataclasses.field(default_factory=EdgeConfig)
    start: StartConfig = dataclasses.field(default_factory=StartConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    server: ServerConfig = dataclasses.field(default_factory=ServerConfig)
    exchange: CycleExchangeConfig = dataclasses.field(default_factory=CycleExchangeConfig)
    cloud: CloudConfig = dataclasses.field(default_factory=lambda: JobConfig().cloud)
    validation: ValidationConfig = dataclasses.field(default_factory=ValidationConfig)
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)
    checkpoint: JobCheckpointConfig = dataclasses.field(default_factory=JobCheckpointConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        numbers(self, "cycle")
        at_least(self, "cycle", 0, "seed")
        at_least(self, "cycle", 1, "rounds_per_cycle")
        one_of(self, "cycle", "runtime", get_args(RuntimeName))
        one_of(self, "cycle", "transport", get_args(TransportName))
        if self.devices is not None:
            at_least(self, "cycle", 1, "devices")
        if self.transport == "http" and self.edge.shared != "none":
            raise ConfigError(
                f"edge.shared: got {self.edge.shared}, but shared weights have no form in which "
                "they cross HTTP; expected none with transport=http, where all weights are each "
                "device's own. transport=files takes the others"
            )
        own = is_own_codec(self.exchange.weights_codec)
        if self.edge.shared == "none" and not own:
            raise ConfigError(
                f"exchange.weights_codec: got {self.exchange.weights_codec}, a custom codec, but "
                "with edge.shared=none no weights cross that it could write; expected float16 or "
                "float32, in which files of starting weights are written, or another edge.shared"
            )
        if self.data.nodes is not None:
            raise ConfigError(
                "data.nodes: an exported file serves one user, so that devices of a cycle are "
                f"no edge nodes; expected null, got {self.data.nodes}"
            )
        if self.data.skew.active:
            raise ConfigError(
                "data.skew: devices are made uneven in simulations alone; a cycle's devices hold "
                "the data as they are. Leave it out"
            )
        if self.edge.embedding_dim != self.exchange.embedding_dim:
            raise ConfigError(
                f"edge.embedding_dim: expected {self.exchange.embedding_dim}, as in "
                f"exchange.embedding_dim, got {self.edge.embedding_dim}; it is the width of what "
                "devices send, set both to the same value"
            )
        if self.evaluation.every != 1:
            raise ConfigError(
                "evaluation.every: each cycle is evaluated, expected 1, got "
                f"{self.evaluation.every}"
            )
        if self.evaluation.catalog not in ("auto", "none"):
            raise ConfigError(
                "evaluation.catalog: a cycle ranks among sampled candidates only, expected auto or "
                f"none, got {self.evaluation.catalog}; a simulation ranks over the whole catalog"
            )
        if self.server.aggregator != MEAN:
            raise ConfigError(
                "server.aggregator: devices of a cycle run exported files, not TFF's rounds; "
                f"expected {MEAN}, got {self.server.aggregator!r}"
            )
        if self.features.context:
            raise ConfigError(
                "features.context: devices of a cycle are given no context of their interactions "
                f"yet; expected none, got {list(self.features.context)}"
            )
        if self.server.stages is not None:
            raise ConfigError(
                "server.stages: devices of a cycle run exported files, not rounds of stages; "
                f"expected null, got {self.server.stages!r}"
            )
        if not self.gate.promote:
            raise ConfigError("gate.promote: expected true, since devices need a version in force")
        self.run()

    def run(self) -> RunConfig:
        """The devices' side, as a simulation would be told it."""
        exchange = self.exchange
        return RunConfig(
            seed=self.seed,
            data=self.data,
            features=self.features,
            samples=self.samples,
            edge=self.edge,
            start=self.start,
            training=self.training,
            server=self.server,
            exchange=ExchangeConfig(
                codec=exchange.codec,
                item_table=exchange.item_table,
                weights_codec=exchange.weights_codec,
                stage_1_rounds=0,
                queries=exchange.queries,
                clip_norm=exchange.clip_norm,
                clip_logit=exchange.clip_logit,
                noise_multiplier=exchange.noise_multiplier,
            ),
            cloud=self.cloud,
            evaluation=self.evaluation,
        )

    def job(self, *, registry: Path, uplinks: Path | None) -> JobConfig:
        """The cloud's side: the job after a cycle, or, without uplinks, before the first."""
        declared = dataclasses.fields(UplinkConfig)
        return JobConfig(
            registry=str(registry),
            uplinks=None if uplinks is None else str(uplinks),
            start="scratch" if uplinks is None else "warm",
            seed=self.seed,
            data=self.data,
            features=self.features,
            exchange=UplinkConfig(
                **{field.name: getattr(self.exchange, field.name) for field in declared}
            ),
            cloud=self.cloud,
            edge=EdgeModelsConfig(
                start=self.edge.start,
                tiers=tuple(sorted(tier for tier, share in self.edge.tiers.items() if share > 0)),
                hidden_dim=self.edge.hidden_dim,
                profile_dim=self.edge.profile_dim,
                heads=self.edge.heads,
                targets=target_names(self.samples),
                shared=self.edge.shared,
                outcomes=tuple(outcome_columns(self.samples)),
            ),
            edge_start=EdgeStartConfig(**dataclasses.asdict(self.start)),
            # What the values of private columns are worth to devices is not the cloud's to know.
            samples=dataclasses.replace(
                self.samples, grade=GradeConfig(), weight=WeightConfig(), targets={}
            ),
            training=self.training,
            validation=self.validation,
            gate=self.gate,
            checkpoint=self.checkpoint,
        )


def load_cycle_config(
    path: Path | None, *, overrides: Iterable[str] = (), http: bool = False
) -> CycleConfig:
    """Reads the configuration of a cycle as `ecct_tf.config.load_config` reads a run's.

    Args:
      path: the YAML file; None for defaults.
      overrides: `key=value`, applied after the file.
      http: whether the defaults are those of devices over HTTP: `transport=http` and
        `edge.shared=none`.

    Raises:
      ConfigError: for an unknown key, a wrong type or a value out of range.

    Example:
      >>> load_cycle_config(None, overrides=["rounds_per_cycle=3"]).rounds_per_cycle
      3
    """
    default = CycleConfig()
    if http:
        shared = dataclasses.replace(default.edge, shared="none")
        default = dataclasses.replace(default, transport="http", edge=shared)
    return load_over(default, path, overrides=overrides, paths=_PATHS)
