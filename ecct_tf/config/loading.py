"""From YAML and `--set key=value` to a checked `RunConfig`, and back."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

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
    overrides = list(overrides)
    _check_keys(values, RunConfig, str(path), "")
    for override in overrides:
        _apply(values, override)
    hooks: dict[type[Any], Callable[[Any], Any]] = {
        int: _int,
        float: _float,
        tuple[float, ...]: _tuple,
    }
    try:
        return dacite.from_dict(RunConfig, values, dacite.Config(strict=True, type_hooks=hooks))
    except dacite.WrongTypeError as error:
        expected = _expected(error.field_type)
        message = f"{error.field_path}: expected {expected}, got {error.value!r}"
        raise ConfigError(f"{_origin(path, overrides, message)}: {message}") from error
    except ConfigError as error:
        raise ConfigError(f"{_origin(path, overrides, str(error))}: {error}") from error


def dump_config(config: RunConfig) -> str:
    """The whole configuration as YAML; `load_config` reads it back to an equal one."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read the configuration {path}: it is not UTF-8 text") from error
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


def _origin(path: Path | None, overrides: list[str], message: str) -> str:
    """Where the field that `message` begins with got its value."""
    field = message.partition(":")[0].removeprefix("run.")
    for override in reversed(overrides):
        key = override.partition("=")[0]
        if f"{field}.".startswith(f"{key}.") or key.startswith(f"{field}."):
            return f"--set {override}"
    sources = [] if path is None else [str(path)]
    return ", ".join([*sources, *(f"--set {override}" for override in overrides)])


def _int(value: Any) -> int:
    """Refuses what Python, but nobody else, takes for a whole number: true and false."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise dacite.WrongTypeError(int, value)
    return value


def _float(value: Any) -> float:
    """YAML 1.1 reads `3e-4` as text and `1` as a whole number; people mean a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise dacite.WrongTypeError(float, value)
    try:
        return float(value)
    except (OverflowError, ValueError) as error:
        raise dacite.WrongTypeError(float, value) from error


def _tuple(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise dacite.WrongTypeError(tuple[float, ...], value)
    return tuple(value)


def _expected(field_type: Any) -> str:
    """A field's type in words."""
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if field_type in words:
        return words[field_type]
    if field_type is type(None):
        return "null"
    inner = get_args(field_type)
    if get_origin(field_type) is Literal:
        return f"one of {', '.join(inner)}"
    if get_origin(field_type) is tuple:
        return "a list of numbers"
    if get_origin(field_type) is dict:
        return f"numbers for {_expected(inner[0])}"
    return " or ".join(_expected(part) for part in inner)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
