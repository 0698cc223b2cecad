"""Changes of shared weights that the server has not applied.

Where answers are delayed, or the server waits for a number of them, a round ends with changes that
are kept, not with a step.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Changes", "sent_changes"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class Changes(NamedTuple):
    """Sums of devices' changes; the devices behind one began and arrive in the same rounds.

    Attributes:
      sums: `[g, P_shared] float32`, each device's change times its weight.
      weights: `[g] float32`, the samples behind them, unless a method says otherwise.
      devices: `[g] int64`, how many devices are behind them.
      versions: `[g] int64`, steps that the server had taken when the devices began.
      arrives: `[g] int64`, the rounds in which they arrive.
    """

    sums: Array
    weights: Array
    devices: Ids
    versions: Ids
    arrives: Ids

    @classmethod
    def none(cls) -> "Changes":
        """No change, of any number of weights."""
        nothing, zeros = np.zeros(0, np.int64), np.zeros(0, np.float32)
        return cls(zeros[:, None], zeros, nothing, nothing, nothing)

    def and_(self, other: "Changes") -> "Changes":
        """These, then the others."""
        if not len(self.devices):
            return other
        pairs: list[Any] = list(zip(self, other, strict=True))
        return Changes(*(np.concatenate(pair) for pair in pairs))

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Changes":
        """Some of them."""
        parts: list[Any] = list(self)
        return Changes(*(part[chosen] for part in parts))


def sent_changes(
    found: Sequence[tuple[Any, Any]],
    members: Sequence[Ids],
    *,
    arrives: Sequence[int],
    version: int,
    size: int,
) -> Changes:
    """What the client values of a round sent, joined where they arrive in the same round.

    Args:
      found: of each client value, the sum of its devices' changes and the weight behind it.
      members: of each client value, its devices.
      arrives: of each client value, the round in which it arrives.
      version: steps that the server had taken before the round.
      size: P_shared.
    """
    rounds = sorted(set(arrives))
    sums = np.zeros((len(rounds), size), np.float32)
    weights = np.zeros(len(rounds), np.float32)
    devices = np.zeros(len(rounds), np.int64)
    for (change, weight), own, arrival in zip(found, members, arrives, strict=True):
        row = rounds.index(arrival)
        sums[row] += np.asarray(change)
        weights[row] += np.float32(weight)
        devices[row] += len(own)
    versions = np.full(len(rounds), version, np.int64)
    return Changes(sums, weights, devices, versions, np.array(rounds, np.int64))
