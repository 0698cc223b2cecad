"""The configuration of a whole run: the tree that a YAML file mirrors."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.aggregator_names import MEAN, check_single_devices
from ecct_tf.config.attack import AttackConfig
from ecct_tf.config.baselines import (
    CentralizedConfig,
    DeviceCloudConfig,
    EdgeOnlyConfig,
    FederatedBaselineConfig,
)
from ecct_tf.config.checks import (
    at_least,
    numbers,
    one_of,
    shorter_than_candidates,
)
from ecct_tf.config.cloud import CloudConfig
from ecct_tf.config.data import DataConfig
from ecct_tf.config.edge import EdgeConfig, FeatureConfig, SampleConfig, TrainingConfig
from ecct_tf.config.exchange import (
    ExchangeConfig,
    RuntimeConfig,
    ServerConfig,
)
from ecct_tf.config.method_names import check_method_name, is_own_method
from ecct_tf.config.participation import ParticipationConfig
from ecct_tf.config.privacy import PrivacyConfig
from ecct_tf.config.run_checks import (
    check_attack,
    check_candidates,
    check_embeddings,
    check_item_rows,
    check_late,
    check_outcomes,
    check_silence,
)
from ecct_tf.config.start import StartConfig
from ecct_tf.errors import ConfigError

__all__ = [
    "CATALOG_SCOPES",
    "ROUNDS_KEYS",
    "CatalogScope",
    "CheckpointConfig",
    "EvaluationConfig",
    "RunConfig",
    "rounds_key",
]

CatalogScope = Literal["auto", "none", "own", "all"]
CATALOG_SCOPES: tuple[CatalogScope, ...] = get_args(CatalogScope)

_STAGE_1_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How quality is measured.

    Attributes:
      negatives: number of sampled candidates to rank with the held-out item.
      k: list length of HR@K and NDCG@K, below the number of candidates.
      every: rounds between validations; the last round always has one.
      devices: number of users whose validation and test interactions are evaluated, a sample fixed
        by the seed alone, so a validation costs the same for any number of users; null for all.
      catalog: models that are ranked over the whole catalog too, once, on the test interactions:
        `own` for the run's, `all` for its quick references too, `none`; `auto` is `own` if test
        interactions times items are at most 4 million, some seconds, else `none`.
      cold_interactions: largest number of training interactions of a cold device.
    """

    negatives: int = 99
    k: int = 10
    every: int = 1
    devices: int | None = None
    catalog: CatalogScope = "auto"
    cold_interactions: int = 10

    def __post_init__(self) -> None:
        numbers(self, "evaluation")
        at_least(self, "evaluation", 1, "negatives", "k", "every", "cold_interactions")
        if self.devices is not None:
            at_least(self, "evaluation", 1, "devices")
        one_of(self, "evaluation", "catalog", CATALOG_SCOPES)
        shorter_than_candidates(self, "evaluation")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """When a run's whole state is written.

    Attributes:
      every: rounds between checkpoints; the last round, and an interruption, always have one.
      keep: number of the newest checkpoints to keep, so that a damaged one has a predecessor.
    """

    every: int = 1
    keep: int = 2

    def __post_init__(self) -> None:
        numbers(self, "checkpoint")
        at_least(self, "checkpoint", 1, "every", "keep")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run.

    Attributes:
      method: `ecct`, or a baseline: `fedavg`, `fedprox`, `fine-tuning`, `pfedrec`,
        `fedrecon`, `fedmd`, `centralized`, `cloud-only`, `edge-only`, `dccl`, `popularity`,
        `ease`, `ease-recency`; a name that a package registers, or `module:name` of a function
        that builds an `Algorithm`.
      rounds: rounds of the exchange, few because devices begin with weights of the cloud; the
        federated baselines, `edge-only`, `dccl` and `centralized` have their own.
      seed: seed from which all randomness derives.
      baselines: whether the final table also has quick baselines for reference.
      data: the data and who holds it.
      features: how histories are pooled.
      samples: what devices train on.
      edge: the edge models.
      start: the starting weights that the cloud makes for them.
      training: local training.
      server: the federated mean.
      exchange: the payloads.
      participation: who takes part.
      privacy: how much devices may give away.
      attack: devices that send what they should not.
      cloud: the cloud recommender.
      evaluation: how quality is measured.
      runtime: how TFF computes.
      checkpoint: when the state is written.
      edge_only: the method `edge-only`.
      dccl: the method `dccl`.
      federated_baseline: the methods `fedavg`, `fedprox`, `fine-tuning`, `pfedrec`,
        `fedrecon` and `fedmd`.
      centralized: the method `centralized`.

    Example:
      >>> RunConfig(rounds=3).data.dataset, RunConfig(rounds=3).seed
      ('movielens-100k', 0)
    """

    method: str = "ecct"
    rounds: int = 10
    seed: int = 0
    baselines: bool = True
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    features: FeatureConfig = dataclasses.field(default_factory=FeatureConfig)
    samples: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    edge: EdgeConfig = dataclasses.field(default_factory=EdgeConfig)
    start: StartConfig = dataclasses.field(default_factory=StartConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    server: ServerConfig = dataclasses.field(default_factory=ServerConfig)
    exchange: ExchangeConfig = dataclasses.field(default_factory=ExchangeConfig)
    participation: ParticipationConfig = dataclasses.field(default_factory=ParticipationConfig)
    privacy: PrivacyConfig = dataclasses.field(default_factory=PrivacyConfig)
    attack: AttackConfig = dataclasses.field(default_factory=AttackConfig)
    cloud: CloudConfig = dataclasses.field(default_factory=CloudConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = dataclasses.field(default_factory=RuntimeConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    edge_only: EdgeOnlyConfig = dataclasses.field(default_factory=EdgeOnlyConfig)
    dccl: DeviceCloudConfig = dataclasses.field(default_factory=DeviceCloudConfig)
    federated_baseline: FederatedBaselineConfig = dataclasses.field(
        default_factory=FederatedBaselineConfig
    )
    centralized: CentralizedConfig = dataclasses.field(default_factory=CentralizedConfig)

    def __post_init__(self) -> None:
        numbers(self, "run")
        check_method_name(self.method)
        at_least(self, "run", 1, "rounds")
        at_least(self, "run", 0, "seed")
        exchange, given = self.exchange, self.exchange.stage_1_rounds
        if (exchange.down or exchange.up) and given is not None and given >= self.rounds:
            raise ConfigError(
                f"exchange.stage_1_rounds: expected fewer than the {self.rounds} rounds of the "
                f"run, got {given}: logits would never cross. Lower it or leave it out, raise "
                "rounds, or ask for a run without logits by exchange.logits=false"
            )
        if self.runtime.real_devices and self.data.nodes is not None:
            raise ConfigError(
                "runtime.real_devices: an exported file serves one user, so that it cannot be an "
                f"edge node; got data.nodes={self.data.nodes}. Change one of the two."
            )
        if self.privacy.max_epsilon is not None and self.method != "ecct":
            raise ConfigError(
                f"privacy.max_epsilon: what method={self.method} takes from devices is not "
                "counted; expected null, leave it out, or method=ecct"
            )
        check_attack(
            self.attack,
            method=self.method,
            exchange=self.exchange,
            real_devices=self.runtime.real_devices,
        )
        for section, server in self.servers.items():
            self._check_aggregator(f"{section}.aggregator", server.aggregator)
        check_late(self)
        check_item_rows(self)
        check_candidates(self)
        check_outcomes(self)
        check_silence(self)
        check_embeddings(self)

    def _check_aggregator(self, setting: str, name: str) -> None:
        """Refuses an aggregator over sums of devices, or over nothing."""
        check_single_devices(name, setting=setting, shard_size=self.runtime.shard_size)
        own_edge = not setting.startswith("federated_baseline")
        if name != MEAN and own_edge and self.edge.shared == "none":
            raise ConfigError(
                f"{setting}: {name!r} would join nothing, since edge.shared=none shares no "
                "weights; expected edge.shared=backbone or all, or leave the aggregator out"
            )

    @property
    def servers(self) -> dict[str, ServerConfig]:
        """The sections that say how changes are averaged, one for each kind of method.

        Example:
          >>> list(RunConfig().servers)[:2]
          ['server', 'edge_only.server']
        """
        baseline = self.federated_baseline
        return {
            "server": self.server,
            "edge_only.server": self.edge_only.server,
            "federated_baseline.server": baseline.server,
            "federated_baseline.pfedrec.server": baseline.pfedrec.server,
            "federated_baseline.fedrecon.server": baseline.fedrecon.server,
            "federated_baseline.fedmd.server": baseline.fedmd.server,
        }

    @property
    def baseline_losses(self) -> dict[str, str]:
        """The losses that baselines name, by setting.

        Example:
          >>> list(RunConfig().baseline_losses)
          ['federated_baseline.loss', 'federated_baseline.fedmd.loss', 'centralized.loss']
        """
        return {
            "federated_baseline.loss": self.federated_baseline.loss,
            "federated_baseline.fedmd.loss": self.federated_baseline.fedmd.loss,
            "centralized.loss": self.centralized.loss,
        }

    @property
    def stage_1_rounds(self) -> int:
        """Rounds of this run that exchange embeddings only.

        Example:
          >>> RunConfig().stage_1_rounds
          0
          >>> RunConfig(rounds=30, edge=EdgeConfig(start="random")).stage_1_rounds
          5
        """
        if not self.exchange.logits:
            return self.rounds
        given = self.exchange.stage_1_rounds
        if given is not None:
            return given
        # Weights that the cloud trained read its logits from the first round on, and without
        # embeddings there is nothing else to exchange.
        begins = self.edge.start == "cloud" or not self.exchange.embeddings
        return 0 if begins else min(_STAGE_1_ROUNDS, self.rounds // 2)


ROUNDS_KEYS: dict[str, str] = {
    "ecct": "rounds",
    "edge-only": "edge_only.rounds",
    "dccl": "dccl.rounds",
    "fedavg": "federated_baseline.rounds",
    "fedprox": "federated_baseline.rounds",
    "fine-tuning": "federated_baseline.rounds",
    "pfedrec": "federated_baseline.pfedrec.rounds",
    "fedrecon": "federated_baseline.fedrecon.rounds",
    "fedmd": "federated_baseline.fedmd.rounds",
}
"""The setting that says how many rounds a run of a method has; the library's others have none."""


def rounds_key(method: str, *, option: str) -> str:
    """The setting that `option` means for a run of `method`; one of a user's own reads `rounds`.

    Raises:
      ConfigError: when such a run has no rounds.

    Example:
      >>> rounds_key("edge-only", option="--rounds")
      'edge_only.rounds'
    """
    if not is_own_method(method):
        return "rounds"
    if method not in ROUNDS_KEYS:
        instead = "; set centralized.epochs" if method == "centralized" else ""
        raise ConfigError(
            f"{option}: a run of method {method} has no rounds{instead or '; leave it out'}"
        )
    return ROUNDS_KEYS[method]
