"""What is done to the schema file: keys, kinds, settings out of range, and YAML's traps."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.fuzz.data_case import DataCase

__all__ = ["SCHEMA_ALTERATIONS"]

Alteration = Callable[[DataCase, np.random.Generator], None]

_ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 2**31, 2**63, 10**40, 1.5, float("nan"), float("inf"), "", " ", "x",
    [], ["x"], {}, {"x": 1}, "2024-01-01", "\x00", "a" * 100_000,
)  # fmt: skip
# Texts that YAML reads as something else, or as nothing at all.
_TRAPS = (
    "interactions: &a [*a]",
    "interactions: !!python/object/apply:os.getcwd []",
    "name: a\n\tinteractions: b",
    "name: 'unclosed",
    "name: a\n---\nname: b",
    "- name\n- interactions",
    "42",
    "",
    "null",
    "? [a, b]\n: c",
    "{name: x, interactions: {path: r.csv}, <<: [1]}",
    "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nname: [*c,*c]",
    "%YAML 9.9\n---\nname: x",
    'name: "\\ud800"\ninteractions: {path: r.csv}',
    "name: x\ninteractions: {path: .}",
    "name: x\ninteractions: {path: /dev/null, format: csv}",
    'name: x\ninteractions: {path: "r\\0.csv"}',
    "[" * 3000,
    "\x07name: x",
    "name: 0o17\n1: 2\non: off",
    "name: !!timestamp 2024-99-99",
    "name: !!int x",
    "name: !!float {}",
    "name: !!binary '*'",
)


def _missing_key(case: DataCase, rng: np.random.Generator) -> None:
    key = str(rng.choice(["name", "interactions"]))
    del case.sections[key]
    case.expect = "refuse"


def _unknown_key(case: DataCase, rng: np.random.Generator) -> None:
    key: Any = ["usres", 1, None, True, 1.5, "päth"][rng.integers(6)]
    target = case.sections if rng.random() < 0.5 else case.sections["interactions"]
    target[key] = "x"
    case.expect = "refuse"


def _odd_value(case: DataCase, rng: np.random.Generator) -> None:
    """Any value at any place. Where it is taken, the data must be the same."""
    paths = list(_paths(case.sections))
    *parents, last = paths[rng.integers(len(paths))]
    section = case.sections
    for name in parents:
        section = section[name]
    section[last] = _ODD[rng.integers(len(_ODD))]
    case.expect = "either"
    case.unknown_meaning = parents[:1] == ["filters"] or last == "filters" or not parents


def _odd_option(case: DataCase, rng: np.random.Generator) -> None:
    """Options that the schema did not have."""
    name = str(rng.choice(["separator", "encoding", "format", "timestamp_unit", "user", "path"]))
    text = rng.choice(["", ",,", "\n", '"', "utf-16", "utf-7", "idna", "hex", "rot13", "zlib",
                       "cp037", "undefined", "csv", "parquet", "xlsx", "s", "timestamp", "item",
                       "..", "nothing.csv", "\t"])  # fmt: skip
    case.sections["interactions"][name] = str(text)
    case.expect = "either"
    case.unknown_meaning = name in ("timestamp_unit", "user", "encoding")


def _absurd_filters(case: DataCase, rng: np.random.Generator) -> None:
    key = str(rng.choice(["min_user_interactions", "min_item_interactions"]))
    value: Any = [10**6, 2**63, 10**40, -1, 1.5, float("inf"), float("nan"), "3", True][
        rng.integers(9)
    ]
    case.filters[key] = value
    case.expect = "refuse"


def _repeated_key(case: DataCase, rng: np.random.Generator) -> None:
    """A key that stands twice: YAML would keep the last one without a word."""
    case.filters["duplicates"] = "keep_first"
    repeated = str(rng.choice(["filters: {duplicates: keep_all}", "name: other", "filters: {}"]))
    case.schema_end = f"{repeated}\n"
    case.expect = "refuse"


def _trap(case: DataCase, rng: np.random.Generator) -> None:
    case.schema_text = _TRAPS[rng.integers(len(_TRAPS))]
    case.expect = "refuse"


def _paths(values: dict[str, Any], *before: str) -> Any:
    for key, value in values.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from _paths(value, *before, key)


SCHEMA_ALTERATIONS: dict[str, Alteration] = {
    "schema: missing key": _missing_key,
    "schema: unknown key": _unknown_key,
    "schema: odd value": _odd_value,
    "schema: odd option": _odd_option,
    "schema: absurd filter": _absurd_filters,
    "schema: repeated key": _repeated_key,
    "schema: YAML trap": _trap,
}
