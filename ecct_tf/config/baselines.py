"""Configuration of the trained baselines: what ECCT must beat."""

import dataclasses
from typing import Literal, get_args

from ecct_tf.config.checks import at_least, numbers, one_of, positive
from ecct_tf.config.exchange import ServerConfig
from ecct_tf.config.loss_names import BCE, DEFAULT_LOSS, check_loss_form
from ecct_tf.errors import ConfigError

__all__ = [
    "FEDERATED_BASELINES",
    "CentralizedConfig",
    "ConsensusConfig",
    "DeviceCloudConfig",
    "EdgeOnlyConfig",
    "FederatedBaselineConfig",
    "FederatedBaselineName",
    "FineTuningConfig",
    "PersonalEmbeddingConfig",
    "Positions",
    "ReconstructionConfig",
]

FederatedBaselineName = Literal["fedavg", "fedprox", "fine-tuning", "pfedrec", "fedrecon", "fedmd"]
FEDERATED_BASELINES: tuple[FederatedBaselineName, ...] = get_args(FederatedBaselineName)

Positions = Literal["all", "recent"]
_POSITIONS: tuple[Positions, ...] = ("all", "recent")


@dataclasses.dataclass(frozen=True)
class FineTuningConfig:
    """What a device does with its own copy of the averaged model before it scores.

    Attributes:
      epochs: passes over the device's samples, with fresh negatives in each.
      learning_rate: learning rate of the head's weights.
      embedding_learning_rate: learning rate of the item embeddings.
    """

    epochs: int = 4
    learning_rate: float = 0.000436
    embedding_learning_rate: float = 0.0202

    def __post_init__(self) -> None:
        numbers(self, "federated_baseline.fine_tuning")
        at_least(self, "federated_baseline.fine_tuning", 1, "epochs")
        at_least(
            self,
            "federated_baseline.fine_tuning",
            0,
            "learning_rate",
            "embedding_learning_rate",
        )


@dataclasses.dataclass(frozen=True)
class PersonalEmbeddingConfig:
    """PFedRec (Zhang et al., IJCAI 2023), with negatives outside the training items only.

    Attributes:
      rounds: rounds of a run.
      embedding_dim: width of an item embedding.
      initial_scale: standard deviation of the first item embeddings.
      negatives: number of negatives for each position, sampled again in each round.
      max_positions: largest number of a user's newest positions to use.
      epochs: passes over a device's samples in a round, and before it scores.
      batch_size: positions in a batch, each with its negatives.
      learning_rate: learning rate of the private score function.
      embedding_learning_rate: learning rate of the item embeddings.
      server: how the item embeddings are averaged.
    """

    rounds: int = 80
    embedding_dim: int = 32
    initial_scale: float = 0.1
    negatives: int = 8
    max_positions: int = 1000
    epochs: int = 1
    batch_size: int = 200
    learning_rate: float = 0.0568
    embedding_learning_rate: float = 68.6
    server: ServerConfig = dataclasses.field(
        default_factory=lambda: ServerConfig(optimizer="adam", learning_rate=0.63, momentum=0.8)
    )

    def __post_init__(self) -> None:
        numbers(self, "federated_baseline.pfedrec")
        section = "federated_baseline.pfedrec"
        at_least(
            self, section, 1, "rounds", "embedding_dim", "negatives", "max_positions", "epochs",
            "batch_size",
        )  # fmt: skip
        positive(self, section, "initial_scale", "learning_rate", "embedding_learning_rate")


