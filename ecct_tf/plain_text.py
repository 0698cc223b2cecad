"""Output on a terminal or into a file that does not take every letter: plain letters instead.

With `LC_ALL=POSIX`, or `PYTHONIOENCODING=ascii`, a `±` in a table would end the command with
a `UnicodeEncodeError`. `tolerate` has such letters written as ASCII ones that say the same.
"""

import codecs
import sys
import unicodedata

__all__ = ["plain", "tolerate"]

_HANDLER = "ecct_plain"
_WORDS = {
    "±": "+-", "×": "x", "–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "≤": "<=", "≥": ">=",
    "·": "*", "•": "*", "λ": "lambda", "ε": "epsilon", "δ": "delta", "σ": "sigma", "Σ": "Sum",
    "‘": "'", "’": "'", "“": '"', "”": '"', "█": "#", "▏": "#", "▎": "#", "▍": "#", "▌": "#",
    "▋": "#", "▊": "#", "▉": "#", "✓": "ok", "✗": "no",
}  # fmt: skip


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
