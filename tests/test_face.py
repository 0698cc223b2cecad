"""`import ecct_tf`: light, with names that tools know, each explained by an example."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ecct_tf

SOURCE = Path(ecct_tf.__file__).read_text(encoding="utf-8")
NAMES = [name for name in ecct_tf.__all__ if name != "__version__"]


def _run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_import_brings_nothing_and_the_names_no_tensorflow():
    heavy = "('numpy', 'pandas', 'pyarrow', 'tensorflow', 'click')"
    printed = _run(
        "import sys, ecct_tf\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
        "[getattr(ecct_tf, name) for name in ecct_tf.__all__]\n"
        "print('tensorflow' in sys.modules)"
    )
    assert printed.splitlines() == ["[]", "False"]


def test_tools_and_python_see_the_same_names():
    (guarded,) = (
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    told = {alias.name: node.module for node in guarded.body for alias in node.names if node.module}
    assert told == ecct_tf._HOME_OF
    assert sorted(told) == sorted(NAMES)
    assert set(NAMES) <= set(dir(ecct_tf))
    assert 20 <= len(NAMES) <= 40


@pytest.mark.parametrize("name", NAMES)
def test_each_name_has_an_example(name):
    """That the examples run is what the doctests of their modules test."""
    value = getattr(ecct_tf, name)
    assert ">>> " in inspect.getdoc(value)
    # And the name is the one that its own package has.
    assert getattr(importlib.import_module(ecct_tf._HOME_OF[name]), name) is value


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        _ = ecct_tf.simulat
