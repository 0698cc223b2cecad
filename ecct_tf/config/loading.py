"""From YAML and `--set key=value` to a checked `RunConfig`, and back."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dacite
import yaml

from ecct_tf.config.run import RunConfig
from ecct_tf.errors import ConfigError

__all__ = ["dump_config", "load_config"]


def load_config(path: Path | None = None, *, overrides: Iterable[str] = ()) -> RunConfig:
    """Reads a run's configuration.

    Args:
      path: YAML file that mirrors `RunConfig`; what it leaves out has its default.
      overrides: `key=value` with dotted keys and YAML values, applied after the file.

    Raises:
      ConfigError: for an unknown key, a wrong type or a value out of range; the message
        names the file or override and the key.

    Example:
      >>> load_config(overrides=["training.epochs=2"]).training.epochs
      2
    """
    values: dict[str, Any] = {} if path is None else _read(path)
    where = "the defaults" if path is None else str(path)
    _check_keys(values, RunConfig, where, "")
    for override in overrides:
        _apply(values, override)
    try:
        return dacite.from_dict(
            RunConfig, values, dacite.Config(strict=True, cast=[tuple], type_hooks={float: _float})
        )
    except dacite.DaciteError as error:
        raise ConfigError(f"{where}: {error}") from error


def dump_config(config: RunConfig) -> str:
    """The whole configuration as YAML; `load_config` reads it back to an equal one."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(values).__name__}")
    return values


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set: expected key=value, got {override!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML: {error}") from error
    nested: Any = value
    for name in reversed(key.split(".")):
        nested = {name: nested}
    _check_keys(nested, RunConfig, f"--set {override}", "")
    target = values
    *parents, last = key.split(".")
    for name in parents:
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            raise ConfigError(f"--set {override}: {name} is not a section")
    target[last] = value


def _check_keys(values: Mapping[str, Any], target: Any, where: str, prefix: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(target)}
    for key, value in values.items():
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"; did you mean {prefix}{close[0]}?" if close else ""
            raise ConfigError(
                f"{where}: unknown key {prefix}{key}{hint} (known here: {', '.join(fields)})"
            )
        inner = fields[key].type
        if dataclasses.is_dataclass(inner):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{where}: {prefix}{key} is a section, expected keys and values, got {value!r}"
                )
            _check_keys(value, inner, where, f"{prefix}{key}.")


def _float(value: Any) -> Any:
    """YAML 1.1 reads `3e-4` as text; people mean a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
