"""How a private number becomes an input of an edge model: by a rule that everybody may know.

No statistic of private values decides it, since nobody may compute one. A number is scaled by
what the schema says, clipped, and held as whole steps, 0 for one that is unknown: so it is the
same to the last bit in the simulation, in Python, in Kotlin and in an exported file.
"""

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import ConfigError, DataError

__all__ = ["LARGEST_VALUE", "NUMBER_ROWS", "STEPS", "Scaling", "number_code", "number_values"]

LARGEST_VALUE = 8.0
"""Scaled numbers are clipped to ± this."""

STEPS = 65_536
"""Steps of a scaled number from one whole value to the next."""

NUMBER_ROWS = 2 * int(LARGEST_VALUE) * STEPS + 2
"""How many codes there are: 0 for unknown, and one for each step of the range."""

_UNSCALED = 4.0


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The rule of one private number: `(number - mean) / scale`, or -1 at `min` and 1 at `max`.

    Without any, the logarithm divided by 4, which suits every number somehow.

    Attributes:
      min: the lowest number to expect; a lower one lies below -1, down to -8.
      max: the highest one to expect; needs `min`, and takes the place of `mean` and `scale`.
      mean: what becomes 0, from public knowledge.
      scale: what becomes 1 above the mean; above 0.
      log: whether `sign(number) * ln(1 + |number|)` is scaled, as for incomes and counts. `min` and
        `max` are numbers nevertheless, `mean` and `scale` logarithms.

    >>> number_code(40.0, Scaling(min=20, max=60)), number_code(math.nan, Scaling(log=True))
    (524289, 0)
    """

    min: float | None = None
    max: float | None = None
    mean: float | None = None
    scale: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        for first, second in (("min", "max"), ("mean", "scale")):
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                missing = first if getattr(self, first) is None else second
                raise ConfigError(f"scaling.{missing}: missing; give {first} and {second}")
        if self.min is not None and self.mean is not None:
            raise ConfigError("scaling: expected min and max or mean and scale, got both")
        if self.min is None and self.mean is None and not self.log:
            raise ConfigError("scaling: expected min and max, mean and scale, or log: true")
        for name in ("min", "max", "mean", "scale"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"scaling.{name}: expected a finite number, got {value}")
        if self.min is not None and self.max is not None and not self.min < self.max:
            raise ConfigError(
                f"scaling.max: expected a number above min ({self.min:g}), got {self.max:g}"
            )
        if self.scale is not None and self.scale <= 0:
            raise ConfigError(f"scaling.scale: expected a number above 0, got {self.scale:g}")

    @property
    def linear(self) -> tuple[float, float]:
        """Mean and scale of what is scaled: of logarithms with `log`, else of numbers."""
        if self.min is not None and self.max is not None:
            low, high = self._of(self.min), self._of(self.max)
            return (low + high) / 2, (high - low) / 2
        if self.mean is not None and self.scale is not None:
            return self.mean, self.scale
        return 0.0, _UNSCALED

    def scaled(self, number: float) -> float:
        """`number` as a model reads it, before it is rounded to a step; in [-8, 8]."""
        mean, scale = self.linear
        value = (self._of(number) - mean) / scale
        return max(-LARGEST_VALUE, min(LARGEST_VALUE, value))

    def _of(self, number: float) -> float:
        return math.copysign(math.log1p(abs(number)), number) if self.log else number

    @property
    def told(self) -> str:
        """The rule in words.

        >>> Scaling(min=0, max=100).told, Scaling(log=True).told
        ('(x - 50) / 50', 'sign(x) ln(1 + |x|) / 4')
        """
        mean, scale = self.linear
        what = "sign(x) ln(1 + |x|)" if self.log else "x"
        return f"{what} / {scale:g}" if mean == 0 else f"({what} - {mean:g}) / {scale:g}"

    def as_dict(self) -> dict[str, float | bool]:
        """What of it was given, for YAML."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if value is not None and value is not False
        }


def number_code(number: float, scaling: Scaling) -> int:
    """A number as whole steps, from 1; 0, unknown, for NaN.

    Raises:
      DataError: `number` is infinite.
    """
    if math.isnan(number):
        return 0
    if math.isinf(number):
        raise DataError(f"expected a finite number, or NaN where it is unknown, got {number}")
    return 1 + math.floor((scaling.scaled(number) + LARGEST_VALUE) * STEPS + 0.5)


def number_values(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """What `codes` `[...] int32` stand for, `[...] float32`; NaN for 0.

    >>> number_values(np.array([0, 1, NUMBER_ROWS - 1], np.int32)).tolist()
    [nan, -8.0, 8.0]
    """
    values = (codes - 1).astype(np.float32) / np.float32(STEPS) - np.float32(LARGEST_VALUE)
    return np.where(codes > 0, values, np.float32(np.nan)).astype(np.float32)
