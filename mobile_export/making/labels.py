"""What ids mean, and what a file tells of the private columns that it reads."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ecct_tf.data.numbers import LARGEST_VALUE, NUMBER_ROWS, STEPS, Scaling
from ecct_tf.edge import EdgeModel
from ecct_tf.errors import ExportError

__all__ = ["Labels", "about_profile", "check_profile", "column_files", "number_rule"]


@dataclasses.dataclass(frozen=True)
class Labels:
    """What ids mean, for the app.

    Attributes:
      profile: for each private category in order, its name and the values of rows 1, 2, …
      items: the token of items 1, 2, …; empty when the app knows ids anyway.
      provenance: where the weights come from, for the metadata.
      fingerprints: of what the file is made of, by the names of `origin.FINGERPRINTS`; empty
        without a run.
      numbers: for each private number in order, its name and rule.
      sets: for each private column of several values in order, its name and values.
    """

    profile: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    items: Sequence[str] = ()
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fingerprints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    numbers: Mapping[str, Scaling] = dataclasses.field(default_factory=dict)
    sets: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def about_profile(model: EdgeModel, labels: Labels) -> list[dict[str, Any]]:
    """The columns of the input `profile`; of a number also how its code is made.

    Each value of a column of several values is a column of its own, 1 for who has it.
    """
    shape = model.profile
    names = list(labels.profile) or [f"column_{index}" for index in range(len(shape.sizes))]
    files = column_files(labels)
    categories = [
        {"name": name, "rows": rows, "unknown_row": 0, "file": files.get(name)}
        for name, rows in zip(names, shape.sizes, strict=True)
    ]
    rules = list(labels.numbers.items()) or [
        (f"number_{index}", Scaling(log=True)) for index in range(shape.numbers)
    ]
    numbers = [
        {
            "name": name,
            "rows": NUMBER_ROWS,
            "unknown_row": 0,
            "file": None,
            "number": number_rule(rule),
        }
        for name, rule in rules[: shape.numbers]
    ]
    known = labels.sets or {
        f"set_{index}": [str(value) for value in range(1, size + 1)]
        for index, size in enumerate(shape.sets)
    }
    sets = [
        {
            "name": f"{name}: {value}",
            "rows": 2,
            "unknown_row": 0,
            "file": None,
            "set": {"column": name, "value": value},
        }
        for name, values in list(known.items())[: len(shape.sets)]
        for value in values
    ]
    return [*categories, *numbers, *sets]


def number_rule(scaling: Scaling) -> dict[str, Any]:
    """The rule of a number as a file tells it, from which a device makes its code."""
    mean, scale = scaling.linear
    return {
        "log": scaling.log,
        "mean": mean,
        "scale": scale,
        "largest": LARGEST_VALUE,
        "steps": STEPS,
    }


def column_files(labels: Labels) -> dict[str, str]:
    """For each profile column the file with its vocabulary, whose name is no path."""
    files: dict[str, str] = {}
    for name in labels.profile:
        plain = file = re.sub(r"[^\w .()+-]", "_", name).strip(" .") or "_"
        while f"profile_{file}.txt" in files.values():
            file = f"{plain}_{len(files)}"
        files[name] = f"profile_{file}.txt"
    return files


def check_profile(model: EdgeModel, labels: Labels) -> None:
    """Refuses labels of private columns with `ExportError` that are not those of the model."""
    sizes = tuple(len(values) + 1 for values in labels.profile.values())
    if labels.profile and sizes != model.spec.profile_sizes:
        raise ExportError(
            f"export: the edge model has profile columns of {model.spec.profile_sizes} rows, the "
            f"vocabularies make {sizes}; give one vocabulary a column, in their order"
        )
    if labels.numbers and len(labels.numbers) != model.spec.profile_numbers:
        raise ExportError(
            f"export: the edge model was built for {model.spec.profile_numbers} private numbers, "
            f"got rules of {len(labels.numbers)}; give one rule a number, in their order"
        )
    sets = tuple(map(len, labels.sets.values()))
    if labels.sets and sets != model.spec.profile_sets:
        raise ExportError(
            f"export: the edge model was built for private columns of {model.spec.profile_sets} "
            f"values, got {sets}; give the values of each column of several, in their order"
        )
    names = [*labels.profile, *labels.numbers]
    names += [f"{name}: {value}" for name, values in labels.sets.items() for value in values]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ExportError(
            f"export: expected different names of private columns and values, {sorted(repeated)} "
            "occur more than once; rename a column in the schema"
        )
