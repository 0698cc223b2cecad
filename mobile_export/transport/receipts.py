"""What the service did with answers: which of them a device may forget."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ecct_tf.errors import TransportError
from mobile_export.contract.told import whole

__all__ = ["Sent", "read_receipt"]

_WAY_OUT = "is it the service that is meant?"


@dataclasses.dataclass(frozen=True)
class Sent:
    """What the service did with answers; a device need not send any of them again.

    Attributes:
      taken: answers that it added to its log.
      repeated: answers that were in its log already.
      too_old: answers of rounds so old that they cannot be told from repeated ones.
    """

    taken: int
    repeated: int
    too_old: int


def read_receipt(told: Mapping[str, Any], *, path: str, answers: int) -> Sent:
    """The receipt of `answers`.

    Args:
      told: by the service.
      path: that was asked, for messages.
      answers: how many were sent; a receipt of more or fewer confirms none.

    Raises:
      TransportError: it is none, or one of others.

    >>> read_receipt({"taken": 1, "repeated": 2, "too_old": 0}, path="/v1/uplinks", answers=3)
    Sent(taken=1, repeated=2, too_old=0)
    """
    counts = []
    for name in ("taken", "repeated", "too_old"):
        try:
            counts.append(whole(told.get(name)))
        except ValueError as error:
            raise TransportError(
                f"{path}: expected a receipt: {name}: {error}; {_WAY_OUT}"
            ) from error
    if sum(counts) != answers:
        raise TransportError(
            f"{path}: expected a receipt of {answers} answers, got one of {sum(counts)}; {_WAY_OUT}"
        )
    return Sent(*counts)
