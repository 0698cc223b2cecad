"""Tables and prose of whole words, at any width, with and without a terminal."""

import io
import re

import pytest
from rich.console import Console
from rich.table import Table

from ecct_tf.terminal import level_widths, open_console, print_table, prose

PATH = "/a/folder/that/lies/deep/worker_binary"
WORDS = ("interactions", "1,234,567", "recency-weighted", "[tower]", "0.7529", "worker_binary")


def _table(*, digest=""):
    table = Table("part", "interactions", "users", "who sees it", title="Split leave_one_out")
    table.add_row("older", "1,234,567", "943", f"the user's own device [tower] {PATH} {digest}")
    table.add_row("", "0.7529", "", "recency-weighted")
    return table


def _printed(width, *, terminal=True, table=None):
    screen = io.StringIO()
    console = Console(
        file=screen, width=width, force_terminal=terminal, color_system=None, markup=False,
        highlight=False, legacy_windows=False,
    )  # fmt: skip
    print_table(table or _table(), console)
    return screen.getvalue()


@pytest.mark.parametrize("width", [42, 45, 60, 80, 200])
def test_no_word_and_no_number_is_broken(width):
    text = _printed(width)
    for word in WORDS:
        assert word in text, word
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_forms_by_width():
    wide, middle, narrow = _printed(51), _printed(50), _printed(43)
    assert "│" in wide
    assert "│" not in middle
    assert re.search(r"^part +interactions +users", middle, flags=re.MULTILINE)
    assert narrow.splitlines()[1:3] == ["older", "  interactions: 1,234,567; users: 943; who"]
    # A row without a first cell belongs to the one above.
    assert narrow.splitlines()[-2:] == [
        "  interactions: 0.7529; who sees it:",
        "    recency-weighted",
    ]


def test_what_is_wider_than_the_terminal_stays_whole():
    digest = "d" * 64
    text = _printed(60, table=_table(digest=digest))
    assert digest in text
    assert f"\n    {digest}\n" in text


def test_a_pipe_is_as_wide_as_the_longest_words_need(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    digest = "d" * 150
    text = _printed(80, terminal=False, table=_table(digest=digest))
    assert digest in text
    assert "│" in text
    assert open_console().width == 120
    assert open_console(needed=150).width == 150
    monkeypatch.setenv("COLUMNS", "60")
    assert open_console(needed=150).width == 60


def test_prose_folds_between_words_and_keeps_long_ones():
    screen = io.StringIO()
    console = Console(file=screen, width=20, color_system=None)
    prose(f"\nRun folder: {PATH}, well-known", console, indent="  ")
    assert screen.getvalue() == f"\n  Run folder:\n    {PATH},\n    well-known\n"


def test_wide_columns_share_what_there_is():
    assert level_widths([1, 1, 1], [5, 50, 50], room=65) == [5, 30, 30]
    assert level_widths([1, 40, 1], [5, 50, 50], room=65) == [5, 40, 20]
    assert level_widths([3, 5], [4, 9], room=100) == [4, 9]
    assert level_widths([3, 5], [4, 9], room=7) is None
