"""Columns of many rows as arrays, which stand for a text in each row.

Twenty million texts in a list take gigabytes and minutes; a number for each row, and what the
numbers stand for, take a hundredth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

__all__ = ["CodedTexts", "NumberCells", "coded", "distinct_texts", "joined_cells"]


class CodedTexts(Sequence[str]):
    """A text in each row, out of few.

    Args:
      texts: those that there are, each once and each in a row at least.
      codes: `[rows] int32`, which of them each row has.

    Example:
      >>> cells = CodedTexts(["tea", "cup"], np.array([1, 0, 1]))
      >>> list(cells), cells[0], len(cells)
      (['cup', 'tea', 'cup'], 'cup', 3)
    """

    def __init__(self, texts: Sequence[str], codes: npt.NDArray[Any]) -> None:
        self.texts = list(texts)
        self.codes: npt.NDArray[np.int32] = codes.astype(np.int32, copy=False)

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self.texts[code] for code in self.codes[row].tolist()]
        return self.texts[self.codes[row]]

    def __iter__(self) -> Iterator[str]:
        return map(self.texts.__getitem__, self.codes.tolist())

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """`[texts]`: rows of each."""
        return np.bincount(self.codes, minlength=len(self.texts))

    def rows_of(self, texts: set[str]) -> npt.NDArray[np.int64]:
        """The rows that have one of `texts`, ascending."""
        wanted = np.array([text in texts for text in self.texts], np.bool_)
        return np.flatnonzero(wanted[self.codes])

    def renamed(self, names: Sequence[str]) -> CodedTexts:
        """With `names` `[texts]` for the texts, of which several may be alike."""
        places: dict[str, int] = {}
        to = np.array([places.setdefault(name, len(places)) for name in names], np.int32)
        return CodedTexts(list(places), to[self.codes] if len(to) else self.codes)

    @classmethod
    def of(cls, texts: Sequence[str], codes: npt.NDArray[Any]) -> CodedTexts:
        """The same of texts of which some may stand in no row."""
        used = np.bincount(codes, minlength=len(texts)) > 0
        if used.all():
            return cls(texts, codes)
        place = np.cumsum(used) - 1
        return cls([text for text, there in zip(texts, used, strict=True) if there], place[codes])


class NumberCells(Sequence[str]):
    """A number in each row, which stands for its text; NaN for an empty one.

    Args:
      values: `[rows]`, whole numbers or float64.

    Example:
      >>> list(NumberCells(np.array([7, 30]))), list(NumberCells(np.array([0.5, np.nan])))
      (['7', '30'], ['0.5', ''])
    """

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [_text(value) for value in self.values[row].tolist()]
        return _text(self.values[row].item())

    def __iter__(self) -> Iterator[str]:
        return map(_text, self.values.tolist())

    def coded(self) -> CodedTexts:
        """The same by its different numbers."""
        import pandas as pd

        codes, values = pd.factorize(self.values)
        texts = [_text(value) for value in values.tolist()]
        if (codes < 0).any():
            codes = np.where(codes < 0, len(texts), codes)
            texts.append("")
        # 1 and 1.0 are different numbers of no array, but -0.0 and 0.0 are one.
        return CodedTexts(texts, codes)


def _text(value: int | float) -> str:
    return "" if value != value else str(value)  # only NaN differs from itself


def coded(cells: Sequence[Any]) -> CodedTexts | None:
    """Cells by their different texts; None of what is a list already."""
    if isinstance(cells, NumberCells):
        return cells.coded()
    return cells if isinstance(cells, CodedTexts) else None


def distinct_texts(texts: Sequence[str]) -> list[str]:
    """Each text once, as they come."""
    return texts.texts if isinstance(texts, CodedTexts) else list(dict.fromkeys(texts))


def joined_cells(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """One column of several, in order."""
    if all(isinstance(part, NumberCells) for part in parts):
        values = [part.values for part in parts if isinstance(part, NumberCells)]
        if len({array.dtype for array in values}) == 1:
            return NumberCells(np.concatenate(values))
    known = [coded(part) for part in parts]
    whole = [part for part in known if part is not None]
    if len(whole) < len(parts):
        return [cell for part in parts for cell in part]
    places: dict[str, int] = {}
    codes = []
    for part in whole:
        to = [places.setdefault(text, len(places)) for text in part.texts]
        codes.append(np.array(to, np.int32)[part.codes])
    return CodedTexts(list(places), np.concatenate(codes))
