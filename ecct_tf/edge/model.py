"""The edge model as a value: an architecture (tier) is a frozen bundle of pure functions."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from ecct_tf.config import Tier
from ecct_tf.edge.layout import WeightLayout
from ecct_tf.errors import ConfigError
from ecct_tf.wire import architecture_fingerprint

__all__ = ["EdgeInputs", "EdgeModel", "EdgeOutputs", "EdgeSpec"]


@dataclasses.dataclass(frozen=True)
class EdgeSpec:
    """Sizes that every tier of one run agrees on.

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

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "profile_sizes" and value < 1:
                raise ConfigError(f"EdgeSpec.{field.name} must be at least 1, got {value}")
        if any(size < 2 for size in self.profile_sizes):
            raise ConfigError(
                "each profile column needs the unknown row and at least one value, "
                f"got sizes {self.profile_sizes}"
            )


class EdgeInputs(NamedTuple):
    """What an edge model reads for B (user, candidate) pairs; `...` is the device axis or empty.

    Attributes:
      interactions: `[..., B, F] float32`, frozen and standardised interaction features.
      slots: `[..., B, L, num_blocks] float32`, dot products of the candidate with each
        history slot; only the `attention` tier reads them.
      slot_mask: `[..., B, L, 1] float32`, 1 where the slot holds an interaction.
      profile: `[..., B, columns] int32`, private categorical features, or `[..., 1, columns]`
        when all rows are of one user.
      cloud_embedding: `[..., B, d_c] float32`, `h_c` from the downlink.
      cloud_logit: `[..., B] float32`, `z_c` from the downlink (zero in stage 1).
    """

    interactions: tf.Tensor
    slots: tf.Tensor
    slot_mask: tf.Tensor
    profile: tf.Tensor
    cloud_embedding: tf.Tensor
    cloud_logit: tf.Tensor


class EdgeOutputs(NamedTuple):
    """What an edge model answers: `h_e` `[..., B, d_e]` and `z_e` `[..., B]`, `float32`."""

    embedding: tf.Tensor
    logit: tf.Tensor


@dataclasses.dataclass(frozen=True)
class EdgeModel:
    """One edge architecture.

    Attributes:
      tier: its name.
      spec: the sizes it was built for.
      layout: its weights in the flat vector.
      reads_slots: whether `EdgeInputs.slots` is read; when not, it may be empty.
      forward: `(flat weights [..., P], EdgeInputs) -> EdgeOutputs`, pure, made of TFLite
        builtin operators in both directions.
    """

    tier: Tier
    spec: EdgeSpec
    layout: WeightLayout
    reads_slots: bool
    forward: Callable[[tf.Tensor, EdgeInputs], EdgeOutputs]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of tier, sizes and layout, in hexadecimal: models that share it share weights."""
        layout = [(weight.name, weight.shape) for weight in self.layout.weights]
        return architecture_fingerprint(self.tier, dataclasses.asdict(self.spec), layout)
