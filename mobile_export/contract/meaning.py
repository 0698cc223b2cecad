"""What the rows and weights of a file mean: what decides whether another file can take them over.

Row numbers and weights alone say nothing of another file, whose vocabularies may be sorted anew.
Kotlin computes the same fingerprints.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecct_tf.data.outcomes import outcome_columns
from ecct_tf.errors import ExportError
from mobile_export.contract.samples import samples_of
from mobile_export.contract.told import entries, flag, listed, whole, word

__all__ = [
    "Column",
    "FileMeaning",
    "context_of",
    "kept_columns",
    "meaning_of",
    "words_fingerprint",
]

_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class Column:
    """A private column of a file.

    Attributes:
      name: of the column.
      kind: `words` where the file tells its values, `rows` where the app knows them, `number`.
      about: fingerprint of the words or of the number's rule; empty for `rows`.
      rows: how many codes it has, 0 for unknown among them.
    """

    name: str
    kind: str
    about: str
    rows: int


@dataclasses.dataclass(frozen=True)
class FileMeaning:
    """What decides whether weights and rows of one file mean the same in another.

    Attributes:
      tier: architecture.
      adapters: whether adapters are trained, on kernels that are constants.
      weights: name and shape of each trained tensor.
      blocks: name and width of the item table's blocks.
      reads: fingerprint of how a history becomes inputs: decays, newest items, clock.
      vocabulary: fingerprint of the item tokens; empty where a token is the row's number.
      rows: of the item table, row 0 included.
      columns: private columns in the order of the input `profile`.
      context: columns of the context that it reads, each with its values, in the order of inputs.
    """

    tier: str
    adapters: bool
    weights: tuple[tuple[str, tuple[int, ...]], ...]
    blocks: tuple[tuple[str, int], ...]
    reads: str
    vocabulary: str
    rows: int
    columns: tuple[Column, ...]
    context: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def size(self) -> int:
        """P, how many weights there are."""
        return sum(math.prod(shape) for _, shape in self.weights)

    def as_values(self) -> dict[str, Any]:
        """As values of JSON."""
        context = [[name, list(words)] for name, words in self.context]
        return {
            # Files that read no context say nothing of it, as those of earlier releases.
            **({"context": context} if context else {}),
            "tier": self.tier,
            "adapters": self.adapters,
            "weights": [[name, list(shape)] for name, shape in self.weights],
            "blocks": [list(block) for block in self.blocks],
            "reads": self.reads,
            "vocabulary": self.vocabulary,
            "rows": self.rows,
            "columns": [list(dataclasses.astuple(column)) for column in self.columns],
        }

    @classmethod
    def from_values(cls, told: Mapping[str, Any]) -> "FileMeaning":
        """Reads what `as_values` gave.

        Raises:
          ValueError, KeyError: it is something else.
        """
        return cls(
            tier=word(told["tier"]),
            adapters=flag(told["adapters"]),
            weights=tuple(
                (word(name), tuple(map(whole, listed(shape))))
                for name, shape in _pairs(told["weights"])
            ),
            blocks=tuple((word(name), whole(width)) for name, width in _pairs(told["blocks"])),
            reads=word(told["reads"]),
            vocabulary=word(told["vocabulary"]),
            rows=whole(told["rows"]),
            columns=tuple(
                Column(word(name), word(kind), word(about), whole(rows))
                for name, kind, about, rows in (
                    entries(each, 4) for each in listed(told["columns"])
                )
            ),
            context=tuple(
                (word(name), tuple(map(word, listed(words))))
                for name, words in _pairs(told.get("context", []))
            ),
        )


def _pairs(told: Any) -> list[list[Any]]:
    return [entries(each, 2) for each in listed(told)]


def meaning_of(
    metadata: Mapping[str, Any],
    *,
    tokens: Sequence[str],
    words: Mapping[str, Mapping[str, int]],
) -> FileMeaning:
    """What rows and weights of a file mean.

    Args:
      metadata: of the file.
      tokens: of items 1, 2, …; empty where the file has none.
      words: rows of the values of each private category, by its name, as far as the file has them.
    """
    items, features = metadata["items"], metadata["features"]
    return FileMeaning(
        tier=str(metadata["tier"]),
        adapters=bool(metadata["variant"]["adapters"]),
        weights=tuple((name, tuple(shape)) for name, shape in metadata["weights"]["layout"]),
        blocks=tuple((name, width) for name, width in items["blocks"]),
        reads=_fingerprint_of_numbers(
            *(features.get(name, []) for name in ("decays", "clock_hours", "clock_pauses")),
            [
                float(features.get(name, 0))
                for name in ("last_items", "clock", "clock_calendar", "history_length")
            ],
        ),
        vocabulary=words_fingerprint(tokens) if items.get("file") else "",
        # Where rows are an input: of the table that they are of.
        rows=1 + int(items["held"]["catalog"]) if "held" in items else int(items["rows"]),
        columns=tuple(_column(column, words) for column in metadata["profile"]),
        context=tuple(kept_columns(metadata).items()),
    )


def kept_columns(metadata: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What a device keeps of each interaction: the context, then what grades and weights read."""
    return {**context_of(metadata), **outcome_columns(samples_of(metadata))}


def context_of(metadata: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The columns of the context that a file reads, each with its values, in the order of inputs.

    Raises:
      ExportError: the file is damaged there.

    >>> context_of({"features": {"context": [{"name": "network", "values": ["wifi"]}]}})
    {'network': ('wifi',)}
    """
    told = metadata.get("features", {}).get("context", [])
    try:
        found = {str(each["name"]): tuple(map(str, each["values"])) for each in told}
    except (KeyError, TypeError) as error:
        raise ExportError(
            f"features.context: expected columns with name and values, the file tells {told!r}; "
            "export it again"
        ) from error
    if len(found) != len(told) or not all(
        words and "" not in words and len(set(words)) == len(words) for words in found.values()
    ):
        raise ExportError(
            "features.context: expected different columns, each with one or more different values, "
            f"the file tells {told!r}; export it again"
        )
    return found


def words_fingerprint(words: Sequence[str]) -> str:
    """Of words in their order; of those of a longer list, its beginning's."""
    return _digest("".join(f"{word}\n" for word in words).encode())


def _column(column: Mapping[str, Any], words: Mapping[str, Mapping[str, int]]) -> Column:
    name, rows = str(column["name"]), int(column["rows"])
    if "number" in column:
        rule = column["number"]
        about = _fingerprint_of_numbers(
            [float(rule[part]) for part in ("log", "mean", "scale", "largest", "steps")]
        )
        return Column(name, "number", about, rows)
    if name in words:
        known = sorted(words[name], key=words[name].__getitem__)
        return Column(name, "words", words_fingerprint(known), rows)
    return Column(name, "rows", "", rows)


def _fingerprint_of_numbers(*lists: Sequence[float]) -> str:
    """Of lists of numbers as little-endian doubles, each after its length."""
    parts = [np.array([len(numbers), *numbers], "<f8").tobytes() for numbers in lists]
    return _digest(b"".join(parts))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]
