"""The feature schema: which column exists, and on which side it may exist."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from ecct_tf.config.parsing import build, check_keys, near_sibling
from ecct_tf.config.yaml_text import PlainText, dump_yaml, parse_yaml, setting_text
from ecct_tf.data.numbers import Scaling
from ecct_tf.errors import ConfigError

__all__ = ["Column", "FeatureSchema", "Kind", "Side"]


class Side(enum.StrEnum):
    """Where a column may exist: only on the device, or in the cloud.

    Example:
      >>> Side("federated") is Side.FEDERATED
      True
    """

    FEDERATED = "federated"
    CENTRALIZED = "centralized"


class Kind(enum.StrEnum):
    """How a column's raw values are encoded.

    Example:
      >>> [kind.value for kind in Kind]
      ['categorical', 'multi_categorical', 'numeric', 'vector']
    """

    CATEGORICAL = "categorical"
    MULTI_CATEGORICAL = "multi_categorical"
    NUMERIC = "numeric"
    VECTOR = "vector"


_TABLES = ("user", "item", "interaction")
_EnumT = TypeVar("_EnumT", bound=enum.Enum)


@dataclass(frozen=True)
class Column:
    """One declared feature column with its tag.

    Attributes:
      name: the column's name, unique in the schema.
      table: `"user"`, `"item"` or `"interaction"`, the table that holds the column.
      side: the tag that decides where the column may exist.
      kind: the encoding.
      scaling: how a private number becomes an input; None for the logarithm divided by 4.

    Example:
      >>> Column("town", "user", "federated", "categorical").side
      <Side.FEDERATED: 'federated'>
    """

    name: str
    table: Literal["user", "item", "interaction"]
    side: Side
    kind: Kind
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        name: object = self.name  # from YAML anything may come
        if not isinstance(name, str) or not name:
            raise ConfigError(f"Column.name: expected a non-empty text, received {self.name!r}.")
        where = f"column {self.name!r}"
        if self.table not in _TABLES:
            raise ConfigError(
                f"{where}: table must be one of {list(_TABLES)}, received {self.table!r}."
            )
        object.__setattr__(self, "side", _member(Side, self.side, where=f"{where}: side"))
        object.__setattr__(self, "kind", _member(Kind, self.kind, where=f"{where}: kind"))
        told = (self.side, self.kind)
        if self.table == "interaction" and told != (Side.FEDERATED, Kind.CATEGORICAL):
            raise ConfigError(
                f"{where}: expected side federated and kind categorical for a column of "
                f"interactions, received {self.side.value} and {self.kind.value}: it is what a "
                "device knows of the moment of a request."
            )
        if self.kind is Kind.VECTOR and self.side is Side.FEDERATED:
            raise ConfigError(
                f"{where}: expected side centralized for a column of vectors, received federated: "
                "an edge model reads categories and numbers from private columns. Make numeric "
                "columns of it, or leave it out."
            )
        if self.scaling is not None and not self.is_private_number:
            raise ConfigError(
                f"{where}: scaling has a meaning for a numeric column with side federated alone. "
                "Leave it out."
            )

    @property
    def is_private_number(self) -> bool:
        """Whether it holds numbers that stay on devices; they are encoded by `private_scaling`."""
        return self.kind is Kind.NUMERIC and self.side is Side.FEDERATED

    @property
    def private_scaling(self) -> Scaling:
        """The rule of a private number, with its default."""
        return self.scaling or Scaling(log=True)


@dataclass(frozen=True)
class FeatureSchema:
    """All columns of a data set, each tagged federated or centralized.

    Attributes:
      name: the schema's name.
      columns: the declared columns; names are unique over both tables.
      recent_interactions: the side of each user's newest training
        interactions. Only `Side.FEDERATED` is allowed; the field exists so
        that a schema file states the fact openly.

    Example:
      >>> schema = FeatureSchema("toy", (
      ...     Column("gender", "user", Side.FEDERATED, Kind.CATEGORICAL),
      ...     Column("genres", "item", Side.CENTRALIZED, Kind.MULTI_CATEGORICAL),
      ... ))
      >>> [c.name for c in schema.select(side=Side.CENTRALIZED)]
      ['genres']
    """

    name: str
    columns: tuple[Column, ...]
    recent_interactions: Side = Side.FEDERATED

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        where = f"schema {self.name!r}"
        recent = _member(Side, self.recent_interactions, where=f"{where}: recent_interactions")
        object.__setattr__(self, "recent_interactions", recent)
        names = [column.name for column in self.columns]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ConfigError(
                f"{where}: column names must be unique, {repeated} occur more than once. "
                "Rename one of them."
            )
        if recent is not Side.FEDERATED:
            raise ConfigError(
                f"{where}: recent_interactions must be 'federated', received {recent.value!r}. "
                "The newest interactions never leave the device. A smaller data.recent_fraction, "
                "such as 0.05, gives the cloud more of them."
            )

    @classmethod
    def from_yaml(cls, path: str | Path) -> FeatureSchema:
        """Reads a schema from the YAML file `path`; raises `ConfigError` if it is not one."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            near = near_sibling(path) or "."
            raise ConfigError(f"{path}: cannot read the feature schema: {error}{near}") from error
        loaded = _texts(parse_yaml(text, where=str(path)))
        body = _mapping(loaded, cls, where=str(path))
        rows = body["columns"]
        if not isinstance(rows, list):
            raise ConfigError(f"{path}: columns must be a list, received {type(rows).__name__}.")
        try:
            columns = tuple(
                _column(row, where=f"{path}: columns[{index}]") for index, row in enumerate(rows)
            )
            return cls(**{**body, "columns": columns})
        except ConfigError as error:
            if str(path) in str(error):
                raise
            raise ConfigError(f"{path}: {error}") from error

    def to_yaml(self) -> str:
        """Returns the YAML text that `from_yaml` reads back to an equal schema."""
        columns = [
            {"name": c.name, "table": c.table, "side": c.side.value, "kind": c.kind.value}
            | ({} if c.scaling is None else {"scaling": c.scaling.as_dict()})
            for c in self.columns
        ]
        body = {
            "name": self.name,
            "recent_interactions": self.recent_interactions.value,
            "columns": columns,
        }
        return dump_yaml(body)

    def column(self, name: str) -> Column:
        """Returns the column called `name`; `ConfigError` if it is not declared."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ConfigError(
            f"schema {self.name!r} has no column {name!r}; it declares "
            f"{[column.name for column in self.columns]}."
        )

    def select(
        self, table: Literal["user", "item", "interaction"] | None = None, side: Side | None = None
    ) -> tuple[Column, ...]:
        """Returns the columns of `table` on `side`, in order; None means any."""
        return tuple(
            column
            for column in self.columns
            if table in (None, column.table) and side in (None, column.side)
        )


def _column(row: object, *, where: str) -> Column:
    values = _mapping(row, Column, where=where)
    scaling = values.get("scaling")
    if scaling is not None:
        if not isinstance(scaling, dict):
            raise ConfigError(
                f"{where}: scaling: expected keys and values, received {setting_text(scaling)}."
            )
        check_keys(scaling, Scaling, where=where, prefix="scaling.")
        values = {**values, "scaling": build(Scaling, scaling, prefix="scaling.")}
    return Column(**values)


def _texts(tree: Any) -> Any:
    """A tree of YAML as it was written: a feature schema holds names, and rules of numbers."""
    if isinstance(tree, dict):
        return {key: value if key == "scaling" else _texts(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_texts(value) for value in tree]
    return str(tree) if isinstance(tree, PlainText) else tree


def _member(cls: type[_EnumT], value: object, *, where: str) -> _EnumT:
    try:
        return cls(value)
    except ValueError:
        allowed = [member.value for member in cls]
        raise ConfigError(
            f"{where} must be one of {allowed}, received {setting_text(value)}."
        ) from None


def _mapping(value: object, cls: type[Any], *, where: str) -> dict[str, Any]:
    """Checks that `value` maps exactly the fields of dataclass `cls`."""
    allowed = [field.name for field in fields(cls)]
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected the keys {allowed}, received {setting_text(value)}.")
    for key in value:
        if key not in allowed:
            raise ConfigError(f"{where}: unknown key {key!r}; allowed are {allowed}.")
    for key in allowed:
        if key not in value and key not in ("recent_interactions", "scaling"):
            raise ConfigError(f"{where}: the key {key!r} is missing; expected {allowed}.")
    return value
