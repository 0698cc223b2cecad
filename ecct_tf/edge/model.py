"""The edge model as a value: an architecture (tier) is a frozen bundle of pure functions."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from ecct_tf.config import Tier
from ecct_tf.data.profile import ProfileShape
from ecct_tf.edge.layout import WeightLayout
from ecct_tf.errors import ConfigError
from ecct_tf.wire import architecture_fingerprint

__all__ = ["EdgeInputs", "EdgeModel", "EdgeOutputs", "EdgeSpec", "Forward"]


@dataclasses.dataclass(frozen=True)
class EdgeSpec:
    """Sizes that every tier of one run agrees on, and all that a builder knows.

    Attributes:
      interaction_dim: F, width of the frozen interaction features.
      history_length: L, slots of the recent history.
      num_blocks: number of item-to-item blocks, one dot product a slot each.
      profile_sizes: rows of each private categorical column, the unknown row 0 included.
      cloud_dim: d_c, width of the cloud embedding `h_c`.
      embedding_dim: d_e, width of the edge embedding `h_e`.
      hidden_dim: width of the hidden layer of the `mlp` and `attention` tiers.
      profile_dim: width of the embedding of one profile column.
      heads: attention heads of the `attention` tier.
      item_dim: d, width of an item vector of the item table; 0 where it is not known, and then
        no model can read item vectors.
      profile_numbers: n, private numeric columns.
      profile_sets: how many values each private column of several values has; V in all.
      targets: names of the further targets, T of them, in the order of their logits; each wants a
        head, and most models have none.
    """

    interaction_dim: int
    history_length: int
    num_blocks: int
    profile_sizes: tuple[int, ...]
    cloud_dim: int
    embedding_dim: int = 16
    hidden_dim: int = 32
    profile_dim: int = 4
    heads: int = 2
    item_dim: int = 0
    profile_numbers: int = 0
    profile_sets: tuple[int, ...] = ()
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in ("item_dim", "profile_numbers") else 1
            if not isinstance(value, tuple) and value < least:
                raise ConfigError(f"EdgeSpec.{field.name} must be at least {least}, got {value}")
        if any(size < 2 for size in self.profile_sizes):
            raise ConfigError(
                "each profile column needs the unknown row and at least one value, "
                f"got sizes {self.profile_sizes}"
            )
        if any(size < 1 for size in self.profile_sets):
            raise ConfigError(
                "EdgeSpec.profile_sets: expected at least one value of each private column of "
                f"several values, got {self.profile_sets}"
            )

    @classmethod
    def of(cls, sizes: Mapping[str, Any]) -> "EdgeSpec":
        """The sizes as JSON has them; those of before had fewer.

        >>> EdgeSpec.of({"interaction_dim": 4, "history_length": 3, "num_blocks": 1, "cloud_dim": 2,
        ...              "profile_sizes": [3], "profile_sets": [5]}).profile_sets
        (5,)
        """
        lists = {name: tuple(value) for name, value in sizes.items() if isinstance(value, list)}
        return cls(**{**sizes, **lists})


class EdgeInputs(NamedTuple):
    """What an edge model reads for B (user, candidate) pairs; `...` is the device axis or empty.

    Attributes:
      interactions: `[..., B, F] float32`, frozen and standardised interaction features.
      slots: `[..., B, L, num_blocks] float32`, dot products of the candidate with each
        history slot, for models that declare `slots`.
      slot_mask: `[..., B, L, 1] float32`, 1 where the slot holds an interaction.
      profile: `[..., B, columns] int32`, private categorical features, or `[..., 1, columns]`
        when all rows are of one user. What a model is called with has the codes of the numbers
        and sets behind them, see `ecct_tf.data.profile`.
      cloud_embedding: `[..., B, d_c] float32`, `h_c` from the downlink.
      cloud_logit: `[..., B] float32`, `z_c` from the downlink (zero in stage 1).
      history_items: `[..., B, L, d] float32`, the item vectors of the history, newest last and
        zero for padding, or `[..., 1, L, d]` when all rows have one history; None for models that
        do not declare `items`.
      history_mask: `[..., B, L, 1] float32` or `[..., 1, L, 1]`, 1 where it holds an interaction;
        None likewise.
      candidate_items: `[..., B, d] float32`, the item vector of each candidate; None likewise.
      dropout: `[..., B] int32`, a key of each row while a device trains, for models with a
        `Dropout`; None for all others, and where nothing trains.
      numbers: `[..., B, 2 n] float32`, or `[..., 1, 2 n]` when all rows are of one user: private
        numbers, scaled by the schema's rules and 0 where unknown, then for each whether it is
        known, 1 or 0. None for models that do not declare `numbers`, and where there are none.
      sets: `[..., B, V] float32`, or `[..., 1, V]` when all rows are of one user: of each private
        column of several values, 1/k for each of the k values that the user has, and 0 for all
        others. None for models that do not declare `sets`, and where there are none.
    """

    interactions: tf.Tensor
    slots: tf.Tensor
    slot_mask: tf.Tensor
    profile: tf.Tensor
    cloud_embedding: tf.Tensor
    cloud_logit: tf.Tensor
    history_items: tf.Tensor = None
    history_mask: tf.Tensor = None
    candidate_items: tf.Tensor = None
    dropout: tf.Tensor = None
    numbers: tf.Tensor = None
    sets: tf.Tensor = None

    def map(self, function: Callable[[tf.Tensor], tf.Tensor]) -> "EdgeInputs":
        """`function` of each tensor that there is."""
        return EdgeInputs(*(None if part is None else function(part) for part in self))


class EdgeOutputs(NamedTuple):
    """What an edge model answers, `float32`.

    Attributes:
      embedding: `[..., B, d_e]`, `h_e`.
      logit: `[..., B]`, `z_e`: the one by which items are ranked, which crosses and which the cloud
        teaches.
      targets: `[..., B, T]`, the logits of `EdgeSpec.targets`; None where there are none. They
        never leave a device.
    """

    embedding: tf.Tensor
    logit: tf.Tensor
    targets: tf.Tensor | None = None


class Forward(Protocol):
    """What computes an edge model's answers."""

    def __call__(
        self, flat: tf.Tensor, inputs: EdgeInputs, *, fixed_order: bool | None = None
    ) -> EdgeOutputs:
        """The answers.

        Args:
          flat: `[..., P] float32`, the weights.
          inputs: of B rows.
          fixed_order: whether sums are added in a fixed order, so that the answers have the same
            bits in every runtime, alone and in a stack (`ecct_tf.fixed_order`). As an argument it
            decides behind a `tf.function` too, whatever that was traced with before. None takes
            the order that the caller is traced in.
        """


