"""Configuration of an exchange in which only sums over devices leave them."""

import dataclasses

from ecct_tf.config.checks import at_least, numbers, positive
from ecct_tf.errors import ConfigError

__all__ = ["ItemSumConfig"]

_MOST_BITS = 24


@dataclasses.dataclass(frozen=True)
class ItemSumConfig:
    """The sums of `exchange.rows=item`, one of each payload in a round.

    Attributes:
      embeddings: whether sums of `h_e` leave devices too. They are `edge.embedding_dim` times as
        long as those of the logits, and spend as much of the privacy budget.
      width: buckets of a sum. A catalog of fewer items has a bucket for each; items of a larger
        catalog share buckets, different ones in each round, so an uplink does not grow with it.
      bits: bits of one number that a device sends, including its sign.
      clip_embeddings: largest Euclidean norm of all `h_e` of a device together in a round.
      clip_logits: the same for `z_e - z_c` minus its mean over the answers of a user.
      noise_multiplier: Gaussian noise on each sum, as a multiple of its bound; 0 for none.
      keep: whether the run folder keeps the sums of each round, for `ecct audit`.
    """

    embeddings: bool = False
    width: int = 4096
    bits: int = 12
    clip_embeddings: float = 16.0
    clip_logits: float = 8.0
    noise_multiplier: float = 0.0
    keep: bool = False

    def __post_init__(self) -> None:
        section = "exchange.item_sums"
        numbers(self, section)
        at_least(self, section, 1, "width")
        at_least(self, section, 2, "bits")
        at_least(self, section, 0, "noise_multiplier")
        positive(self, section, "clip_embeddings", "clip_logits")
        if self.bits > _MOST_BITS:
            raise ConfigError(
                f"{section}.bits: expected at most {_MOST_BITS}, so that sums stay exact, got "
                f"{self.bits}"
            )
