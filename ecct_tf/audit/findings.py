"""What an attack reached, in numbers."""

import dataclasses
from typing import Any

from ecct_tf.audit.measures import Estimate, Measured, difference

__all__ = ["Finding", "found"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One measure of one attack.

    Attributes:
      attack: `private column`, `membership` or `reconstruction`.
      target: what is guessed.
      method: how.
      measure: by which figure.
      prior: what guessing without any knowledge reaches.
      known: from what the cloud knew anyway; None where that is not measured.
      received: from what it received alone; None where that is not measured.
      both: from both; None where they are not joined.
      added: both less known, paired.
      num_users: users it rests on.
      base_rate: share of the largest class, or of members.
    """

    attack: str
    target: str
    method: str
    measure: str
    prior: float
    known: Estimate | None
    received: Estimate | None
    both: Estimate | None
    added: Estimate | None
    num_users: int
    base_rate: float | None

    @property
    def leaks(self) -> bool:
        """Whether what was received adds to what was known, by the whole interval."""
        return self.added is not None and self.added.low > 0

    def as_dict(self) -> dict[str, Any]:
        """As `audit.json` has it."""
        return {**dataclasses.asdict(self), "leaks": self.leaks}

    def as_row(self) -> dict[str, Any]:
        """As `audit.csv` has it: intervals as columns of their own."""
        row: dict[str, Any] = {}
        for name, value in self.as_dict().items():
            if name in ("known", "received", "both", "added"):
                parts = value or dict.fromkeys(("value", "low", "high"))
                row[name] = parts["value"]
                row[f"{name}_low"], row[f"{name}_high"] = parts["low"], parts["high"]
            else:
                row[name] = value
        return row


def found(
    attack: str,
    target: str,
    *,
    method: str,
    measure: str,
    prior: float,
    known: Measured | None,
    received: Measured | None,
    both: Measured | None,
    num_users: int,
    base_rate: float | None,
) -> Finding:
    """A finding out of figures that were measured with the same draws."""
    return Finding(
        attack=attack,
        target=target,
        method=method,
        measure=measure,
        prior=prior,
        known=None if known is None else known.estimate,
        received=None if received is None else received.estimate,
        both=None if both is None else both.estimate,
        added=None if both is None or known is None else difference(both, known).estimate,
        num_users=num_users,
        base_rate=base_rate,
    )
