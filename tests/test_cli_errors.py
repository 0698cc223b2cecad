"""Errors are read at a terminal: whole words, and commands to copy in one line."""

import io
import sys

import click

from ecct_tf.cli import _report, _report_usage, cli

MESSAGE = "jobs/a-rather-long-name-of-a-folder/job.yaml: expected a file, there is none. Add it:"
COMMAND = "  python -m pip install --no-deps --require-hashes 'ecct-tf[simulation]'"


class _Stream(io.StringIO):
    def __init__(self, *, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def _printed(monkeypatch, *, terminal):
    stream = _Stream(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "40")
    _report(f"{MESSAGE}\n{COMMAND}")
    return stream.getvalue()


def test_a_terminal_gets_whole_words_and_whole_commands(monkeypatch):
    *prose, command = _printed(monkeypatch, terminal=True).splitlines()
    assert command == COMMAND
    assert " ".join(prose).split() == f"Error: {MESSAGE}".split()
    assert [len(line) <= 40 for line in prose].count(False) == 1


def test_a_log_gets_one_line(monkeypatch):
    assert _printed(monkeypatch, terminal=False) == f"Error: {MESSAGE}\n{COMMAND}\n"


def test_a_wrong_choice_is_folded_below_the_usage(monkeypatch):
    stream = _Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "40")
    try:
        cli(["data", "check", "s.yaml", "--split", "time"], "ecct", standalone_mode=False)
    except click.ClickException as error:
        _report_usage(error)
    usage, hint, _, *message = stream.getvalue().splitlines()
    assert usage.startswith("Usage: ecct data check")
    assert hint == "Try 'ecct data check --help' for help."
    assert len(message) > 1
    assert "'time' is not one of" in " ".join(message)
