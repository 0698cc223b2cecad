"""Writes `configuration.md` from the docstrings of the configuration classes.

Run it after a change of a setting: `python docs/generate_configuration.py`.
"""

import dataclasses
import inspect
import json
import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from ecct_tf.config import RunConfig

PAGE = Path(__file__).with_name("configuration.md")

_HEAD = """\
# Configuration

Every setting of a run. A YAML file mirrors this tree, `--set section.key=value` overrides one
value, and what is left out has the default below:

    ecct simulate --config run.yaml --set training.epochs=2

An unknown key, a wrong type or a value out of range is refused before any work. The resolved
configuration of a run is in its run folder.

This page is generated: `python docs/generate_configuration.py`.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_section(RunConfig, ""), ""])


def _section(config: type[Any], prefix: str) -> list[str]:
    meanings = _meanings(config)
    fields = dataclasses.fields(config)
    nested = [field for field in fields if dataclasses.is_dataclass(field.type)]
    lines = [f"## `{prefix}`" if prefix else "## Top level", "", _summary(config), ""]
    lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for field in fields:
        if field in nested:
            continue
        name = f"{prefix}.{field.name}" if prefix else field.name
        cells = (f"`{name}`", _type(field.type), f"`{_default(field)}`", meanings[field.name])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    for field in nested:
        below = f"{prefix}.{field.name}" if prefix else field.name
        lines += ["", *_section(field.type, below)]
    return lines


def _summary(config: type[Any]) -> str:
    return inspect.cleandoc(config.__doc__ or "").partition("\n")[0]


def _meanings(config: type[Any]) -> dict[str, str]:
    """The `Attributes:` part of a docstring, by name, each as a sentence."""
    text = inspect.cleandoc(config.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for name, meaning in re.findall(r"^  (\w+): (.*(?:\n    .*)*)", text, flags=re.MULTILINE):
        joined = " ".join(line.strip() for line in meaning.splitlines()).rstrip(".")
        # Symbols such as λ, d_c or Q keep their case.
        word = joined.partition(" ")[0].rstrip(",")
        found[name] = (joined[0].upper() + joined[1:] if word.isalpha() else joined) + "."
    expected = [field.name for field in dataclasses.fields(config)]
    if list(found) != expected:
        raise ValueError(
            f"{config.__name__}: expected the docstring to list {expected} in this order, "
            f"got {list(found)}; mend its Attributes"
        )
    return found


def _type(kind: Any) -> str:
    words = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    if kind in words:
        return words[kind]
    if kind is type(None):
        return "null"
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_type(part) for part in parts)
    if get_origin(kind) is tuple:
        return "list of numbers"
    if get_origin(kind) is dict:
        return f"numbers by {_type(parts[0])}"
    raise TypeError(f"no words for the type {kind}; add them to {Path(__file__).name}")


def _default(field: dataclasses.Field[Any]) -> str:
    """The default as YAML reads it."""
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "none, required"
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
