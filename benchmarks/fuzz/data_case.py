"""A data set as its generator knows it: events, tables, and the schema that describes them."""

import dataclasses
import unicodedata
from typing import Any, Literal

import numpy as np

__all__ = ["NEGATIVES", "DataCase", "Event", "Expect", "FileStyle", "plain_case", "same_id"]

Expect = Literal["accept", "refuse", "either"]

# Candidates beside the tested item: more than the default list length of ten.
NEGATIVES = 12
_START = 1_700_000_000


@dataclasses.dataclass
class Event:
    """One interaction; times in microseconds since 1970."""

    user: str
    item: str
    micros: int
    rating: float = 4.0


@dataclasses.dataclass
class FileStyle:
    """How a table is written."""

    format: Literal["csv", "parquet"] = "csv"
    separator: str = ","
    encoding: str = "utf-8"
    newline: str = "\n"
    mark: bool = False
    quote_all: bool = False


@dataclasses.dataclass
class DataCase:
    """A data set, what is said of it, and what the commands must make of it.

    Attributes:
      events: in file order.
      users: the values of each user's columns, by id; None without a table.
      items: of each item.
      sections: of the schema file, `interactions` without its path.
      unit: of the times as written.
      style: of all files.
      expect: what `data check` must do. Where it accepts, the meaning must be that of `events`.
      split: of the run.
      settings: further settings of the run, `key=value`.
      schema_text: the schema file, where it is not that of `sections`.
      cells: texts of the interactions' file in place of what `events` say, by row and column.
      schema_end: what is appended to it.
      unknown_meaning: the files were damaged so that they may say something else.
    """

    events: list[Event]
    users: dict[str, dict[str, str]] | None = None
    items: dict[str, dict[str, str]] | None = None
    sections: dict[str, Any] = dataclasses.field(default_factory=dict)
    unit: str = "s"
    style: FileStyle = dataclasses.field(default_factory=FileStyle)
    expect: Expect = "accept"
    split: str = "leave_one_out"
    settings: list[str] = dataclasses.field(default_factory=list)
    schema_text: str | None = None
    schema_end: str = ""
    unknown_meaning: bool = False
    cells: dict[tuple[int, int], str] = dataclasses.field(default_factory=dict)

    @property
    def filters(self) -> dict[str, Any]:
        """The schema's filters, made if there are none."""
        filters: dict[str, Any] = self.sections.setdefault("filters", {})
        return filters

    def rename(self, old: str, new: str, *, side: Literal["user", "item"]) -> None:
        """Gives a user or an item another id everywhere."""
        for event in self.events:
            if getattr(event, side) == old:
                setattr(event, side, new)
        table = self.users if side == "user" else self.items
        if table is not None and old in table:
            values = {(new if key == old else key): row for key, row in table.items()}
            table.clear()
            table.update(values)


def same_id(text: str) -> str:
    """What two spellings of one id have in common: nothing unseen around it, composed letters."""
    composed = unicodedata.normalize("NFC", text)
    seen = [n for n, letter in enumerate(composed) if not _unseen(letter)]
    return composed[seen[0] : seen[-1] + 1] if seen else ""


def _unseen(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) == "Cf"


def plain_case(rng: np.random.Generator) -> DataCase:
    """A sound data set: 12 to 20 users with 5 to 9 of some 40 items each, sometimes with tables."""
    users = [f"u{n}" for n in range(rng.integers(12, 21))]
    items = [f"i{n}" for n in range(rng.integers(36, 46))]
    events = []
    for number, user in enumerate(users):
        for step, item in enumerate(rng.choice(len(items), rng.integers(5, 10), replace=False)):
            micros = 1_000_000 * (_START + 1000 * step + number)
            events.append(Event(user, items[item], micros, float(rng.integers(1, 6))))
    case = DataCase([events[place] for place in rng.permutation(len(events))])
    case.sections = {"name": "generated", "interactions": {}}
    case.unit = str(rng.choice(["s", "s", "ms", "iso8601"]))
    if rng.random() < 0.4:
        _add_tables(case, users, items, rng)
    if rng.random() < 0.3:
        case.split = "temporal"
        case.expect = "either"
    style = case.style
    if rng.random() < 0.3:
        style.format = "parquet"
    else:
        style.separator = str(rng.choice([",", ",", ";", "\t", "|"]))
        style.newline = str(rng.choice(["\n", "\n", "\r\n"]))
        style.encoding = str(rng.choice(["utf-8", "utf-8", "latin-1", "utf-16"]))
        style.mark = style.encoding == "utf-8" and rng.random() < 0.2
        style.quote_all = rng.random() < 0.2
    return case


def _add_tables(
    case: DataCase, users: list[str], items: list[str], rng: np.random.Generator
) -> None:
    towns, years = ["Bern", "Köln", "[Rom]", ""], ["1990", "2001.5", "", "-3"]
    case.users = {
        user: {"town": str(rng.choice(towns)), "age": str(rng.integers(10, 90))}
        for user in [*users, "idle"]
    }
    case.items = {
        item: {"tags": "|".join(rng.choice(["a", "b", "ç"], rng.integers(0, 3))),
               "year": str(rng.choice(years))}
        for item in [*items, "idle"]
    }  # fmt: skip
    side = str(rng.choice(["federated", "centralized"]))
    case.sections["users"] = {
        "id": "user",
        "columns": {
            "town": {"kind": "categorical", "side": side},
            "age": {"kind": "numeric", "borders": [18, 35, 60]},
        },
    }
    case.sections["items"] = {
        "id": "item",
        "columns": {
            "tags": {"kind": "multi_categorical", "separator": "|"},
            "year": {"kind": "numeric"},
        },
    }
