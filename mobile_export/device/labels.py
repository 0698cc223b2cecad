"""What a state tells of itself to the file that comes after its own.

A state holds row numbers and weights, which alone say nothing where vocabularies are sorted anew.
So it also has the tokens of its own items, the profile as the app gave it, interactions with items
that its file does not know, and what its file is. Kotlin writes the same bytes.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from mobile_export.contract.meaning import FileMeaning
from mobile_export.contract.told import listed, members, whole, word
from mobile_export.device.moments import Values
from mobile_export.device.times import LATEST_SECOND

__all__ = ["StateLabels", "Waiting"]


@dataclasses.dataclass(frozen=True)
class Waiting:
    """An interaction with an item that the file does not know.

    Attributes:
      token: of the item.
      place: how many interactions of the history came before it.
      time: seconds since 1970, 0 where it is unknown.
      context: codes of the columns of the context that the file reads.
    """

    token: str
    place: int
    time: int
    context: tuple[int, ...] = ()

    def as_values(self) -> list[Any]:
        """As values of JSON; of a file without a context, as earlier releases wrote it."""
        values: list[Any] = [self.token, self.place, self.time]
        return [*values, list(self.context)] if self.context else values

    @classmethod
    def from_values(cls, told: Sequence[Any]) -> "Waiting":
        """Reads what `as_values` gave."""
        token, place, time, *codes = told
        context = tuple(map(whole, listed(codes[0]))) if len(codes) == 1 else ()
        if len(codes) > 1 or (codes and not context):
            raise ValueError(f"labels: expected codes of a context, or none, got {codes}")
        return cls(word(token), whole(place), whole(time, most=LATEST_SECOND), context)


@dataclasses.dataclass(frozen=True)
class StateLabels:
    """What a state tells the next file.

    Attributes:
      file: what its rows and weights mean.
      tokens: of the different rows of the history, by row; empty for one that has none.
      texts: for each private column the value as the app gave it; empty where it is unknown.
      waiting: interactions with unknown items, oldest first.
      waiting_older: how many of them, the first, the cloud knows too.
    """

    file: FileMeaning
    tokens: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    waiting_older: int = 0

    def as_values(self) -> dict[str, Any]:
        """As values of JSON."""
        return {
            "file": self.file.as_values(),
            "tokens": list(self.tokens),
            "texts": list(self.texts),
            "waiting": [each.as_values() for each in self.waiting],
            "waiting_older": self.waiting_older,
        }

    def as_bytes(self) -> bytes:
        """JSON; equal labels give equal bytes, in Kotlin too."""
        return json.dumps(self.as_values(), sort_keys=True).encode()

    def check(self, *, history: int, profile: int, context: Values) -> None:
        """Raises `ValueError` unless the labels fit a state.

        Args:
          history: how many interactions it has.
          profile: how many private columns.
          context: its columns of the context, with their values.
        """
        places = [each.place for each in self.waiting]
        most = [len(words) for words in context.values()]
        if (
            len(self.texts) != profile
            or len(self.file.columns) != profile
            or not 0 <= self.waiting_older <= len(places)
            or any(not 0 <= place <= history for place in places)
            or any(each.time < 0 for each in self.waiting)
            or any(len(each.context) != len(most) for each in self.waiting)
            or any(
                not 0 <= code <= last
                for each in self.waiting
                for code, last in zip(each.context, most, strict=True)
            )
            or self.file.context != tuple(context.items())
        ):
            raise ValueError(
                f"labels: expected those of {history} interactions and {profile} private columns"
            )

    @classmethod
    def from_bytes(cls, content: bytes) -> "StateLabels":
        """Reads what `as_bytes` gave.

        Raises:
          ValueError: the content is not of this form.
        """
        try:
            told = members(json.loads(content.decode("utf-8")))
            return cls(
                file=FileMeaning.from_values(members(told["file"])),
                tokens=tuple(map(word, listed(told["tokens"]))),
                texts=tuple(map(word, listed(told["texts"]))),
                waiting=tuple(
                    Waiting.from_values(listed(each)) for each in listed(told["waiting"])
                ),
                waiting_older=whole(told["waiting_older"]),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"labels: {error!r}") from error
