"""Graphs are traced as they are written: AutoGraph would rewrite sources for seconds a run."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Where Keras models of a user's own are called, which may branch on tensors as Keras allows.
KERAS = ("cloud/serving.py", "cloud/retraining/engines.py", "cloud/retraining/parameter_servers.py")
SOURCES = [p for name in ("ecct_tf", "cloud", "mobile_export") for p in (ROOT / name).rglob("*.py")]


def _untamed(source: str) -> list[int]:
    """Lines that make a `tf.function` without saying `autograph=False`."""
    tree = ast.parse(source)
    tame = {
        id(call.func)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and any(
            word.arg == "autograph"
            and isinstance(word.value, ast.Constant)
            and not word.value.value
            for word in call.keywords
        )
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) == "tf.function"
        and id(node) not in tame
    ]


def test_no_graph_is_rewritten() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        if str(path.relative_to(ROOT)) not in KERAS
        for line in _untamed(path.read_text("utf-8"))
    }

    assert not found, "say tf.function(..., autograph=False)"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("@tf.function\ndef f(): ...", [1]),
        ("@tf.function(reduce_retracing=True)\ndef f(): ...", [1]),
        ("f = tf.function(g, autograph=True)", [1]),
        ("@tf.function(autograph=False)\ndef f(): ...", []),
    ],
)
def test_each_form_is_found(source: str, lines: list[int]) -> None:
    assert _untamed(source) == lines
