"""Configuration of the starting weights that the cloud makes for edge models."""

import dataclasses
import math
from typing import ClassVar

from ecct_tf.config.checks import at_least, numbers, positive, within
from ecct_tf.config.loss_names import DEFAULT_LOSS, check_loss_form

__all__ = ["StartConfig"]


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """How the cloud trains the starting weights of edge models on its own view.

    The older histories are split once more: an inner item table comes from the older part, and
    positions in the newer part meet it as devices will meet the future.

    Attributes:
      inner_fraction: newest share of each older history that is trained on.
      epochs: passes over those positions.
      min_steps: smallest number of batches to learn from, reached with more passes if there are few
        positions, up to five times as many.
      max_positions: largest number of a user's newest positions to use.
      max_samples: largest number of pairs over all users; beyond it users are drawn from the seed.
      negatives: number of negatives for each position, sampled uniformly outside the user's older
        interactions.
      batch_size: samples in a batch.
      loss: loss of those pairs, as `training.loss` names it. With a loss by position a batch is as
        many whole positions as `batch_size` holds, at least one, and a tenth of `bce` is added,
        which keeps logits at its level.
      learning_rate: learning rate of Adam.
      weight_decay: strength of Adam's decoupled weight decay, on all weights.
    """

    # Its name in messages, where it is not a run's.
    section: ClassVar[str] = "start"

    inner_fraction: float = 0.25
    epochs: int = 4
    min_steps: int = 280
    max_positions: int = 128
    max_samples: int = 500_000
    negatives: int = 19
    batch_size: int = 512
    loss: str = DEFAULT_LOSS
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5

    def __post_init__(self) -> None:
        name = self.section
        numbers(self, name)
        check_loss_form(self.loss, setting=f"{name}.loss")
        within(self, name, 0.0, 1.0, "inner_fraction")
        positive(self, name, "inner_fraction", "learning_rate")
        at_least(self, name, 1, "epochs", "max_positions", "max_samples", "negatives", "batch_size")
        at_least(self, name, 0, "min_steps", "weight_decay")

    def left_of(self, size: int) -> int:
        """How many of a history of `size` older interactions are not trained on.

        >>> StartConfig(inner_fraction=0.25).left_of(5), StartConfig(inner_fraction=0.25).left_of(2)
        (3, 1)
        """
        return size - min(math.ceil(self.inner_fraction * size), max(size - 1, 0))
