"""Text for a terminal or a file: folded at the terminal's width, in letters that it takes.

With `LC_ALL=POSIX`, or `PYTHONIOENCODING=ascii`, a `±` in a table would end the command with
a `UnicodeEncodeError`. `tolerate` has such letters written as ASCII ones that say the same.
"""

import codecs
import datetime
import shutil
import sys
import textwrap
import unicodedata
from typing import Any, TextIO

__all__ = ["day_text", "fold", "plain", "shown", "tolerate"]

_HANDLER = "ecct_plain"
_WORDS = {
    "±": "+-", "×": "x", "–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "≤": "<=", "≥": ">=",
    "·": "*", "•": "*", "λ": "lambda", "ε": "epsilon", "δ": "delta", "σ": "sigma", "Σ": "Sum",
    "‘": "'", "’": "'", "“": '"', "”": '"', "█": "#", "▏": "#", "▎": "#", "▍": "#", "▌": "#",
    "▋": "#", "▊": "#", "▉": "#", "✓": "ok", "✗": "no",
}  # fmt: skip


def day_text(seconds: int) -> str:
    """A moment in whole seconds since 1970, to the minute, UTC.

    >>> day_text(1_790_000_000), day_text(2**62)
    ('2026-09-21 14:13', 'after 9999')
    """
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return "after 9999"
    return f"{moment:%Y-%m-%d %H:%M}"


def shown(value: Any) -> str:
    """`repr(value)`, of a NumPy scalar that of Python's: `1.5`, not `np.float64(1.5)`."""
    own = getattr(value, "item", None)
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()
    return repr(own() if is_scalar and own is not None else value)


def fold(text: str, stream: TextIO, *, indent: str = "") -> str:
    """`text` folded between words where `stream` is a terminal, what follows with `indent`.

    Indented lines stay whole, since they are commands to copy, and so do paths and addresses.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(
        line
        if line[:1].isspace() or len(line) <= width
        else textwrap.fill(
            line,
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


def plain(text: str) -> str:
    """`text` in ASCII.

    >>> plain("0.75 ± 0.01 → größer, 中")
    '0.75 +- 0.01 -> gro?er, ?'
    """
    return "".join(map(_letter, text))


def _letter(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter in _WORDS:
        return _WORDS[letter]
    if "\u2500" <= letter <= "\u257f":  # lines of a table
        name = unicodedata.name(letter)
        return "|" if "VERTICAL" in name and "HORIZONTAL" not in name else "-"
    base = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode("ascii")
    return base or "?"


def tolerate() -> None:
    """Has the standard streams write what they cannot encode as plain letters."""
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end
