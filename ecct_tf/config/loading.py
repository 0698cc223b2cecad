"""From YAML and `--set key=value` to a checked `RunConfig`, and back."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from ecct_tf.config.file_kinds import check_kind
from ecct_tf.config.parsing import build, check_keys, read_mapping
from ecct_tf.config.run import RunConfig
from ecct_tf.config.stored import complete_settings, is_run_settings
from ecct_tf.config.yaml_text import dump_yaml, parse_yaml
from ecct_tf.errors import ConfigError
from ecct_tf.user_folders import expanded

__all__ = ["TypedOption", "dump_config", "load_config", "load_over", "plain_config"]


_T = TypeVar("_T")


class TypedOption(str):
    """An override that was typed as an option of its own, such as `--dataset files`.

    It reads as `data.dataset=files`; a message names the option, which is what the user knows.

    Attributes:
      option: as typed, such as `--dataset`.

    Example:
      >>> TypedOption.of("--rounds", "rounds", 3), TypedOption.of("--rounds", "rounds", 3).shown
      ('rounds=3', '--rounds 3')
    """

    option: str

    @classmethod
    def of(cls, option: str, key: str, value: object) -> Self:
        """The override of `key` by `option`."""
        made = cls(f"{key}={value}")
        made.option = option
        return made

    @property
    def shown(self) -> str:
        """Option and value, as typed."""
        return f"{self.option} {self.partition('=')[2]}"


_PATHS = ("data.schema", "data.folder", "participation.availability.trace")


def load_config(
    path: Path | None = None,
    *,
    overrides: Iterable[str] = (),
    default: RunConfig | None = None,
) -> RunConfig:
    """Reads a run's configuration.

    Args:
      path: YAML file that mirrors `RunConfig`; what it leaves out has its default.
      overrides: `key=value` with dotted keys and YAML values, applied after the file.
      default: what holds for the rest; None for the defaults of `RunConfig`.

    Paths in the file are relative to the file, those in overrides to the working directory;
    both come out absolute, so a run can be resumed from anywhere.

    The file of a run folder is read as the run was: a setting that came after it has the meaning
    that held before (`ecct_tf.config.stored`).

    Raises:
      ConfigError: for an unknown key, a wrong type or a value out of range; the message
        names the file or override and the key.

    Example:
      >>> load_config(overrides=["training.epochs=2"]).training.epochs
      2
    """
    if path is None or not is_run_settings(path):
        return load_over(default or RunConfig(), path, overrides=overrides, paths=_PATHS)
    return load_over(
        default or RunConfig(),
        path,
        overrides=overrides,
        paths=_PATHS,
        complete=functools.partial(complete_settings, where=str(path)),
    )


def load_over(
    default: _T,
    path: Path | None,
    *,
    overrides: Iterable[str] = (),
    paths: Iterable[str] = (),
    complete: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
) -> _T:
    """Reads a configuration of any kind, as `load_config` reads a run's.

    Args:
      default: a configuration dataclass with what file and overrides leave out.
      path: the YAML file.
      overrides: `key=value`, applied after the file.
      paths: dotted keys that hold paths.
      complete: adds to the file what it leaves out, before the overrides.

    Raises:
      ConfigError: as `load_config`.
    """
    target = type(default)
    values: dict[str, Any] = {} if path is None else read_mapping(path)
    overrides = list(overrides)
    check_kind(values, target, where=str(path))
    check_keys(values, target, where=str(path))
    if complete is not None:
        values = complete(values)
    if path is not None:
        _make_absolute(values, paths, path.parent)
    for override in overrides:
        _apply(values, override, target)
    _make_absolute(values, paths, Path())
    try:
        return build(target, _over_defaults(default, values))
    except ConfigError as error:
        raise ConfigError(_with_origin(path, overrides, str(error))) from error


def _over_defaults(default: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` where given, `default` elsewhere, section by section.

    A section's default may differ from its class's: what a file leaves out of it is taken
    from the former.
    """
    filled = {}
    for field in dataclasses.fields(default):
        present = getattr(default, field.name)
        if dataclasses.is_dataclass(present):
            filled[field.name] = _over_defaults(present, values.get(field.name, {}))
        else:
            filled[field.name] = values.get(field.name, present)
    return filled


def _make_absolute(values: dict[str, Any], paths: Iterable[str], base: Path) -> None:
    for key in paths:
        *parents, name = key.split(".")
        section = values
        for parent in parents:
            section = section.get(parent) or {}
        if isinstance(section.get(name), str):
            section[name] = str((base / expanded(Path(section[name]))).absolute())


def dump_config(config: Any) -> str:
    """A whole configuration as YAML; what loaded it reads it back to an equal one.

    Example:
      >>> dump_config(RunConfig(rounds=3)).splitlines()[1]
      'rounds: 3'
    """
    return dump_yaml(plain_config(config))


def plain_config(config: Any) -> dict[str, Any]:
    """A whole configuration as nested dictionaries of plain values.

    >>> plain_config(RunConfig(rounds=3))["rounds"]
    3
    """
    values: dict[str, Any] = _plain(dataclasses.asdict(config))
    return values


def _apply(values: dict[str, Any], override: str, config: type[Any]) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set: expected key=value, got {override!r}")
    value = parse_yaml(text, where=f"{_shown(override)}: the value")
    nested: Any = value
    for name in reversed(key.split(".")):
        nested = {name: nested}
    check_keys(nested, config, where=_shown(override))
    target = values
    *parents, last = key.split(".")
    for name in parents:
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{_shown(override)}: {name} is not a section")
    target[last] = value


def _with_origin(path: Path | None, overrides: list[str], message: str) -> str:
    """`message` after where the field that it begins with got its value."""
    named, _, reason = message.partition(": ")
    field = named.removeprefix("run.")
    for override in reversed(overrides):
        key = override.partition("=")[0]
        if isinstance(override, TypedOption) and key == field:
            return f"{override.shown}: {reason}"
        if f"{field}.".startswith(f"{key}.") or key.startswith(f"{field}."):
            return f"{_shown(override)}: {message}"
    sources = [] if path is None else [str(path)]
    sources += [_shown(override) for override in overrides]
    return ": ".join([*([", ".join(sources)] if sources else []), message])


def _shown(override: str) -> str:
    return override.shown if isinstance(override, TypedOption) else f"--set {override}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