@dataclasses.dataclass(frozen=True)
class ReconstructionConfig:
    """FedRecon (Singhal et al., NeurIPS 2021), as matrix factorisation.

    Attributes:
      rounds: rounds of a run.
      embedding_dim: width of an item embedding and of a user's vector.
      initial_scale: standard deviation of the first item embeddings.
      negatives: number of negatives for each position, sampled again in each round.
      max_positions: largest number of a user's newest positions to use.
      reconstruction_epochs: passes over the first half of a device's positions that fit the user's
        vector from zeros; before it scores, passes over all of them.
      epochs: passes over the second half that train the item embeddings.
      batch_size: positions in a batch, each with its negatives.
      learning_rate: learning rate of the user's vector.
      embedding_learning_rate: learning rate of the item embeddings.
      server: how the item embeddings are averaged.
    """

    rounds: int = 80
    embedding_dim: int = 16
    initial_scale: float = 0.01
    negatives: int = 8
    max_positions: int = 1000
    reconstruction_epochs: int = 4
    epochs: int = 1
    batch_size: int = 200
    learning_rate: float = 5.91
    embedding_learning_rate: float = 61.9
    server: ServerConfig = dataclasses.field(
        default_factory=lambda: ServerConfig(optimizer="adam", learning_rate=0.0675, momentum=0.8)
    )

    def __post_init__(self) -> None:
        section = "federated_baseline.fedrecon"
        numbers(self, section)
        at_least(
            self, section, 1, "rounds", "embedding_dim", "negatives", "max_positions",
            "reconstruction_epochs", "epochs", "batch_size",
        )  # fmt: skip
        positive(self, section, "initial_scale", "learning_rate", "embedding_learning_rate")


@dataclasses.dataclass(frozen=True)
class ConsensusConfig:
    """FedMD (Li & Wang 2019), with items of the catalog as its public data.

    Attributes:
      rounds: rounds of a run.
      public_items: number of items, drawn by the seed, of which devices tell logits; null for all.
      digest_rate: share of the way to the consensus that a device's logits go before it trains, by
        the biases of the public items.
      epochs: passes over a device's own samples in a round, after the digestion.
      learning_rate: learning rate of the head's weights in them.
      embedding_learning_rate: learning rate of the item embeddings in them.
      loss: loss of a position and its negatives, as `training.loss` names it.
      server: how the logits are averaged; as it is here, their mean is the consensus.
    """

    rounds: int = 40
    public_items: int | None = None
    digest_rate: float = 0.5
    epochs: int = 1
    learning_rate: float = 0.02
    embedding_learning_rate: float = 1.0
    loss: str = BCE
    server: ServerConfig = dataclasses.field(
        default_factory=lambda: ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0)
    )

    def __post_init__(self) -> None:
        section = "federated_baseline.fedmd"
        numbers(self, section)
        at_least(self, section, 1, "rounds", "epochs")
        check_loss_form(self.loss, setting=f"{section}.loss")
        if self.public_items is not None:
            at_least(self, section, 1, "public_items")
        positive(self, section, "learning_rate", "embedding_learning_rate")
        if not 0 < self.digest_rate <= 1:
            raise ConfigError(
                f"{section}.digest_rate: expected a number in (0, 1], got {self.digest_rate}"
            )


@dataclasses.dataclass(frozen=True)
class FederatedBaselineConfig:
    """Federated learning without a cloud: FedAvg and its variants, PFedRec, FedRecon and FedMD.

    Item embeddings are learned from what devices hold and averaged like all other weights, but for
    FedMD, where no weights cross.

    Attributes:
      rounds: rounds of a run of `fedavg`, `fedprox` and `fine-tuning`.
      embedding_dim: width of an item embedding.
      hidden_dim: width of the hidden layer.
      profile_dim: width of the embedding of one private column.
      initial_scale: standard deviation of the first item embeddings.
      positions: positions of a device's training history that it learns from: `all`, or the
        `recent` ones, as ECCT's devices do.
      max_positions: largest number of the newest of them to use.
      negatives: number of negatives for each position, sampled uniformly outside the user's
        training items, again in each round.
      epochs: passes over a device's samples in a round.
      batch_size: positions in a batch, each with its negatives.
      learning_rate: learning rate of the head's weights, in the devices' SGD.
      embedding_learning_rate: learning rate of the item embeddings: a batch has an item at most a
        few times, so their mean gradient is smaller.
      loss: loss of a position and its negatives, as `training.loss` names it.
      proximal: proximal weight μ of `fedprox`, of half the squared distance from the weights that a
        device received.
      server: how the devices' changes are averaged.
      fine_tuning: of `fine-tuning`.
      pfedrec: of `pfedrec`, which reads nothing else of this section.
      fedrecon: of `fedrecon`, likewise.
      fedmd: of `fedmd`, which reads the model and the samples from this section.
    """

    rounds: int = 40
    embedding_dim: int = 16
    hidden_dim: int = 32
    profile_dim: int = 2
    initial_scale: float = 0.05
    positions: Positions = "all"
    max_positions: int = 1000
    negatives: int = 4
    epochs: int = 1
    batch_size: int = 4
    learning_rate: float = 0.0045
    embedding_learning_rate: float = 0.14
    loss: str = DEFAULT_LOSS
    proximal: float = 0.0665
    server: ServerConfig = dataclasses.field(
        default_factory=lambda: ServerConfig(optimizer="adam", learning_rate=0.0194, momentum=0.8)
    )
    fine_tuning: FineTuningConfig = dataclasses.field(default_factory=FineTuningConfig)
    pfedrec: PersonalEmbeddingConfig = dataclasses.field(default_factory=PersonalEmbeddingConfig)
    fedrecon: ReconstructionConfig = dataclasses.field(default_factory=ReconstructionConfig)
    fedmd: ConsensusConfig = dataclasses.field(default_factory=ConsensusConfig)

    def __post_init__(self) -> None:
        numbers(self, "federated_baseline")
        section = "federated_baseline"
        at_least(
            self, section, 1, "rounds", "embedding_dim", "hidden_dim", "profile_dim",
            "max_positions", "negatives", "epochs", "batch_size",
        )  # fmt: skip
        one_of(self, section, "positions", _POSITIONS)
        check_loss_form(self.loss, setting=f"{section}.loss")
        positive(self, section, "initial_scale", "learning_rate", "embedding_learning_rate")
        at_least(self, section, 0, "proximal")


