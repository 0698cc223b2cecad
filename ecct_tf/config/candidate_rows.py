"""Configuration of an exchange in which devices hold rows of some items alone."""

import dataclasses

from ecct_tf.config.checks import at_least, numbers

__all__ = ["CandidateRowsConfig"]


@dataclasses.dataclass(frozen=True)
class CandidateRowsConfig:
    """The rows of `exchange.items=candidates`: what the cloud sends, by its own choice.

    Beside them a device gets those of the newest interactions that the cloud knows of its user, as
    many as `features.history_length`.

    Attributes:
      best: rows for each user, of the items that the cloud ranks highest for the user.
      popular: rows shared by all devices, of the items with most older interactions.
      uniform: rows shared by all devices, of items drawn uniformly from the catalog: negatives from
        these are like those of a whole table.
      touched: rows that a device keeps beside those, of what its user touched last among a
        request's candidates. Devices with exported files only: a simulation's devices touch
        nothing new.
    """

    best: int = 512
    popular: int = 512
    uniform: int = 512
    touched: int = 256

    def __post_init__(self) -> None:
        section = "exchange.candidates"
        numbers(self, section)
        at_least(self, section, 1, "best", "popular")
        at_least(self, section, 0, "uniform", "touched")

    @property
    def shared(self) -> int:
        """Rows that all devices share, at most.

        >>> CandidateRowsConfig(popular=2, uniform=3).shared
        5
        """
        return self.popular + self.uniform
