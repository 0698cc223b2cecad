"""How much a device may give away."""

import dataclasses

from ecct_tf.config.checks import numbers, positive
from ecct_tf.errors import ConfigError

__all__ = ["PrivacyConfig"]


@dataclasses.dataclass(frozen=True)
class PrivacyConfig:
    """Accounting of what devices reveal, as (ε, δ)-differential privacy.

    Attributes:
      delta: the δ of every reported ε; well below 1 over the number of devices.
      max_epsilon: bound on ε. A run of the method `ecct` in which a device would spend more is
        refused before any work, and so is one in which something leaves devices without noise. Null
        for no bound.
    """

    delta: float = 1e-5
    max_epsilon: float | None = None

    def __post_init__(self) -> None:
        numbers(self, "privacy")
        if not 0 < self.delta < 1:
            raise ConfigError(f"privacy.delta: expected a number in (0, 1), got {self.delta}")
        if self.max_epsilon is not None:
            positive(self, "privacy", "max_epsilon")
