"""The documentation says what the code does."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def generator():
    path = DOCS / "generate_configuration.py"
    spec = importlib.util.spec_from_file_location("generate_configuration", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_page_is_what_the_script_generates(generator):
    committed = generator.PAGE.read_text(encoding="utf-8")
    assert committed == generator.render(), "run `python docs/generate_configuration.py`"


def test_the_sizes_of_the_exchange_are_what_their_command_prints():
    text = (DOCS / "exchange.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, flags=re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block[0], "docs/exchange.md", "exec"), {})
    assert printed.getvalue() == block[1]
