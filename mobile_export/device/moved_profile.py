"""A profile that was given for one file, for another."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import DeviceError
from mobile_export.contract.meaning import Column
from mobile_export.device.labels import StateLabels
from mobile_export.device.profile import column_code, profile_row, profile_texts
from mobile_export.device.state import DeviceState
from mobile_export.runtime.edge_file import EdgeFile

__all__ = ["moved_profile", "new_code"]


def new_code(index: int, old: StateLabels, file: EdgeFile) -> int | None:
    """The code of a column's value in `file`; None where the state cannot tell.

    A number that came as its code cannot be read by another rule, nor a value of one kind by
    another.
    """
    column, text = old.file.columns[index], old.texts[index]
    place = next(
        place for place, each in enumerate(file.meaning.columns) if each.name == column.name
    )
    if file.meaning.columns[place].kind != column.kind:
        return None
    if column.kind == "rows":
        code = int(text or 0)
        return code if code < file.meaning.columns[place].rows else 0
    if not text:
        return None if column.kind == "number" else 0
    words = file.profile_words.get(column.name)
    return column_code(file.metadata["profile"][place], text, words=words, what=column.name)


def moved_profile(
    state: DeviceState,
    old: StateLabels,
    file: EdgeFile,
    given: npt.ArrayLike | Mapping[str, Any] | None,
    *,
    notes: list[str],
) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    """The row for `file`, and the values as texts.

    Args:
      state: of the former file.
      old: what it tells.
      file: that takes it over.
      given: the profile anew; None takes the one of the state.
      notes: gets what is to be told.

    Raises:
      DeviceError: the state has a value that `file` reads in another way; it must be given.
    """
    who = f"device of user {state.user}"
    if given is not None:
        return profile_row(file, given, what=who), profile_texts(file, given)
    before = {column.name: index for index, column in enumerate(old.file.columns)}
    codes, texts = [], []
    for column in file.meaning.columns:
        index = before.pop(column.name, None)
        if index is None:
            code, text = 0, ""
            notes.append(f"profile: {column.name} is new, unknown until the app gives the profile")
        else:
            code, text = _value(int(state.profile[index]), index, column, old, file, who=who)
            if state.profile[index] and not code:
                notes.append(
                    f"profile: {column.name}: {file.name} does not know '{text}'; it counts as "
                    "unknown until a file knows it"
                )
        codes.append(code)
        texts.append(text)
    notes += [f"profile: {name} was dropped, {file.name} does not read it" for name in before]
    return np.array(codes, np.int32), tuple(texts)


def _value(
    code: int, index: int, column: Column, old: StateLabels, file: EdgeFile, *, who: str
) -> tuple[int, str]:
    """The code of a column's value in `file`, and its text."""
    was, text = old.file.columns[index], old.texts[index]
    if column == was or (not code and not text):
        return code, text
    found = new_code(index, old, file)
    if found is None:
        told = "by another rule" if was.kind == column.kind == "number" else "as another kind"
        raise DeviceError(
            f"{who}: profile: {file.name} reads the column '{column.name}' {told}, and the state "
            "has its code alone, which would be another value there; give the profile again: "
            "adopt(…, profile={…}), in Kotlin open(…, profile = mapOf(…), adopt = true)"
        )
    return found, text