@dataclasses.dataclass(frozen=True)
class EdgeModel:
    """One edge architecture.

    Attributes:
      tier: its name.
      spec: the sizes it was built for.
      layout: its weights in the flat vector.
      reads: what it reads beside what every model may, see `ecct_tf.edge.architecture`.
      forward: `(flat weights [..., P], EdgeInputs, fixed_order=) -> EdgeOutputs`, pure, made of
        TFLite builtin operators in both directions.
    """

    tier: Tier
    spec: EdgeSpec
    layout: WeightLayout
    reads: frozenset[str]
    forward: Forward

    @property
    def reads_slots(self) -> bool:
        """Whether `EdgeInputs.slots` is read; when not, it may be empty."""
        return "slots" in self.reads

    @property
    def reads_items(self) -> bool:
        """Whether the item vectors in `EdgeInputs` are read; when not, they are None."""
        return "items" in self.reads

    @property
    def reads_dropout(self) -> bool:
        """Whether rows need keys in training, from which masks are computed."""
        return "dropout" in self.reads

    @property
    def reads_numbers(self) -> bool:
        """Whether it reads private numbers, and there are some."""
        return "numbers" in self.reads and self.spec.profile_numbers > 0

    @property
    def reads_sets(self) -> bool:
        """Whether it reads private columns of several values, and there are some."""
        return "sets" in self.reads and bool(self.spec.profile_sets)

    @property
    def profile(self) -> ProfileShape:
        """The shape of the profiles that it reads."""
        numbers = self.spec.profile_numbers if self.reads_numbers else 0
        sets = self.spec.profile_sets if self.reads_sets else ()
        return ProfileShape(self.spec.profile_sizes, numbers, sets)

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes that it was built for; of what it does not read, none."""
        sizes = dataclasses.asdict(self.spec)
        if not self.reads_items:
            del sizes["item_dim"]
        if not self.reads_numbers:
            del sizes["profile_numbers"]
        if not self.reads_sets:
            del sizes["profile_sets"]
        if not self.spec.targets:
            del sizes["targets"]
        return sizes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of tier, sizes and layout, in hexadecimal: models that share it share weights."""
        layout = [(weight.name, weight.shape) for weight in self.layout.weights]
        return architecture_fingerprint(self.tier, self.sizes, layout)
