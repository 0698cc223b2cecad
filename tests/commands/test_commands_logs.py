"""A warning of a run stands on a line of its own, also while a bar is open."""

import io
import logging

from tqdm import tqdm

from ecct_tf.commands.logs import LogHandler


def test_a_line_is_not_glued_to_an_open_bar():
    stream = io.StringIO()
    record = logging.LogRecord("cloud", logging.WARNING, "x.py", 1, "fell by %d", (3,), None)
    with tqdm(total=2, file=stream, bar_format="ECCT {n_fmt}/{total_fmt}", ncols=40) as bar:
        LogHandler(stream).emit(record)
        assert bar in tqdm._instances
    drawn = stream.getvalue().replace("\n", "\r").split("\r")
    assert "fell by 3" in drawn


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_folded_lines_and_a_log_whole_ones(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = "3 of 60 users have too few interactions for the split and are excluded"
    record = logging.LogRecord("ecct_tf", logging.WARNING, "x.py", 1, text, (), None)
    terminal, log = _Terminal(), io.StringIO()
    for stream in (terminal, log):
        LogHandler(stream).emit(record)
    assert max(map(len, terminal.getvalue().splitlines())) <= 40
    assert " ".join(terminal.getvalue().split()) == text
    assert log.getvalue() == f"{text}\n"
