"""The YAML description of somebody's own files: what to read, and what each column may tell."""

import dataclasses
from pathlib import Path
from typing import Literal

from ecct_tf.config.checks import at_least
from ecct_tf.config.file_kinds import check_kind
from ecct_tf.config.parsing import build, check_keys, read_mapping
from ecct_tf.data._text_files import PACKED_SUFFIXES
from ecct_tf.data.numbers import Scaling
from ecct_tf.data.schema import Column, FeatureSchema, Kind, Side
from ecct_tf.errors import ConfigError

__all__ = [
    "ColumnSpec",
    "DuplicateRule",
    "FileFormat",
    "FilesSchema",
    "Filters",
    "InteractionsFile",
    "ShortUserRule",
    "TableFile",
    "TimestampUnit",
    "read_files_schema",
    "resolve_format",
]

DuplicateRule = Literal["keep_first", "keep_last", "keep_all", "refuse"]
ShortUserRule = Literal["remove", "refuse"]
FileFormat = Literal["csv", "parquet", "recbole"]
TimestampUnit = Literal["s", "ms", "us", "ns", "iso8601"]
_SUFFIXES: dict[str, tuple[FileFormat, str]] = {
    ".csv": ("csv", ","),
    ".tsv": ("csv", "\t"),
    ".parquet": ("parquet", ""),
    ".pq": ("parquet", ""),
    ".inter": ("recbole", "\t"),
    ".user": ("recbole", "\t"),
    ".item": ("recbole", "\t"),
}


@dataclasses.dataclass(frozen=True)
class InteractionsFile:
    """The file of interactions: who did something with what, and when.

    Attributes:
      path: the file, which may be packed, or a folder of part files; a relative path starts at
        the schema file's folder.
      user: header of the column with user ids.
      item: header of the column with item ids.
      timestamp: header of the column with times.
      timestamp_unit: `s`, `ms`, `us` or `ns` since 1970, or `iso8601` dates (UTC unless they say
        so).
      rating: header of a column of ratings, for `min_rating`.
      min_rating: lowest rating that counts as an interaction; the rows below are filtered.
      format: `csv`, `parquet` or `recbole` (tabs, and a kind behind each header); by default the
        path's suffix decides.
      separator: of a CSV file; by default a comma, in a `.tsv` file a tab. With several
        characters, as `::`, no value can be quoted.
      encoding: of a CSV file; a byte order mark decides over it.
      names: the columns' names in order, of a CSV file without a header line.
      columns: private categories of the moment of an interaction, such as the network, by name.
    """

    path: str
    user: str = "user"
    item: str = "item"
    timestamp: str = "timestamp"
    timestamp_unit: TimestampUnit = "s"
    rating: str | None = None
    min_rating: float | None = None
    format: FileFormat | None = None
    separator: str | None = None
    encoding: str = "utf-8"
    names: tuple[str, ...] | None = None
    columns: dict[str, "ColumnSpec"] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.rating is None) != (self.min_rating is None):
            missing = "rating" if self.rating is None else "min_rating"
            raise ConfigError(
                f"interactions.{missing}: missing; a rating is read only to keep the rows that "
                "reach min_rating. Give both or neither."
            )
        names = [name for name in (self.user, self.item, self.timestamp, self.rating) if name]
        if len(set(names)) != len(names):
            raise ConfigError(
                f"interactions: expected four different columns for user, item, timestamp and "
                f"rating, got {', '.join(names)}. Correct the headers."
            )
        resolve_format(self, "interactions")


