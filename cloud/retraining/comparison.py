"""A new version and the promoted one on the same held-out items: the difference and its error."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["Comparison", "PairedInterval", "carried_by", "paired_interval"]


@dataclasses.dataclass(frozen=True)
class PairedInterval:
    """The mean of paired differences, and how far chance may have moved it.

    Attributes:
      mean: of the differences.
      half_width: of the interval around the mean; infinite for fewer than two pairs.
      count: of the pairs.
    """

    mean: float
    half_width: float
    count: int


def paired_interval(
    after: npt.ArrayLike, before: npt.ArrayLike, *, confidence: float
) -> PairedInterval:
    """Student's interval of the mean of `after - before`, pair by pair.

    Args:
      after: `[n] float`, one value a user.
      before: `[n] float`, of the same users.
      confidence: how often such an interval has the true mean in it, between 0 and 1.

    Raises:
      ValueError: there is no pair.

    Example:
      >>> paired_interval([0.5, 0.7, 0.9], [0.4, 0.7, 0.7], confidence=0.95)
      PairedInterval(mean=0.1, half_width=0.2484..., count=3)
    """
    differences = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    count = len(differences)
    if not count:
        raise ValueError("expected at least one pair, got none")
    # Rounded so that equal versions differ by nothing, whatever the order of the sums.
    mean = round(float(differences.mean()), 12)
    if count < 2:
        return PairedInterval(mean, math.inf, count)
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    quantile = float(special.stdtrit(count - 1, (1 + confidence) / 2))
    return PairedInterval(mean, quantile * error, count)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What the gate decides by.

    Losses that are within chance add up along a chain until a gain makes them good, so that
    many small ones do not pass as none.

    Attributes:
      quality: of the new version, the mean over users.
      before: of the promoted one on the same items.
      interval: of the difference.
      carried: loss since the best version before the promoted one, at least 0.
      room: the largest loss, what is carried included, that the gate lets through.
    """

    quality: float
    before: float
    interval: PairedInterval
    carried: float
    room: float

    @classmethod
    def of(
        cls,
        after: npt.NDArray[np.float64],
        before: npt.NDArray[np.float64],
        *,
        confidence: float,
        largest_loss: float,
        carried: float = 0.0,
    ) -> "Comparison":
        """Compares one value a user, `[n]` each.

        Args:
          after: of the new version.
          before: of the promoted one.
          confidence: of the interval, whose half width is the room.
          largest_loss: bounds the room, as a share of the promoted version's mean, where
            there are too few users to tell.
          carried: loss since the best version before the promoted one.
        """
        interval = paired_interval(after, before, confidence=confidence)
        mean = float(before.mean())
        room = min(interval.half_width, largest_loss * abs(mean))
        return cls(float(after.mean()), mean, interval, carried, room)

    @property
    def loss(self) -> float:
        """What the next version carries if this one is promoted."""
        return max(0.0, self.carried - self.interval.mean)

    def passes(self, *, minimum_gain: float) -> bool:
        """Whether the loss, and a gain that was asked for, are within the room."""
        return self.loss + minimum_gain <= self.room

    def metrics(self, metric: str) -> dict[str, float]:
        """For a manifest, from which `read` takes it again; all finite."""
        values = {
            "difference": self.interval.mean,
            "half_width": self.interval.half_width,
            "users": float(self.interval.count),
            "carried": self.carried,
            "room": self.room,
            "loss": self.loss,
        }
        return {f"gate/{metric}_{k}": v for k, v in values.items() if math.isfinite(v)}

    @classmethod
    def read(
        cls, metrics: Mapping[str, float], metric: str, *, quality: float, before: float
    ) -> "Comparison":
        """What `metrics` wrote of `metric`."""
        found = {
            name: metrics.get(f"gate/{metric}_{name}", math.inf)
            for name in ("difference", "half_width", "users", "carried", "room")
        }
        interval = PairedInterval(found["difference"], found["half_width"], int(found["users"]))
        return cls(quality, before, interval, found["carried"], found["room"])


def carried_by(metrics: Mapping[str, float], metric: str) -> float:
    """The loss that a promoted version brings along.

    Nothing where its own gate had refused it: it was promoted by hand, and the loss accepted.
    """
    loss = metrics.get(f"gate/{metric}_loss", 0.0)
    return loss if loss <= metrics.get(f"gate/{metric}_room", 0.0) else 0.0
