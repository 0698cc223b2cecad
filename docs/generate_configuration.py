"""Writes `configuration.md` from the docstrings of the configuration classes.

It has the settings of a run and those of a retraining job. Run it after a change of a
setting: `python docs/generate_configuration.py`.
"""

import dataclasses
import inspect
import json
import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from cloud.retraining.config import JobConfig
from ecct_tf.config import RunConfig

PAGE = Path(__file__).with_name("configuration.md")

_HEAD = """\
# Configuration

Every setting of a run. A YAML file mirrors this tree, `--set section.key=value` overrides one
value, and omitted settings have the defaults below:

    ecct simulate --config run.yaml --set training.epochs=2

An unknown key, a duplicate key, a wrong type or a value out of range is refused before
any work. Names are read as written (`on`, `007`, `2024-05-31`); numbers and `true`,
`false` and `null` are those of YAML 1.2, and a switch may also be `yes`, `no`, `on` or `off`. The
resolved configuration of a run is in its run folder. For a run, or a version of the cloud, that is
older than a setting, the setting has the value that matches the former behaviour: a run from before
`features.clock` reads no clock.

A job of `ecct cloud retrain` has [its own settings](#a-retraining-job); some
sections are those of a run.

This page is generated: `python docs/generate_configuration.py`.
"""

_JOB = """\
## A retraining job

Every setting of a job; `--set section.key=value` overrides one value here too:

    ecct cloud retrain --config job.yaml --set validation.patience=5 --out jobs/today

Paths in the file are relative to the file. The resolved configuration is in the job's folder and in
the manifest of its version. [The retraining job](retraining.md) explains them.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_run(RunConfig()), "", _JOB, *_job(JobConfig(), RunConfig()), ""])


def _run(defaults: Any) -> list[str]:
    lines = ["## Top level", "", *_table(defaults, "")]
    for name in _nested(defaults):
        lines += _sections(getattr(defaults, name), name)
    return lines


def _job(defaults: Any, run: Any) -> list[str]:
    """A section that a run has too is described only by its different defaults."""
    lines = ["## Top level of a job", "", *_table(defaults, "")]
    meanings = _meanings(type(defaults))
    for name in _nested(defaults):
        section = getattr(defaults, name)
        same = getattr(run, name, None)
        if type(same) is not type(section):
            lines += _sections(section, name, title=f"`{name}` of a job")
            continue
        others = [
            f"`{name}.{field.name}`, whose default is `{_yaml(getattr(section, field.name))}`"
            for field in dataclasses.fields(section)
            if getattr(section, field.name) != getattr(same, field.name)
        ]
        but = f" except for {', '.join(others)}" if others else ""
        lines += ["", f"## `{name}` of a job", "", meanings[name], ""]
        lines += [f"The settings are [those of a run](#{name}){but}."]
    return lines


def _sections(defaults: Any, prefix: str, *, title: str = "") -> list[str]:
    lines = ["", f"## {title or f'`{prefix}`'}", "", *_table(defaults, prefix)]
    for name in _nested(defaults):
        lines += _sections(getattr(defaults, name), f"{prefix}.{name}")
    return lines


def _nested(defaults: Any) -> list[str]:
    fields = dataclasses.fields(defaults)
    return [field.name for field in fields if dataclasses.is_dataclass(field.type)]


def _table(defaults: Any, prefix: str) -> list[str]:
    config = type(defaults)
    meanings = _meanings(config)
    lines = [_summary(config), "", "| setting | type | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(field.type):
            continue
        name = f"{prefix}.{field.name}" if prefix else field.name
        # Of its place: a section that stands in several has other values in each.
        value = _yaml(getattr(defaults, field.name))
        cells = (f"`{name}`", _type(field.type), f"`{value}`", meanings[field.name])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
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
            f"got {list(found)}; fix its Attributes"
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
        if get_origin(parts[0]) is Literal:
            return f"list out of {_type(parts[0])}"
        return {int: "list of whole numbers", str: "list of texts"}.get(parts[0], "list of numbers")
    if get_origin(kind) is dict and dataclasses.is_dataclass(parts[1]):
        return f"sections by {_type(parts[0])}"
    if get_origin(kind) is dict:
        return f"numbers by {_type(parts[0])}"
    raise TypeError(f"no words for the type {kind}; add them to {Path(__file__).name}")


def _yaml(value: Any) -> str:
    """As YAML reads it."""
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