@dataclasses.dataclass(frozen=True)
class ColumnSpec:
    """One feature column of a user or item table.

    Attributes:
      kind: `categorical`, `multi_categorical` (several values in a cell), `numeric`, or `vector`:
        as many numbers in each cell, such as a text or image embedding.
      side: `federated` (only on the user's device) or `centralized` (the cloud may know it).
        By default user columns are federated, and item columns are always centralized.
      header: the column's header in the file, where it differs from its name here.
      separator: between the values of a multi_categorical cell, or the numbers of a vector.
      values: the allowed values of a categorical column; any other is an error.
      borders: makes a numeric column categorical: groups below, between and from the borders.
      scaling: how a federated number becomes an input of the device's model; by default its
        logarithm divided by 4.
      array: a NumPy file (`.npy`) of vectors `[rows, width]`, row by row as the table's file has
        them; a relative path starts at the schema file's folder.
    """

    kind: Literal["categorical", "multi_categorical", "numeric", "vector"]
    side: Literal["federated", "centralized"] | None = None
    header: str | None = None
    separator: str | None = None
    values: tuple[str, ...] | None = None
    borders: tuple[float, ...] | None = None
    scaling: Scaling | None = None
    array: str | None = None

    def check(self, where: str, *, table: Literal["user", "item", "interaction"]) -> None:
        """Raises `ConfigError` if the column means nothing in `table`."""
        encoded, side = self.encoded, self.resolved_side(table)
        if table == "interaction" and (encoded, side) != (Kind.CATEGORICAL, Side.FEDERATED):
            raise ConfigError(
                f"{where}: expected a categorical federated column, got {encoded.value} and "
                f"{side.value}: a column of interactions is what a device knows of the moment. Cut "
                "numbers by borders, or leave the column out."
            )
        if table == "item" and side is Side.FEDERATED:
            raise ConfigError(
                f"{where}.side: expected centralized, got federated: items are the same for all, "
                "and no device has item columns of its own. Leave the column out."
            )
        if side is Side.FEDERATED and encoded is Kind.VECTOR:
            raise ConfigError(
                f"{where}.kind: expected categorical, multi_categorical or numeric for a federated "
                "column, got vector. Leave the column out, or let the cloud know it by side: "
                "centralized."
            )
        for name, kinds in (
            ("separator", ("multi_categorical", "vector")),
            ("values", ("categorical", "multi_categorical")),
            ("borders", ("numeric",)),
            ("scaling", ("numeric",)),
            ("array", ("vector",)),
        ):
            if getattr(self, name) is not None and self.kind not in kinds:
                raise ConfigError(
                    f"{where}.{name}: has no meaning for a {self.kind} column, only for "
                    f"{' and '.join(kinds)}. Leave it out or change the kind."
                )
        for name in ("header", "separator"):
            if self.array is not None and getattr(self, name) is not None:
                raise ConfigError(f"{where}.{name}: has no meaning beside array. Leave it out.")
        if self.scaling is not None and (encoded is not Kind.NUMERIC or side is not Side.FEDERATED):
            raise ConfigError(
                f"{where}.scaling: has a meaning for a federated number alone, not beside borders "
                "or for a centralized column, which the cloud scales itself. Leave it out."
            )
        if self.separator == "":
            raise ConfigError(f"{where}.separator: expected a text, got an empty one")
        if self.borders is not None and (
            not self.borders or list(self.borders) != sorted(set(self.borders))
        ):
            raise ConfigError(f"{where}.borders: expected rising numbers, got {list(self.borders)}")

    @property
    def encoded(self) -> Kind:
        """The kind after grouping by `borders`."""
        return Kind(self.kind) if self.borders is None else Kind.CATEGORICAL

    def resolved_side(self, table: Literal["user", "item", "interaction"]) -> Side:
        """The side, with the table's default."""
        default = Side.CENTRALIZED if table == "item" else Side.FEDERATED
        return default if self.side is None else Side(self.side)


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A file with one row a user, or one row an item.

    Attributes:
      path: the file; a relative path starts at the schema file's folder.
      id: header of the column with the ids.
      columns: the feature columns by name; columns of the file that are not named are not read.
      format: as for the interactions.
      separator: as for the interactions.
      encoding: as for the interactions.
      names: as for the interactions.
      required: whether each id of the interactions must have a row; otherwise one without has
        the unknown value in each column, which is counted.
      title: header of the column with what people call an item, for lists that they read; of
        items only, and no model reads it.
    """

    path: str
    id: str
    columns: dict[str, ColumnSpec]
    format: FileFormat | None = None
    separator: str | None = None
    encoding: str = "utf-8"
    names: tuple[str, ...] | None = None
    required: bool = False
    title: str | None = None


@dataclasses.dataclass(frozen=True)
class Filters:
    """What is left out on purpose; whatever is, is counted in the report.

    Attributes:
      min_user_interactions: users with fewer are removed; 0 removes none.
      min_item_interactions: items with fewer are removed, from the catalogue too; 0 removes none.
      short_users: whether users below their minimum are removed, or are an error.
      duplicates: what becomes of a user's repeated interactions with one item: the earliest or
        the latest is kept, all are, or they are an error.
    """

    min_user_interactions: int = 0
    min_item_interactions: int = 0
    short_users: ShortUserRule = "remove"
    duplicates: DuplicateRule = "keep_first"

    def __post_init__(self) -> None:
        at_least(self, "filters", 0, "min_user_interactions", "min_item_interactions")
        if self.short_users == "refuse" and not self.min_user_interactions:
            raise ConfigError(
                "filters.min_user_interactions: expected at least 1 with short_users: refuse, got "
                "0. Give the number that every user must have (leave_one_out needs 4)."
            )


@dataclasses.dataclass(frozen=True)
class FilesSchema:
    """A data set in your own files.

    Attributes:
      name: the data set's name.
      interactions: the file of interactions.
      users: an optional file of users; without it devices have no profile.
      items: an optional file of items; without it the catalogue is what was interacted with.
      filters: what is left out on purpose.
    """

    name: str
    interactions: InteractionsFile
    users: TableFile | None = None
    items: TableFile | None = None
    filters: Filters = dataclasses.field(default_factory=Filters)

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("name: expected a name for the data set, got an empty text")
        if self.users is not None and self.users.title is not None:
            raise ConfigError(
                f"users.title: only items have titles, got {self.users.title!r}. Leave it out."
            )
        for name, spec in self.interactions.columns.items():
            where = f"interactions.columns.{name}"
            if name in ("user", "item", "timestamp", "moment", "rating"):
                raise ConfigError(
                    f"{where}: this name is taken. Choose another, and give the file's own as "
                    f"header: {name}."
                )
            spec.check(where, table="interaction")
        for section, table, file in self.tables:
            resolve_format(file, section)
            for name, spec in file.columns.items():
                where = f"{section}.columns.{name}"
                if name in ("user", "item"):
                    raise ConfigError(
                        f"{where}: this name stands for the ids. Choose another, and give the "
                        f"file's own as header: {name}."
                    )
                spec.check(where, table=table)
        shared = set(self.users.columns if self.users else ()) & set(
            self.items.columns if self.items else ()
        )
        if shared:
            name = min(shared)
            raise ConfigError(
                f"items.columns.{name}: users.columns has the same name. Rename one, and give the "
                f"file's own as header: {name}."
            )

    @property
    def tables(self) -> tuple[tuple[str, Literal["user", "item"], TableFile], ...]:
        """The optional files that there are: section, table name and file."""
        present: list[tuple[str, Literal["user", "item"], TableFile]] = []
        if self.users is not None:
            present.append(("users", "user", self.users))
        if self.items is not None:
            present.append(("items", "item", self.items))
        return tuple(present)

    def features(self) -> FeatureSchema:
        """The tags of all feature columns."""
        return FeatureSchema(
            self.name,
            tuple(
                Column(name, table, spec.resolved_side(table), spec.encoded, spec.scaling)
                for _, table, file in self.tables
                for name, spec in file.columns.items()
            )
            + tuple(
                Column(name, "interaction", Side.FEDERATED, Kind.CATEGORICAL)
                for name in self.interactions.columns
            ),
        )


def read_files_schema(path: str | Path) -> FilesSchema:
    """Reads and checks the schema file `path`.

    Raises:
      ConfigError: an unknown key, a wrong type or a meaningless combination; the message names
        the file and the key.
    """
    path = Path(path)
    if path.suffix.lower() in (*_SUFFIXES, *PACKED_SUFFIXES):
        raise ConfigError(
            f"{path}: expected a schema, a YAML file that names your data, received a data file. "
            f"Write one beside it and give that, such as schema.yaml with\n  name: mine\n"
            f"  interactions: {{path: {path.name}, user: ..., item: ..., timestamp: ...}}"
        )
    values = read_mapping(path, what="data schema")
    check_kind(values, FilesSchema, where=str(path))
    check_keys(values, FilesSchema, where=str(path))
    for section in ("users", "items"):
        if isinstance(values.get(section), dict) and values[section].get("id") is None:
            raise ConfigError(
                f"{path}: {section}.id: missing; give the header of the column with the ids"
            )
    try:
        return build(FilesSchema, values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def resolve_format(file: InteractionsFile | TableFile, section: str) -> tuple[FileFormat, str]:
    """The format and the separator of `file`, from its options or its suffix."""
    path = Path(file.path)
    if path.suffix.lower() in PACKED_SUFFIXES:
        path = path.with_suffix("")
    known = _SUFFIXES.get(path.suffix.lower())
    if file.format is None and known is None:
        raise ConfigError(
            f"{section}.format: cannot be told from {file.path!r}, expected a suffix of "
            f"{', '.join(_SUFFIXES)}, before one of {', '.join(PACKED_SUFFIXES)} if the file is "
            "packed. Give format: csv, parquet or recbole."
        )
    kind = file.format or (known[0] if known else "csv")
    if kind == "parquet":
        for name in ("separator", "names"):
            if getattr(file, name) is not None:
                raise ConfigError(f"{section}.{name}: a Parquet file has none. Leave it out.")
        return kind, ""
    if kind == "recbole" and file.names is not None:
        raise ConfigError(f"{section}.names: RecBole's files name their columns. Leave it out.")
    if file.names is not None and len(set(file.names)) != len(file.names):
        raise ConfigError(f"{section}.names: expected different names, got {list(file.names)}")
    default = "\t" if kind == "recbole" else known[1] if known and known[0] == "csv" else ","
    separator = default if file.separator is None else file.separator
    if not separator or any(character in '"\n\r' for character in separator):
        raise ConfigError(
            f'{section}.separator: expected characters such as ";", "::" or "\\t" (a tab), got '
            f"{separator!r}; a double quote quotes values, and a line break ends a row."
        )
    return kind, separator
