"""What a device knew of the moment of each interaction beside the time: codes of private columns.

A file says which columns its model reads, and their values; whatever else a value may be is
unknown. Values of another file are told apart by their words, so that a newer file may know more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DeviceError
from mobile_export.contract.told import entries, listed, word

__all__ = [
    "Context",
    "Values",
    "context_rows",
    "context_words",
    "kept_values",
    "moment_codes",
    "translated",
]

Context = Mapping[str, Any]
"""By column, a value for each interaction, or None where it is unknown."""

Values = Mapping[str, Sequence[str]]
"""By column, the values that it may have; code k stands for the k-th, 0 for unknown."""

Codes = npt.NDArray[np.int32]


def context_rows(context: Context | None, *, count: int, values: Values) -> Codes:
    """`[count, C] int32`, the codes of interactions.

    Args:
      context: what was known; a column that is missing is unknown.
      count: of the interactions.
      values: of the file's columns.

    Raises:
      DeviceError: the file has no such column, or one has not a value for each.

    Example:
      >>> context_rows({"network": ["wifi", None]}, count=2, values={"network": ["wifi"]}).tolist()
      [[1], [0]]
    """
    codes = np.zeros((count, len(values)), np.int32)
    for name, column in _checked(context, values).items():
        if isinstance(column, str | bytes) or not isinstance(column, Sequence | np.ndarray):
            # The value is private, and errors end in logs.
            raise DeviceError(
                f"context.{name}: expected a list of {count}, one for each interaction, got a "
                f"single {type(column).__name__}"
            )
        if len(column) != count:
            raise DeviceError(
                f"context.{name}: expected one for each of {count} interactions, got {len(column)}"
            )
        codes[:, list(values).index(name)] = [_code(value, values[name]) for value in column]
    return codes


def context_words(codes: Codes, *, values: Values) -> dict[str, list[str | None]]:
    """What `context_rows` made codes `[n, C]` of; None where it is unknown.

    Example:
      >>> context_words(np.array([[1], [0]]), values={"network": ["wifi"]})
      {'network': ['wifi', None]}
    """
    return {
        name: [words[code - 1] if code else None for code in codes[:, place].tolist()]
        for place, (name, words) in enumerate(values.items())
    }


def moment_codes(context: Context | None, *, values: Values) -> Codes:
    """`[C] int32`, the codes of one moment; as `context_rows`, with a value for each column."""
    given = _checked(context, values)
    codes = [_code(given.get(name), words) for name, words in values.items()]
    return np.array(codes, np.int32)


def kept_values(told: Any) -> dict[str, tuple[str, ...]]:
    """The columns that a state says it keeps, each with its values.

    Raises:
      ValueError: they are no columns, or one comes twice.
    """
    pairs = [entries(each, 2) for each in listed(told)]
    found = {word(name): tuple(map(word, listed(words))) for name, words in pairs}
    if len(found) != len(pairs):
        raise ValueError(f"context: expected each column once, got {[name for name, _ in pairs]}")
    return found


def translated(codes: Codes, *, of: Values, to: Values) -> Codes:
    """Codes of the columns `of` as those of the columns `to`; what these lack is unknown."""
    found = np.zeros((len(codes), len(to)), np.int32)
    for place, (name, words) in enumerate(to.items()):
        if name in of:
            own = [0, *(_code(word, words) for word in of[name])]
            found[:, place] = np.array(own, np.int32)[codes[:, list(of).index(name)]]
    return found


def _checked(context: Context | None, values: Values) -> Context:
    unknown = sorted(set(context or {}) - set(values))
    if unknown:
        raise DeviceError(
            f"context: the file reads {list(values) or 'no context'}, got {', '.join(unknown)}; "
            "leave out what it does not read, or load a file that does"
        )
    return context or {}


def _code(value: object, words: Sequence[str]) -> int:
    return list(words).index(str(value)) + 1 if value is not None and str(value) in words else 0
