"""From YAML to a tree of dataclasses, strictly: no unknown key, no wrong type."""

import dataclasses
import difflib
import functools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import dacite

from ecct_tf.config.number_checks import numbers
from ecct_tf.config.yaml_text import PlainText, parse_yaml, resolved, setting_text
from ecct_tf.errors import ConfigError

__all__ = ["build", "check_keys", "near_miss", "near_sibling", "read_mapping"]

_T = TypeVar("_T")

# What is written where words for a type do not show the form.
_EXAMPLES = {
    "features.context": "{place: [home, work]}",
    "runtime.workers": "[local, local], for which `ecct simulate` takes --workers 2",
}

_SWITCHES = {"yes": True, "no": False, "on": True, "off": False}


def read_mapping(path: Path, *, what: str = "configuration") -> dict[str, Any]:
    """Reads the YAML file `path`, which must hold keys and values; an empty one holds none.

    Scalars without quotes are `PlainText`, which `build` reads as the field's type wants it.

    Raises:
      ConfigError: the file cannot be read, is not YAML, has a key twice, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        near = near_sibling(path)
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror}{near}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read the {what} {path}: it is not UTF-8 text") from error
    values = parse_yaml(text, where=str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        received = "list" if isinstance(values, list) else "text"
        raise ConfigError(f"{path}: expected keys and values, got {received}")
    return values


def check_keys(values: Mapping[str, Any], target: Any, *, where: str, prefix: str = "") -> None:
    """Refuses keys that the dataclass `target` does not know, at any depth.

    Args:
      values: what was read.
      target: the dataclass.
      where: the file or option, for the message.
      prefix: the dotted path to `values`, with a dot at its end.
    """
    hints = get_type_hints(target)
    fields = [field.name for field in dataclasses.fields(target)]
    for key, value in values.items():
        if key not in fields:
            near = near_miss(str(key), fields, prefix=prefix)
            # The whole name in a section says more than a similar one here.
            if not any(field.startswith(f"{key}_") for field in fields):
                near = _deeper(str(key), target, prefix) or near
            raise ConfigError(
                f"{where}: unknown key {prefix}{key}{near} (known here: {', '.join(fields)})"
            )
        inner, repeated = _section(hints[key])
        if inner is None or (value is None and _optional(hints[key])):
            continue
        path = f"{prefix}{key}"
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{where}: {path} is a section, expected keys and values, got {setting_text(value)}"
            )
        parts = {f"{path}.{name}": part for name, part in value.items()} if repeated else {}
        for name, part in (parts or {path: value}).items():
            if not isinstance(part, Mapping):
                raise ConfigError(
                    f"{where}: {name} is a section, expected keys and values, got "
                    f"{setting_text(part)}"
                )
            check_keys(part, inner, where=where, prefix=f"{name}.")


def _deeper(name: str, target: Any, prefix: str) -> str:
    """`; did you mean X?` where sections of `target` have a key of just that name, or nothing."""
    paths, pending = list[str](), [(prefix, target)]
    for path, section in pending:  # grows: the sections of a level come before those below
        hints = get_type_hints(section)
        if name in hints and path != prefix:
            paths.append(f"{path}{name}")
        for key, hint in hints.items():
            inner, repeated = _section(hint)
            if inner is not None and not repeated:
                pending.append((f"{path}{key}.", inner))
    more = ", …" if len(paths) > 3 else ""
    return f"; did you mean {', '.join(paths[:3])}{more}?" if paths else ""


def build(target: type[_T], values: Mapping[str, Any], *, prefix: str = "") -> _T:
    """Builds the dataclass `target` from `values` whose keys were checked.

    Raises:
      ConfigError: a value is missing, of the wrong type or out of range; the message begins
        with the dotted path of the key.
    """
    hints = get_type_hints(target)
    built = dict(values)
    for key, value in values.items():
        inner, repeated = _section(hints[key])
        if inner is None or value is None:
            built[key] = _typed(hints[key], value)
            continue
        path = f"{prefix}{key}."
        built[key] = (
            {
                # What a program handed over is built already.
                name: part
                if isinstance(part, inner)
                else build(inner, part, prefix=f"{path}{name}.")
                for name, part in value.items()
            }
            if repeated
            else build(inner, value, prefix=path)
        )
    hooks: dict[Any, Callable[[Any], Any]] = {int: _int, float: _float}
    hooks |= {many: functools.partial(_tuple, many) for many in _tuples(hints.values())}
    try:
        made = dacite.from_dict(target, built, dacite.Config(strict=True, type_hooks=hooks))
        numbers(made, prefix.removesuffix("."))
        return made
    except dacite.WrongTypeError as error:
        # Of a text in place of a mapping dacite names what it was about to make of it.
        given = built.get(str(error.field_path))
        value = given if isinstance(given, str) else error.value
        where = f"{prefix}{error.field_path}"
        form = f"; such as {_EXAMPLES[where]}" if where in _EXAMPLES else ""
        raise ConfigError(
            f"{where}: expected {_expected(error.field_type)}, got "
            f"{setting_text(value)}{form}{_near_choice(error.field_type, value)}"
        ) from error
    except dacite.MissingValueError as error:
        raise ConfigError(f"{prefix}{error.field_path}: missing; give a value") from error


def _typed(hint: Any, value: Any) -> Any:
    """`value` with its scalars without quotes read as `hint` wants them.

    A name keeps the text that was written (`on`, `007`, `1e3`), a switch may be written in
    YAML 1.1's words, and everything else is what YAML 1.2 says.
    """
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return _typed(inner[0], value) if len(inner) == 1 else resolved(value)
    if isinstance(value, dict) and get_origin(hint) is dict and get_origin(get_args(hint)[1]):
        return {name: _typed(get_args(hint)[1], part) for name, part in value.items()}
    if isinstance(value, list) and get_origin(hint) is tuple:
        return [_typed(get_args(hint)[0], part) for part in value]
    if isinstance(value, PlainText):
        if hint is str:
            return str(value)
        if hint is bool:
            return _SWITCHES.get(value.lower(), value.value)
    return resolved(value)


def near_miss(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """`; did you mean X?` for the known name closest to `name`, or nothing.

    >>> near_miss("rounds", ["devices", "rounds_per_cycle"])
    '; did you mean rounds_per_cycle?'
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    if not close:
        # A name that goes on is too long to be close.
        longer = [each for each in names if each.startswith(f"{name}_")]
        close = longer if len(longer) == 1 else []
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def near_sibling(path: Path) -> str:
    """`; did you mean X?` where nothing is at `path`, for what has a near name beside it.

    Where the folder itself is missing, one with a near name that holds such a file is looked for.
    """
    if path.exists():
        return ""
    parent, name = path.parent, path.name
    try:
        if not parent.is_dir():
            others = {each.name: each for each in parent.parent.iterdir() if (each / name).exists()}
            close = difflib.get_close_matches(parent.name, others, n=1)
            return f"; did you mean {others[close[0]] / name}?" if close else ""
        close = difflib.get_close_matches(
            name, {each.name for each in parent.iterdir()} - {name}, n=1
        )
    except OSError:
        return ""
    return f"; did you mean {parent / close[0]}?" if close else ""


