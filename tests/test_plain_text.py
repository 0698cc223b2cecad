"""Output that cannot take every letter is plain, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ecct_tf
from ecct_tf.plain_text import plain, shown

ROOT = Path(ecct_tf.__file__).parents[1]
# In ASCII itself: Python reads its command line in the encoding of the environment.
SCRIPT = r"""
import click
from rich.console import Console
from rich.table import Table
from ecct_tf.plain_text import tolerate
tolerate()
click.echo("0.75 \u00b1 0.01")
click.echo("a \u2192 b", err=True)
table = Table("gr\u00f6\u00dfe")
table.add_row("\u03bb \u2265 1")
Console(width=60).print(table)
"""


@pytest.mark.parametrize("number", [np.int64(7), np.float32(0.5), np.float64(-1), np.bool_(True)])
def test_numbers_of_numpy_are_shown_as_those_of_python(number):
    assert shown(number) == repr(number.item())
    assert "np." not in shown(number)


def test_what_is_no_scalar_is_shown_as_it_is():
    assert [shown(value) for value in ("a", 7, None, np.arange(2))] == [
        "'a'", "7", "None", "array([0, 1])",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.75 ± 0.01", "0.75 +- 0.01"),
        ("─│┼━", "-|--"),
        ("a…b → c", "a...b -> c"),
        ("café", "cafe"),
        ("ascii only\n", "ascii only\n"),
        ("名", "?"),
    ],
)
def test_letters_keep_their_meaning(text, expected):
    assert plain(text) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "POSIX"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_command_writes_in_every_encoding(environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"0.75 +- 0.01" in done.stdout or "0.75 ± 0.01".encode() in done.stdout


def test_control_without_it_such_an_output_fails():
    code = SCRIPT.replace("\ntolerate()", "")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False, timeout=60
    )
    assert b"UnicodeEncodeError" in done.stderr
