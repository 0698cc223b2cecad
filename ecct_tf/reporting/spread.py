"""A figure over seeds, and figures as words."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

__all__ = ["Spread", "bytes_text", "plural", "seconds_text", "signed"]


@dataclasses.dataclass(frozen=True)
class Spread:
    """One figure, measured once for each seed.

    Attributes:
      values: in the order of the seeds.

    Example:
      >>> Spread((0.1, 0.3)).text()
      '0.200 ± 0.141'
      >>> Spread((0.1,)).text()
      '0.100'
    """

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """The figure of some values; None unless there are any, all of them finite."""
        kept = tuple(float(value) for value in values)
        return cls(kept) if kept and all(map(math.isfinite, kept)) else None

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation (n - 1); None for one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def text(self, digits: int = 3) -> str:
        """Mean ± standard deviation, the latter only where there is one."""
        spread = "" if self.deviation is None else f" ± {self.deviation:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign, a true minus, and no sign where it rounds to nothing.

    >>> signed(0.02), signed(-0.02), signed(-0.0001)
    ('+0.020', '−0.020', '0.000')
    """
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def bytes_text(count: float) -> str:
    """A number of bytes, with a unit that a person can compare.

    >>> bytes_text(712), bytes_text(13768), bytes_text(318106), bytes_text(5_000_000)
    ('712 B', '13.4 KiB', '311 KiB', '4.77 MiB')
    """
    if round(count) < 1024:
        return f"{count:.0f} B"
    units = ["KiB", "MiB", "GiB", "TiB"]
    value = count / 1024
    while value >= 1023.5 and len(units) > 1:
        value /= 1024
        units.pop(0)
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f} {units[0]}"


def seconds_text(seconds: float) -> str:
    """A duration: in seconds below two minutes, then in minutes, then in hours.

    >>> seconds_text(34.2), seconds_text(150), seconds_text(9000)
    ('34 s', '2.5 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "seed"), plural(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
