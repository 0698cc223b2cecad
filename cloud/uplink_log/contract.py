"""What an uplink must satisfy to be taken."""

import dataclasses
import math
from typing import TYPE_CHECKING

from ecct_tf.config import CodecName, is_own_codec
from ecct_tf.errors import ConfigError
from ecct_tf.wire import UplinkForm
from ecct_tf.wire.record import LAST_SECOND
from ecct_tf.wire.row_codec import custom_codec

if TYPE_CHECKING:
    from cloud.uplink_log.asked import Asked
    from cloud.uplink_log.forgetting import Forgotten
    from ecct_tf.knowledge import ExchangeSpec

__all__ = ["LogContract"]

# Devices clip before they encode; this much may rounding add, relatively.
_ROUNDING = 2.0**-9
_NOISE_DEVIATIONS = 8.0


@dataclasses.dataclass(frozen=True)
class LogContract:
    """What the cloud declared to the devices, and what it knows.

    Attributes:
      num_users: users are 0 to `num_users - 1`.
      num_items: items are 1 to `num_items`.
      queries: Q.
      embedding_dim: d_e.
      codec: of embeddings and logits.
      clip_norm: largest Euclidean norm of an `h_e` before it was encoded.
      clip_logit: largest absolute `z_e` before it was encoded.
      noise_multiplier: of the noise that devices add after clipping; it widens the bounds.
      newest_round: the last round that devices were asked in.
      newest_version: the last cloud version that devices were given.
      newest_second: the present, in whole seconds since 1970, UTC.
      clock_slack_seconds: how far a device's clock may be off.
      asked: which rounds were opened when, and with which items; None checks neither.
      forgotten: what of the log is to be forgotten; None for nothing.
    """

    num_users: int
    num_items: int
    queries: int
    embedding_dim: int
    codec: CodecName
    clip_norm: float
    clip_logit: float
    newest_round: int
    newest_version: int
    noise_multiplier: float = 0.0
    newest_second: int = LAST_SECOND
    clock_slack_seconds: int = 0
    asked: "Asked | None" = None
    forgotten: "Forgotten | None" = None

    def __post_init__(self) -> None:
        for name, least in (("num_users", 1), ("num_items", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"uplink log: expected {name} of at least {least}, got {getattr(self, name)}"
                )

    @classmethod
    def of(
        cls,
        exchange: "ExchangeSpec",
        *,
        num_users: int,
        num_items: int,
        newest_round: int,
        newest_version: int,
    ) -> "LogContract":
        """The contract that follows from the declared exchange."""
        return cls(
            num_users=num_users,
            num_items=num_items,
            queries=exchange.num_queries,
            embedding_dim=exchange.embedding_dim,
            codec=exchange.codec,
            clip_norm=exchange.clip_norm,
            clip_logit=exchange.clip_logit,
            noise_multiplier=exchange.noise_multiplier,
            newest_round=newest_round,
            newest_version=newest_version,
        )

    def form(self, *, with_logits: bool) -> UplinkForm:
        """The form of a payload; both stages may stand in one log."""
        return UplinkForm(
            queries=self.queries,
            embedding_dim=self.embedding_dim,
            codec=self.codec,
            with_logits=with_logits,
        )

    @property
    def largest_norm(self) -> float:
        """No sound `h_e` has a larger norm once it is decoded."""
        width = self.embedding_dim
        noise = self.noise_multiplier * (math.sqrt(width) + _NOISE_DEVIATIONS)
        return self.clip_norm * (1 + noise) * (1 + math.sqrt(width) * self._step + _ROUNDING)

    @property
    def largest_logit(self) -> float:
        """No sound `z_e` is larger in size once it is decoded."""
        noise = self.noise_multiplier * _NOISE_DEVIATIONS
        # The largest logit of a row keeps its size in the library's codecs.
        step = 0.0 if is_own_codec(self.codec) else self._step
        return self.clip_logit * (1 + noise) * (1 + step + _ROUNDING)

    @property
    def _step(self) -> float:
        """How far a value may be from what was encoded, as a share of the largest of its row."""
        if not is_own_codec(self.codec):
            return custom_codec(self.codec).error
        # int8 rounds each value by half a step of 1/127 of the largest.
        return 1 / 254 if self.codec == "int8" else 0.0
