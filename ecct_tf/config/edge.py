"""Configuration of the edge model and of what a device trains on."""

import dataclasses
import math
from typing import Literal

from ecct_tf.config.checks import at_least, numbers, one_of, positive
from ecct_tf.config.loss_names import (
    DEFAULT_LOSS,
    TEMPERED,
    check_distillation_form,
    check_loss_form,
)
from ecct_tf.config.outcomes import GradeConfig, TargetConfig, WeightConfig, check_targets
from ecct_tf.config.part_names import check_name_form
from ecct_tf.config.yaml_text import setting_text
from ecct_tf.errors import ConfigError

__all__ = [
    "CLOCK_CONTEXT",
    "OPTIMIZERS",
    "SHARINGS",
    "STARTS",
    "TIERS",
    "TIER_EXAMPLES",
    "EdgeConfig",
    "FeatureConfig",
    "OptimizerName",
    "SampleConfig",
    "Sharing",
    "StartName",
    "Tier",
    "TrainingConfig",
    "check_tier_form",
    "tier_slug",
]

Tier = str
"""The name of an edge architecture: `mlp`, a name that a package registers, or `module:name`."""

Sharing = Literal["none", "backbone", "all"]
OptimizerName = Literal["sgd", "adagrad", "adam"]
StartName = Literal["cloud", "random"]

TIERS: tuple[Tier, ...] = ("linear", "mlp", "attention")
"""The architectures that the library brings; `edge_model_names` knows those of others too."""
TIER_EXAMPLES = "a name such as mlp, or module:name such as my_pkg.gru:gru4rec"
SHARINGS: tuple[Sharing, ...] = ("none", "backbone", "all")
OPTIMIZERS: tuple[OptimizerName, ...] = ("sgd", "adagrad", "adam")
STARTS: tuple[StartName, ...] = ("cloud", "random")

