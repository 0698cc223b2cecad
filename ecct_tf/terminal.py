"""What is printed for people: tables and prose of whole words, at any width.

The one place that makes a `Console`. Text is taken as it is: brackets in it are no markup.
"""

import os
import re
import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

__all__ = ["level_widths", "open_console", "print_table", "prose"]

# A pipe has no width; a table folded at 80 columns would be of no use in a log.
_PIPE = 120
# Letters from which on a path may be folded in a cell.
_LONG = 24


def open_console(*, needed: int = 0) -> Console:
    """The terminal; in a pipe as wide as is `needed`, and never less than 120 columns.

    The environment's `COLUMNS` holds for both.
    """
    console = Console(markup=False, emoji=False, highlight=False)
    if _has_width(console):
        return console
    return Console(markup=False, emoji=False, highlight=False, width=max(_PIPE, needed))


def prose(text: str, console: Console, *, indent: str = "", style: str = "") -> None:
    """Prints text, folded between words; a word that is wider than the terminal stays whole."""
    for line in text.split("\n"):
        console.print(Text(_filled(line, console.width, indent), style=style), soft_wrap=True)


def print_table(table: Table, console: Console) -> None:
    """Prints a table whose cells are folded between words alone, and long paths after a slash.

    Columns share the width so that the longest word of each fits. Where there is no room for
    that, neither with a frame nor without, each row becomes a paragraph: its first cell, then
    the others behind their headings.

    Args:
      table: of texts, without sections.
      console: where to.
    """
    columns = [[_plain(column.header), *map(_plain, column.cells)] for column in table.columns]
    least = [max(_longest(_pieces(cell)) for cell in column) for column in columns]
    most = [max(_longest(cell.split("\n")) for cell in column) for column in columns]
    # A line before each column and one at the end, a blank at each side of a cell.
    frame, gaps = 3 * len(columns) + 1, 2 * (len(columns) - 1)
    if not _has_width(console):
        console.width = max(console.width, sum(least) + frame)
    if _plain(table.title):
        prose(_plain(table.title), console, style="italic")
    shown = Table()
    widths = level_widths(least, most, room=console.width - frame)
    if widths is None:
        shown = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
        widths = level_widths(least, most, room=console.width - gaps)
    if widths is None:
        _print_records(columns, console)
        return
    for column, width in zip(table.columns, widths, strict=True):
        header = _folded(_plain(column.header), width)
        shown.add_column(header, width=width, justify=column.justify)
    for row in zip(*(column.cells for column in table.columns), strict=True):
        cells = zip(row, widths, strict=True)
        shown.add_row(*(Text(_folded(_plain(cell), width), _style(cell)) for cell, width in cells))
    console.print(shown)


def level_widths(least: Sequence[int], most: Sequence[int], *, room: int) -> list[int] | None:
    """Widths of columns that share `room`, the wide ones cut to a common level.

    Args:
      least: width of each column below which a word would break.
      most: width of each column that folds nothing.
      room: for all of them.

    Returns:
      The widths, or None where `least` does not fit.

    >>> level_widths([3, 5], [4, 90], room=40), level_widths([3, 5], [4, 90], room=7)
    ([4, 36], None)
    """
    if sum(least) > room:
        return None
    found = list(least)
    for level in range(max(most, default=0) + 1):
        widths = [max(low, min(high, level)) for low, high in zip(least, most, strict=True)]
        if sum(widths) > room:
            break
        found = widths
    return found


def _has_width(console: Console) -> bool:
    """Whether somebody looks through a window of that width."""
    return console.is_terminal or os.environ.get("COLUMNS", "").isdigit()


def _print_records(cells: list[list[str]], console: Console) -> None:
    headers = [column[0] for column in cells]
    for row in zip(*(column[1:] for column in cells), strict=True):
        # Without a first cell a row belongs to the one above.
        if row[0]:
            title = f"{headers[0]} {row[0]}" if row[0].isdigit() else row[0]
            prose(" ".join(title.split()), console, style="bold")
        named = zip(headers[1:], row[1:], strict=True)
        # Of two columns the second is what the first is about.
        named_cells = len(headers) > 2
        told = [
            f"{header}: {cell}" if header and named_cells else cell
            for header, cell in named
            if cell
        ]
        prose(" ".join("; ".join(told).split()), console, indent="  ")


def _folded(text: str, width: int) -> str:
    """Text of a cell, in lines that break at blanks and where `_pieces` lets a path break."""
    lines = list[str]()
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            for number, piece in enumerate(_pieces(word) or [""]):
                glue = " " if line and not number else ""
                if line and len(line) + len(glue) + len(piece) > width:
                    lines.append(line)
                    line, glue = "", ""
                line += glue + piece
        lines.append(line)
    return "\n".join(lines)


def _pieces(text: str) -> list[str]:
    """The words of a text, long paths in the parts between their slashes."""
    return [
        piece
        for word in text.split()
        for piece in (re.findall(r"/*[^/]+/*|/+", word) if len(word) > _LONG else [word])
    ]


def _longest(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=1)


def _style(cell: object) -> Style | str:
    return cell.style if isinstance(cell, Text) else ""


def _filled(text: str, width: int, indent: str) -> str:
    return textwrap.fill(
        text,
        width=max(width, len(indent) + 1),
        initial_indent=indent,
        subsequent_indent=indent and indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell or "")
