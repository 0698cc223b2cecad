"""How much room a file has for rows of items, where it does not hold the whole item table.

Such a file takes rows as an input of its signatures, `item_rows`: `[R, 4 + W] int8`, the number of
an item as little-endian int32 and then its row as the cloud publishes it, row 0 the padding row.
Histories, candidates and queries then name places in it. No TensorFlow: a device imports it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ecct_tf.config import CandidateRowsConfig
from ecct_tf.errors import ExportError

__all__ = ["HeldRoom", "held_room"]

# As many as a request's candidates usually are, and some.
_REQUEST = 128


@dataclasses.dataclass(frozen=True)
class HeldRoom:
    """Rows that a device has room for.

    Attributes:
      chosen: of what the cloud chose.
      touched: of what its user touched beside them.
      request: of the candidates of one request beside both.
    """

    chosen: int
    touched: int
    request: int = _REQUEST

    @classmethod
    def of(cls, config: CandidateRowsConfig, *, history_length: int) -> "HeldRoom":
        """The room that devices of a run need.

        >>> HeldRoom.of(CandidateRowsConfig(2, 2, 2, touched=3), history_length=4).rows
        142
        """
        return cls(config.shared + config.best + history_length, config.touched)

    @property
    def rows(self) -> int:
        """R, the padding row included."""
        return 1 + self.chosen + self.touched + self.request


def held_room(metadata: Mapping[str, Any]) -> HeldRoom | None:
    """The room that a file tells; None for a file that holds the whole item table.

    Raises:
      ExportError: it is damaged there.
    """
    told = metadata["items"].get("held")
    if told is None:
        return None
    try:
        numbers = {field.name: int(told[field.name]) for field in dataclasses.fields(HeldRoom)}
        if min(*numbers.values(), int(told["catalog"]), int(told["row_bytes"])) < 0:
            raise ValueError("a number below 0")
        return HeldRoom(**numbers)
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(
            f"items.held: expected how many rows fit, the file tells {told!r} ({error!r}); export "
            "it again"
        ) from error
