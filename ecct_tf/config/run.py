"""The configuration of a whole run: the tree that a YAML file mirrors."""

import dataclasses
from typing import Literal

from ecct_tf.config.checks import at_least, one_of, positive
from ecct_tf.config.cloud import CloudConfig
from ecct_tf.config.edge import EdgeConfig, FeatureConfig, SampleConfig, TrainingConfig
from ecct_tf.config.exchange import (
    ExchangeConfig,
    ParticipationConfig,
    RuntimeConfig,
    ServerConfig,
)
from ecct_tf.errors import ConfigError

__all__ = ["DATASETS", "DataConfig", "DatasetName", "EvaluationConfig", "RunConfig"]

DatasetName = Literal["movielens-100k", "synthetic"]
DATASETS: tuple[DatasetName, ...] = ("movielens-100k", "synthetic")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The data and who holds it.

    Attributes:
      dataset: `movielens-100k` or `synthetic`.
      folder: folder with the data, instead of the cache or a download.
      recent_fraction: newest share of each user's training interactions that exists on the
        device only.
      nodes: edge nodes onto which a Dirichlet partition puts the users; null gives each
        user a device.
      alpha: concentration of that partition; small is uneven.
      synthetic_users: users of the synthetic dataset.
      synthetic_items: items of the synthetic dataset.
    """

    dataset: DatasetName = "movielens-100k"
    folder: str | None = None
    recent_fraction: float = 0.2
    nodes: int | None = None
    alpha: float = 0.5
    synthetic_users: int = 256
    synthetic_items: int = 400

    def __post_init__(self) -> None:
        one_of(self, "data", "dataset", DATASETS)
        if not 0 < self.recent_fraction < 1:
            raise ConfigError(
                "data.recent_fraction: expected a number in (0, 1), since devices train on "
                f"what the cloud does not see, got {self.recent_fraction}"
            )
        if self.nodes is not None:
            at_least(self, "data", 1, "nodes")
        positive(self, "data", "alpha")
        at_least(self, "data", 4, "synthetic_users")
        at_least(self, "data", 120, "synthetic_items")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How quality is measured.

    Attributes:
      negatives: sampled candidates beside the held-out item.
      k: list length of HR@K and NDCG@K.
      every: rounds between validations; the last round always has one.
    """

    negatives: int = 99
    k: int = 10
    every: int = 1

    def __post_init__(self) -> None:
        at_least(self, "evaluation", 1, "negatives", "k", "every")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run.

    Attributes:
      rounds: rounds of the exchange.
      seed: from which all randomness derives.
      baselines: whether the final table has the baselines.
      data: the data and who holds it.
      features: how histories are pooled.
      samples: what devices train on.
      edge: the edge models.
      training: local training.
      server: the federated mean.
      exchange: the payloads.
      participation: who takes part.
      cloud: the cloud recommender.
      evaluation: how quality is measured.
      runtime: how TFF computes.
    """

    rounds: int = 30
    seed: int = 0
    baselines: bool = True
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    features: FeatureConfig = dataclasses.field(default_factory=FeatureConfig)
    samples: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    edge: EdgeConfig = dataclasses.field(default_factory=EdgeConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    server: ServerConfig = dataclasses.field(default_factory=ServerConfig)
    exchange: ExchangeConfig = dataclasses.field(default_factory=ExchangeConfig)
    participation: ParticipationConfig = dataclasses.field(default_factory=ParticipationConfig)
    cloud: CloudConfig = dataclasses.field(default_factory=CloudConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = dataclasses.field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        at_least(self, "run", 1, "rounds")
        at_least(self, "run", 0, "seed")
