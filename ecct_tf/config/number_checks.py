"""What no numeric setting can mean, whatever section it is in."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_type_hints

from ecct_tf.config.yaml_text import setting_text
from ecct_tf.errors import ConfigError

__all__ = ["numbers"]

# What TensorFlow's seeds and shapes can hold.
_LARGEST = 2**63 - 1


def numbers(config: Any, section: str) -> None:
    """Refuses numbers that no setting can mean, in every numeric field of `config`.

    These are infinities and NaN, whole numbers beyond 64 bits, and fractions or truth values
    where a whole number is expected. Fields in tuples, lists and mappings count too.

    Raises:
      ConfigError: names the field, what was expected and what came.
    """
    prefix = f"{section}." if section else ""
    for name, whole in _numeric_fields(type(config)):
        for where, value in _parts(f"{prefix}{name}", getattr(config, name)):
            _check_number(where, value, whole=whole)


def _numeric_fields(config: type[Any]) -> tuple[tuple[str, bool], ...]:
    """The fields of a class that hold numbers, and whether these are whole."""
    hints = get_type_hints(config)
    found = []
    for field in dataclasses.fields(config):
        kinds = set(_leaves(hints[field.name]))
        if float in kinds:
            found.append((field.name, False))
        elif int in kinds:
            found.append((field.name, True))
    return tuple(found)


def _leaves(hint: Any) -> Iterator[Any]:
    """The types that a hint is made of: of `dict[str, float] | None` str, float and None."""
    inner = get_args(hint)
    if not inner:
        yield hint
    for part in inner:
        yield from _leaves(part)


def _parts(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _parts(f"{where}.{name}", part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _parts(where, part)
    else:
        yield where, value


def _check_number(where: str, value: Any, *, whole: bool) -> None:
    if value is None or isinstance(value, str):
        return
    if whole and (isinstance(value, bool) or not isinstance(value, int)):
        raise ConfigError(f"{where}: expected a whole number, got {setting_text(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: expected a finite number, got {value}")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ConfigError(
            f"{where}: expected a number that 64 bits hold, at most {_LARGEST}, got {value}"
        )