CLOCK_CONTEXT = ("known", "session", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
"""What a reading of the clock begins with; hours since each of the newest L items follow."""


def check_tier_form(tier: Tier, *, setting: str) -> None:
    """Refuses what cannot name an edge architecture; nothing is looked up or imported.

    Args:
      tier: a name such as `mlp`, or `module:name`, such as `my_pkg.gru:gru4rec`.
      setting: where it stands, for the message.

    Raises:
      ConfigError: when it has neither form.
    """
    check_name_form(tier, setting=setting, examples=TIER_EXAMPLES)


def tier_slug(tier: Tier) -> str:
    """The part of a file's name that stands for an architecture; no two have the same.

    >>> tier_slug("mlp"), tier_slug("my_pkg.gru:gru4rec")
    ('mlp', 'my_pkg.gru.gru4rec')
    """
    return tier.replace(":", ".")


@dataclasses.dataclass(frozen=True)
class EdgeConfig:
    """The edge models.

    Attributes:
      tiers: share of the devices that run each architecture; the shares sum to 1. The seed assigns
        architectures to devices. An architecture is `linear`, `mlp`, `attention`, a name that an
        installed package registers, or `module:name` of your own.
      shared: weights that are a federated mean over the devices of a tier: `none`, `backbone` (all
        but the head) or `all`. The others are private to each device.
      share_every: number n of rounds between two means of the shared weights: devices receive them
        in the first of n rounds, go on from their own in the next, and send their change in the
        last. 1 for all three in every round, as federated baselines always do.
      start: initial weights of all devices: `cloud` for weights that the cloud trained on its own
        view and sends with the item table, or `random`. The centralized bound starts in the same
        way; methods without a cloud always start at random.
      embedding_dim: d_e, width of the edge embedding `h_e`.
      hidden_dim: width of the hidden layer of `mlp` and `attention`.
      profile_dim: width of the embedding of one private column.
      heads: attention heads of `attention`.
    """

    tiers: dict[Tier, float] = dataclasses.field(default_factory=lambda: {"mlp": 1.0})
    shared: Sharing = "backbone"
    share_every: int = 1
    start: StartName = "cloud"
    embedding_dim: int = 16
    hidden_dim: int = 32
    profile_dim: int = 2
    heads: int = 2

    def __post_init__(self) -> None:
        numbers(self, "edge")
        one_of(self, "edge", "shared", SHARINGS)
        one_of(self, "edge", "start", STARTS)
        at_least(self, "edge", 1, "share_every", "embedding_dim", "hidden_dim")
        at_least(self, "edge", 1, "profile_dim", "heads")
        if self.share_every > 1 and self.shared == "none":
            raise ConfigError(
                f"edge.share_every: got {self.share_every}, but edge.shared=none shares no weights "
                "in any round; expected 1, or edge.shared=backbone or all"
            )
        for tier in self.tiers:
            check_tier_form(tier, setting="edge.tiers")
        if not all(share >= 0 for share in self.tiers.values()):
            raise ConfigError(f"edge.tiers: shares must not be negative, got {self.tiers}")
        if abs(sum(self.tiers.values()) - 1.0) > 1e-6:
            raise ConfigError(
                f"edge.tiers: the shares must sum to 1, got {self.tiers}, "
                f"which sum to {sum(self.tiers.values()):g}"
            )


@dataclasses.dataclass(frozen=True)
class FeatureConfig:
    """How a history is pooled into interaction features.

    Attributes:
      history_length: L, number of the newest interactions that a device reads.
      decays: weights `decay**age` of the pooled dot products; age counts interactions.
      last_items: number of the newest items that get their own dot product.
      clock: whether models read the time: pauses since the newest interactions, and the place in
        the session. It never leaves the device.
      clock_hours: hours after which an interaction weighs half as much, in mean dot products
        weighted by elapsed time; read only with `clock`.
      clock_pauses: the newest interactions, counted from 1, whose pauses are separate inputs; those
        beyond `history_length` are left out. Read only with `clock`.
      clock_calendar: whether models read hour and weekday too, from times as given, which are UTC
        in most data sets; read only with `clock`.
      context: private columns of interactions that models read at the moment of a request, such as
        the network or the place, each with its possible values, which are public; any other value
        is unknown. They never leave the device.
    """

    history_length: int = 30
    decays: tuple[float, ...] = (1.0, 0.95, 0.8, 0.5)
    last_items: int = 3
    clock: bool = True
    clock_hours: tuple[float, ...] = (0.02, 0.3, 5.0, 100.0)
    clock_pauses: tuple[int, ...] = (1, 3, 10)
    clock_calendar: bool = False
    # It has no hash; what is equal has equal hashes without it.
    context: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        numbers(self, "features")
        for name, values in self.context.items():
            if not values or len(set(values)) != len(values) or "" in values:
                raise ConfigError(
                    f"features.context.{name}: expected one or more different values, got "
                    f"{list(values)}"
                )
        at_least(self, "features", 1, "history_length")
        at_least(self, "features", 0, "last_items")
        if self.history_length > 255:
            raise ConfigError(
                f"features.history_length: expected at most 255, got {self.history_length}"
            )
        if self.last_items > self.history_length:
            raise ConfigError(
                "features.last_items: expected at most features.history_length "
                f"({self.history_length}), got {self.last_items}"
            )
        if not self.decays or not all(0.0 < decay <= 1.0 for decay in self.decays):
            raise ConfigError(
                "features.decays: expected one or more numbers in (0, 1], got "
                f"{setting_text(self.decays)}"
            )
        if not all(0.0 < hours < math.inf for hours in self.clock_hours):
            raise ConfigError(
                "features.clock_hours: expected numbers above 0, got "
                f"{setting_text(self.clock_hours)}"
            )
        if not all(pause >= 1 for pause in self.clock_pauses):
            raise ConfigError(
                "features.clock_pauses: expected whole numbers of at least 1, got "
                f"{setting_text(self.clock_pauses)}"
            )

    @property
    def per_block(self) -> int:
        """Features that one item-to-item block yields."""
        return len(self.decays) + self.last_items

    def width(self, *, num_blocks: int, num_attributes: int) -> int:
        """F, the number of interaction features."""
        without = num_blocks * self.per_block + 2 * num_attributes
        return without + self.clock_features(num_blocks=num_blocks)

    @property
    def time_width(self) -> int:
        """Values of a reading that tell the time; 0 without a clock."""
        return len(CLOCK_CONTEXT) + self.history_length if self.clock else 0

    @property
    def clock_width(self) -> int:
        """W, values of a reading: of the time, and a code of each context column."""
        return self.time_width + len(self.context)

    @property
    def pause_slots(self) -> tuple[int, ...]:
        """Which of `clock_pauses` the history has slots for."""
        return tuple(pause for pause in self.clock_pauses if pause <= self.history_length)

    @property
    def request_width(self) -> int:
        """Inputs that tell the time of a request, alike for all candidates; 0 without a clock."""
        if not self.clock:
            return 0
        calendar = len(CLOCK_CONTEXT) - 2 if self.clock_calendar else 0
        return 1 + calendar + len(self.pause_slots)

    @property
    def context_width(self) -> int:
        """Inputs that tell the context of a request: one for each value of each column."""
        return sum(map(len, self.context.values()))

    def clock_features(self, *, num_blocks: int) -> int:
        """How many of the interaction features come from a reading, at the end.

        First those of the time, then those of the context.
        """
        timed = num_blocks * len(self.clock_hours) if self.clock else 0
        return timed + self.request_width + self.context_width


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """Which samples a device trains on.

    Attributes:
      negatives: number of negatives for each position, sampled uniformly outside the user's
        training items.
      max_positions: largest number of a user's newest positions to train on. Only positions that
        the cloud has not seen count, so its knowledge is used on them as it will be on the future.
      guard_positions: number of the newest positions, at most half, that a device does not train
        on: it serves with its trained weights unless these rank the positions lower than its
        starting weights do; then it serves with the starting weights. 0 for no guard; with
        `edge.start=random` there is none.
      half_life: number h of newer positions of the user behind which a position has half the weight
        in a device's loss, by `h / (h + newer)`: the newest 1. 0 weights all equally.
      grade: graded labels, such as ratings, from a column of the interactions.
      weight: weights in the loss, from a column of the interactions.
      targets: further targets by name, each `{column, values, negatives, loss, weight}`: a head of
        the edge model for each, whose loss is added with its weight (`docs/extend_loss.md`).
    """

    negatives: int = 9
    max_positions: int = 128
    guard_positions: int = 2
    half_life: int = 0
    grade: GradeConfig = dataclasses.field(default_factory=GradeConfig)
    weight: WeightConfig = dataclasses.field(default_factory=WeightConfig)
    # It has no hash; what is equal has equal hashes without it.
    targets: dict[str, TargetConfig] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        numbers(self, "samples")
        if self.grade.column is not None and self.grade.column == self.weight.column:
            raise ConfigError(
                f"samples.weight.column: expected another column than samples.grade.column, got "
                f"{self.weight.column!r} for both; declare the file's column twice, by header"
            )
        at_least(self, "samples", 1, "negatives", "max_positions")
        at_least(self, "samples", 0, "guard_positions", "half_life")
        check_targets(self.targets)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Local training on a device.

    Attributes:
      epochs: passes over a device's samples in a round.
      batch_size: samples in a batch.
      optimizer: `sgd`, `adagrad` or `adam`; its slots are reset in each round.
      learning_rate: learning rate of the shared weights.
      private_learning_rate: learning rate of the private weights.
      loss: loss of a device's samples: `sampled_softmax` or `bpr`, the item of each position
        against its negatives; `bce`, the cross-entropy of each sample; a name that an installed
        package registers; or `module:name` of your own (`docs/extend_loss.md`). With a loss by
        position a batch is as many whole positions as `batch_size` holds, at least one.
      distillation_weight: λ_e, weight of the cloud's logits in the device's loss (inferred).
      distillation_loss: distillation from the cloud's logits: `tempered`, sample by sample;
        `listwise`, the softmax over a position; a name that an installed package registers; or
        `module:name`.
      temperature: temperature T of the distillation (inferred).
    """

    epochs: int = 1
    batch_size: int = 32
    optimizer: OptimizerName = "sgd"
    learning_rate: float = 0.01
    private_learning_rate: float = 0.001
    loss: str = DEFAULT_LOSS
    distillation_weight: float = 0.02
    distillation_loss: str = TEMPERED
    temperature: float = 2.0

    def __post_init__(self) -> None:
        numbers(self, "training")
        at_least(self, "training", 1, "epochs", "batch_size")
        one_of(self, "training", "optimizer", OPTIMIZERS)
        check_loss_form(self.loss, setting="training.loss")
        setting = "training.distillation_loss"
        check_distillation_form(self.distillation_loss, setting=setting)
        positive(self, "training", "learning_rate", "temperature")
        at_least(self, "training", 0, "private_learning_rate", "distillation_weight")