def _section(hint: Any) -> tuple[Any, bool]:
    """The dataclass that `hint` holds, if any, and whether it holds many by name."""
    for part in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        if dataclasses.is_dataclass(part):
            return part, False
        if get_origin(part) is dict and dataclasses.is_dataclass(get_args(part)[1]):
            return get_args(part)[1], True
    return None, False


def _optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _int(value: Any) -> int:
    """Refuses what Python, but nobody else, takes for a whole number: true and false."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise dacite.WrongTypeError(int, value)
    return value


def _float(value: Any) -> float:
    """A whole number is a number too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise dacite.WrongTypeError(float, value)
    try:
        return float(value)
    except OverflowError as error:
        raise dacite.WrongTypeError(float, value) from error


def _tuples(hints: Iterable[Any]) -> Iterator[Any]:
    """The kinds of tuples among `hints`, and in their unions."""
    for hint in hints:
        if get_origin(hint) is tuple:
            yield hint
        elif get_origin(hint) in (Union, types.UnionType, dict):
            yield from _tuples(get_args(hint))


def _tuple(expected: Any, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise dacite.WrongTypeError(expected, value)
    return tuple(value)


def _near_choice(field_type: Any, value: Any) -> str:
    """`near_miss` among the choices that a field, an entry of a list or a key of it has."""
    choices: list[str] = []
    pending = [field_type]
    while pending:
        hint = pending.pop()
        if get_origin(hint) is Literal:
            choices += [choice for choice in get_args(hint) if isinstance(choice, str)]
        else:
            pending += get_args(hint)
    several = isinstance(value, list | tuple | dict)
    names = [value] if isinstance(value, str) else value if several else []
    wrong = [name for name in names if isinstance(name, str) and name not in choices]
    return near_miss(wrong[0], choices) if wrong else ""


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
        if get_origin(inner[0]) is Literal:
            return f"a list out of {', '.join(get_args(inner[0]))}"
        words = {str: "a list of texts", int: "a list of whole numbers"}
        return words.get(inner[0], "a list of numbers")
    if get_origin(field_type) is dict and get_origin(inner[1]) is tuple:
        return f"{_expected(inner[1])} by name"
    if get_origin(field_type) is dict:
        return "numbers by name" if inner[0] is str else f"numbers for {_expected(inner[0])}"
    return " or ".join(_expected(part) for part in inner)