@dataclasses.dataclass(frozen=True)
class CentralizedConfig:
    """The upper bound: the edge model, trained with all data in one place.

    Attributes:
      epochs: largest number of passes over the pooled samples; the best on validation is kept.
      patience: epochs without a better validation after which training stops.
      batch_size: samples in a batch.
      loss: loss of the samples, as `training.loss` names it; with one by position as
        `start.loss` has it.
      learning_rate: learning rate of Adam.
      weight_decay: strength of Adam's decoupled weight decay, on all weights.
      max_positions: largest number of a user's newest positions to use, of those that the item
        table has not seen.
      negatives: number of negatives for each position, sampled uniformly outside the user's
        training items.
    """

    epochs: int = 30
    patience: int = 8
    batch_size: int = 512
    loss: str = BCE
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    max_positions: int = 128
    negatives: int = 19

    def __post_init__(self) -> None:
        numbers(self, "centralized")
        at_least(
            self, "centralized", 1, "epochs", "patience", "batch_size", "max_positions",
            "negatives",
        )  # fmt: skip
        check_loss_form(self.loss, setting="centralized.loss")
        positive(self, "centralized", "learning_rate")
        at_least(self, "centralized", 0, "weight_decay")
        if self.patience > self.epochs:
            raise ConfigError(
                "centralized.patience: expected at most centralized.epochs "
                f"({self.epochs}), got {self.patience}"
            )


@dataclasses.dataclass(frozen=True)
class EdgeOnlyConfig:
    """The edge model without any cloud: its weights begin at random and have more to learn.

    Everything else of its local training is that of the run.

    Attributes:
      rounds: rounds of a run.
      learning_rate: learning rate of the shared weights, on devices.
      private_learning_rate: learning rate of the private weights.
      server: how the devices' changes are averaged.
    """

    rounds: int = 30
    learning_rate: float = 0.1
    private_learning_rate: float = 0.002
    server: ServerConfig = dataclasses.field(
        default_factory=lambda: ServerConfig(optimizer="adam", learning_rate=0.01, momentum=0.8)
    )

    def __post_init__(self) -> None:
        numbers(self, "edge_only")
        at_least(self, "edge_only", 1, "rounds")
        at_least(self, "edge_only", 0, "private_learning_rate")
        positive(self, "edge_only", "learning_rate")


@dataclasses.dataclass(frozen=True)
class DeviceCloudConfig:
    """The device side of DCCL (Yao et al., KDD 2021): devices fine-tune what the cloud trained.

    Everything else of its local training is that of the run.

    Attributes:
      rounds: rounds of a run, in each of which a device goes `training.epochs` times over its
        samples.
      private_learning_rate: learning rate of the weights, all of which are the device's own.
    """

    rounds: int = 10
    private_learning_rate: float = 0.001

    def __post_init__(self) -> None:
        numbers(self, "dccl")
        at_least(self, "dccl", 1, "rounds")
        positive(self, "dccl", "private_learning_rate")
