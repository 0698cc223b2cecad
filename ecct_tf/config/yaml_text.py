"""YAML as its author meant it: no key twice, and no plain text turned into something else.

PyYAML reads YAML 1.1, in which `on` is true, `12:30` is 750 and `2024-05-31` a date, and of two
equal keys it drops the first without a word. Here a plain scalar keeps the text that was
written. Whether it is a number or a name is decided where it is used; where nothing decides,
by the core schema of YAML 1.2.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from ecct_tf.errors import ConfigError

__all__ = ["PlainText", "dump_yaml", "parse_yaml", "resolved", "setting_text"]

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
# Python refuses longer whole numbers, to spare its user their quadratic time.
_MOST_DIGITS = 4000
# Far above any settings file; aliases of aliases reach billions with ten lines.
_MOST_NODES = 100_000

_TAG = "tag:yaml.org,2002:"
_TEXT, _MAP, _SEQ = f"{_TAG}str", f"{_TAG}map", f"{_TAG}seq"


class PlainText(str):
    """A scalar without quotes: its text, and what the core schema makes of it.

    Example:
      >>> str(PlainText("1e3")), PlainText("1e3").value, PlainText("on").value
      ('1e3', 1000.0, 'on')
    """

    @property
    def value(self) -> bool | int | float | str:
        """The scalar by the core schema of YAML 1.2."""
        if self in _TRUE or self in _FALSE:
            return self in _TRUE
        if _INTEGER.fullmatch(self) and len(self) <= _MOST_DIGITS:
            return int(self)
        if _OTHER_BASE.fullmatch(self) and len(self) <= _MOST_DIGITS:
            return int(self, 0)
        if _DECIMAL.fullmatch(self):
            return float(self)
        if _SPECIAL.fullmatch(self):
            return float(self.replace(".", ""))
        return str(self)

    def __repr__(self) -> str:
        return repr(self.value)


def parse_yaml(text: str, *, where: str) -> Any:
    """Reads one YAML document.

    Args:
      text: the document; an empty one is None.
      where: the file or option, for messages.

    Returns:
      Dicts with texts as keys, lists, None, `PlainText` for other scalars without quotes, and
      `str` for those with quotes.

    Raises:
      ConfigError: the text is not YAML, has a key twice, a character of value 0 or a tag of a
        programming language, is nested too deep, or contains itself.

    Example:
      >>> parse_yaml("on: [no, '1', 1.50]", where="example")
      {'on': ['no', '1', 1.5]}
      >>> [str(part) for part in parse_yaml("[no, 1.50, 2024-05-31]", where="example")]
      ['no', '1.50', '2024-05-31']
    """
    try:
        # The loader that resolves nothing: every scalar comes with its text.
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        return None if node is None else _Reader(where).read(node)
    except yaml.YAMLError as error:
        # PyYAML only knows that it was given a text; `where` says which.
        told = str(error).replace('in "<unicode string>", ', "at ")
        raise ConfigError(f"{where} is not valid YAML: {told}") from error
    except RecursionError as error:
        raise ConfigError(
            f"{where}: the YAML is nested too deep, expected a few levels of keys and values"
        ) from error


def resolved(tree: Any) -> Any:
    """A tree of `parse_yaml` with every scalar by the core schema, as plain values.

    Example:
      >>> resolved(parse_yaml("{epochs: 5, name: on}", where="example"))
      {'epochs': 5, 'name': 'on'}
    """
    if isinstance(tree, dict):
        return {key: resolved(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [resolved(value) for value in tree]
    return tree.value if isinstance(tree, PlainText) else tree


def dump_yaml(value: Any) -> str:
    r"""Plain values as YAML that `parse_yaml`, and any reader of YAML 1.1 or 1.2, reads back.

    Example:
      >>> dump_yaml({"name": "1e3", "rate": 0.5})
      "name: '1e3'\nrate: 0.5\n"
    """
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False))


def setting_text(value: Any, *, quotes: bool = True) -> str:
    """A setting's value for a message, in the words of a file and of the command line.

    Python's `None` and `True` are `null` and `true` there, its tuples are lists.

    Args:
      value: a plain value, a list or a mapping of such values, or what `parse_yaml` returns.
      quotes: whether a text has them, which tell `'2'` from `2`; within a list it always does.

    >>> print(setting_text(None), setting_text((True, "mlp", 0.5)), setting_text({"mlp": None}))
    null [true, 'mlp', 0.5] {'mlp': null}
    """
    if isinstance(value, PlainText):
        value = value.value
    if isinstance(value, str) and not quotes:
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        parts = [f"{setting_text(name)}: {setting_text(part)}" for name, part in value.items()]
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(setting_text, value))}]"
    return repr(value)


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that only YAML 1.2 takes for something else."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    ambiguous = text in _NULL or PlainText(text).value != text
    return dumper.represent_scalar(_TEXT, text, style="'" if ambiguous else None)


_Dumper.add_representer(str, _quoted)


class _Reader:
    """Nodes to values, with the nodes that lead to the present one."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._above: list[yaml.Node] = []
        self._nodes = 0

    def read(self, node: yaml.Node, path: str = "") -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise ConfigError(
                f"{self._where}: expected at most {_MOST_NODES:,} values, received more once the "
                "aliases (*name) are written out. Write the values themselves."
            )
        if any(node is other for other in self._above):
            raise ConfigError(
                f"{self._where}: {_line(node)}: the value of {path or 'the document'} contains "
                "itself by an alias (*name). Write the value out."
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in (_MAP, _SEQ):
            raise self._foreign(node)
        self._above.append(node)
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node, path)
        else:
            value = [self.read(child, f"{path}[{place}]") for place, child in enumerate(node.value)]
        self._above.pop()
        return value

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        lines: dict[str, str] = {}
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(
                    f"{self._where}: {_line(key_node)}: expected a name as key, received a list "
                    "or a section"
                )
            self._check_text(key_node)
            key, inner = key_node.value, f"{path}.{key_node.value}" if path else key_node.value
            if key in lines:
                raise ConfigError(
                    f"{self._where}: {_line(key_node)}: the key {inner} is there twice, first on "
                    f"{lines[key]}, and only one of them could count. Join the two, or remove one."
                )
            lines[key] = _line(key_node)
            if key == "<<" and key_node.style is None:
                merged = self._merged(value_node, path)
            else:
                own[key] = self.read(value_node, inner)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, path: str) -> dict[str, Any]:
        found = self.read(node, f"{path}.<<" if path else "<<")
        parts = found if isinstance(found, list) else [found]
        merged: dict[str, Any] = {}
        for part in reversed(parts):  # the first of several counts
            if not isinstance(part, dict):
                raise ConfigError(
                    f"{self._where}: {_line(node)}: expected keys and values to merge with <<, "
                    f"received {setting_text(part)}"
                )
            merged.update(part)
        return merged

    def _scalar(self, node: yaml.ScalarNode) -> PlainText | str | None:
        if node.tag != _TEXT:
            raise self._foreign(node)
        self._check_text(node)
        if node.style is not None:
            return str(node.value)
        return None if node.value in _NULL else PlainText(node.value)

    def _check_text(self, node: yaml.ScalarNode) -> None:
        if "\0" in node.value:
            raise ConfigError(
                f"{self._where}: {_line(node)}: expected text, received {node.value!r} with a "
                r"character of value 0, which no name and no path can hold. In double quotes \0 "
                r"stands for it; write \\0 for a backslash and a zero, or use single quotes."
            )

    def _foreign(self, node: yaml.Node) -> ConfigError:
        return ConfigError(
            f"{self._where}: {_line(node)}: expected plain keys and values, received the tag "
            f"{node.tag!r}. Leave it out."
        )


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
