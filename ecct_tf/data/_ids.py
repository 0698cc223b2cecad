"""Ids as people mean them: one user is one id, however a program wrote it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecct_tf.data._cells import CodedTexts
from ecct_tf.errors import DataError
from ecct_tf.plain_text import shown

__all__ = [
    "IdNotes",
    "canonical_id",
    "canonical_ids",
    "id_text",
    "line_break_in",
    "refuse_look_alikes",
]

# Marks that nobody sees: zero-width characters, directions, soft hyphens, byte order marks.
_INVISIBLE = "Cf"
# What a file of one value a line, and a terminal, cannot hold.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WHOLE_FLOAT = re.compile(r"(0|[1-9][0-9]*)\.0+")
_WHOLE = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True)
class IdNotes:
    """What was changed to make one id of one user.

    Attributes:
      rewritten: rows whose id had blanks or invisible marks around it, or another form of the
        same characters.
      floats: whether the ids were whole numbers written as 7.0.
    """

    rewritten: int = 0
    floats: bool = False


def canonical_id(text: str) -> str:
    r"""The id without blanks and invisible marks around it, in Unicode's composed form (NFC).

    Example:
      >>> canonical_id(" u1\u200b "), canonical_id("e\u0301") == "\u00e9"
      ('u1', True)
    """
    if text.isascii():
        return text.strip()
    text = unicodedata.normalize("NFC", text)
    start, end = 0, len(text)
    while start < end and _blank(text[start]):
        start += 1
    while end > start and _blank(text[end - 1]):
        end -= 1
    return text[start:end]


def canonical_ids(texts: Sequence[str]) -> tuple[Sequence[str], IdNotes]:
    """Ids as `canonical_id` makes them, whole numbers written as `7.0` without their fraction.

    The latter only where all ids of the column are whole numbers: a program made floats of
    them, which it does as soon as one row lacks its id.
    """
    if isinstance(texts, CodedTexts):
        names, rewritten, floats = _canonical(texts.texts)
        changed = np.array([text in rewritten for text in texts.texts], np.bool_)
        notes = IdNotes(int(texts.counts[changed].sum()), floats)
        return texts.renamed([names[text] for text in texts.texts]), notes
    # One object for equal ids: less memory, and each is looked at once.
    distinct: dict[str, str] = {}
    read = [text if text in distinct else distinct.setdefault(text, text) for text in texts]
    names, rewritten, floats = _canonical(distinct)
    count = sum(text in rewritten for text in read) if rewritten else 0
    same: dict[str, str] = {}
    return [same.setdefault(names[t], names[t]) for t in read], IdNotes(count, floats)


def _canonical(texts: Iterable[str]) -> tuple[dict[str, str], set[str], bool]:
    """What each of `texts` is called, which of them were rewritten, and whether they are floats."""
    distinct = dict.fromkeys(texts, "")
    for text in distinct:
        distinct[text] = canonical_id(text)
    present = [text for text in distinct.values() if text]
    floats = any(_WHOLE_FLOAT.fullmatch(text) for text in present) and all(
        _WHOLE_FLOAT.fullmatch(text) or _WHOLE.fullmatch(text) for text in present
    )
    rewritten = {raw for raw, text in distinct.items() if raw != text}
    if floats:
        distinct = {raw: text.partition(".")[0] for raw, text in distinct.items()}
    return distinct, rewritten, floats


def look_alikes(ids: Iterable[str]) -> tuple[str, str] | None:
    """Two different ids that differ in invisible marks only, if there are any."""
    seen: dict[str, str] = {}
    for text in dict.fromkeys(ids):
        if text.isascii():
            visible = text
        else:
            visible = "".join(c for c in text if unicodedata.category(c) != _INVISIBLE)
        other = seen.setdefault(visible, text)
        if other != text:
            return other, text
    return None


def line_break_in(text: str) -> bool:
    """Whether a text holds a line break or another control character but a tab."""
    return _CONTROL.search(text) is not None


def id_text(value: Any) -> str:
    """The text of an id that a program holds.

    Raises:
      DataError: it is neither text nor a whole number, nor bytes that are UTF-8 text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    elif not isinstance(value, bool) and hasattr(value, "__index__"):
        return str(int(value))
    raise DataError(f"expected text or whole numbers as ids, received {shown(value)}")


def refuse_look_alikes(where: str, ids: Sequence[str]) -> None:
    """Raises `DataError` if two ids differ in invisible marks only."""
    pair = look_alikes(ids)
    if pair is not None:
        first, second = (ascii(text) for text in pair)
        raise DataError(
            f"{where}: expected ids that can be told apart, received {first} and {second}, which "
            "differ in characters that nobody sees. Take these out of the ids, or give the two "
            "other names."
        )


def _blank(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == _INVISIBLE
