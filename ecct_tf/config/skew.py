"""How unevenly the data lie on devices, for studies."""

import dataclasses
import math

from ecct_tf.config.checks import at_least, numbers, positive, within
from ecct_tf.errors import ConfigError

__all__ = ["SkewConfig"]


@dataclasses.dataclass(frozen=True)
class SkewConfig:
    """Skew between devices, made by thinning training interactions; what is tested stays.

    Attributes:
      keep: share of all training interactions that stay; the others exist neither on devices nor in
        the cloud. Below 1 with `taste` or `quantity`, which decide which ones stay.
      taste: label skew: concentration α of the Dirichlet distribution, around the shares of all
        users, from which each device's shares of the taste clusters are drawn; small values are
        uneven, 1000 makes devices as similar as their histories allow; null keeps a uniform sample.
      tastes: number of taste clusters of items that the same users met.
      quantity: quantity skew: standard deviation σ of the logarithm of the devices' weights, by
        which `keep` is distributed; 0 keeps the same share everywhere.
      missing_profiles: feature skew: share of the devices whose private columns are all unknown.
    """

    keep: float = 1.0
    taste: float | None = None
    tastes: int = 8
    quantity: float = 0.0
    missing_profiles: float = 0.0

    def __post_init__(self) -> None:
        numbers(self, "data.skew")
        positive(self, "data.skew", "keep")
        within(self, "data.skew", 0.0, 1.0, "keep", "missing_profiles")
        at_least(self, "data.skew", 2, "tastes")
        at_least(self, "data.skew", 0, "quantity")
        if self.taste is not None and not (0 < self.taste < math.inf):
            raise ConfigError(
                "data.skew.taste: expected a finite number above 0, such as 0.1, or null, got "
                f"{self.taste}"
            )
        for key in ("taste", "quantity"):
            if getattr(self, key) and self.keep == 1.0:
                raise ConfigError(
                    f"data.skew.{key}: has no effect where every interaction stays; expected "
                    f"data.skew.keep below 1, such as 0.5, got {self.keep} with "
                    f"{key}={getattr(self, key)}"
                )

    @property
    def active(self) -> bool:
        """Whether anything is changed.

        >>> SkewConfig().active, SkewConfig(keep=0.5).active
        (False, True)
        """
        return self.keep < 1.0 or self.missing_profiles > 0.0
