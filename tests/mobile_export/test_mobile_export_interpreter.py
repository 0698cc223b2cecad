"""How the process of a runtime is started."""

import os

import pytest

from ecct_tf.errors import ExportError
from mobile_export.runtime.interpreter import Interpreter


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a Python of its own that ends at once."""
    python = tmp_path / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    "python", ["env/bin/python", "./env/bin/python", "{}/env/bin/python", "python"]
)
def test_a_python_is_a_path_from_here_or_a_command(folder, python):
    with pytest.raises(ExportError, match="ended at once"):
        Interpreter("litert", python=python.format(folder)).__enter__()


def test_a_python_that_is_not_there_is_named_in_full(folder):
    with pytest.raises(ExportError, match=f"cannot start {folder}/env/bin/pyton: "):
        Interpreter("litert", python="env/bin/pyton").__enter__()
