"""`ecct data`: what is in somebody's own files."""

from __future__ import annotations

import datetime
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.groups import Group
from ecct_tf.commands.options import (
    config_option,
    counted,
    examples,
    set_option,
    setting_option,
    shown_command,
    typed_options,
)
from ecct_tf.config import SPLITS

if TYPE_CHECKING:
    from rich.console import Console

    from ecct_tf.data import DataReport, SplitReport

__all__ = ["data"]

_LONG = {
    "keep_first": "data.keep_first",
    "keep_last": "data.keep_last",
    "split": "data.split",
    "validation_fraction": "data.validation_fraction",
    "test_fraction": "data.test_fraction",
    "recent_fraction": "data.recent_fraction",
    "max_item_share": "data.max_item_share",
    "negatives": "evaluation.negatives",
    "k": "evaluation.k",
}
# In the table of columns, what kinds have that have no vocabulary.
_WITHOUT_VALUES = {"numeric": "numbers", "vector": "vectors"}
_SEEN = {
    ("user", "federated"): "only the user's own device",
    ("user", "centralized"): "the cloud",
    ("item", "centralized"): "the cloud, and in its item table every device",
    ("interaction", "federated"): "only the user's own device",
}
# Columns of a terminal below which who sees a column would be folded into a few letters a line.
_ROOM_FOR_SEEN = 100


@click.group(cls=Group)
def data() -> None:
    """Look at your own data before you train on it."""


@data.command(
    epilog=examples(
        "ecct data check schema.yaml",
        "ecct data check schema.yaml --split temporal --negatives 20",
    )
)
@click.argument("schema", type=click.Path(path_type=Path))
@config_option
@set_option
@setting_option(
    "--keep-first", "data.keep_first", "Earliest interactions of each user that are kept", kind=int
)
@setting_option(
    "--keep-last", "data.keep_last", "Latest interactions of each user that are kept", kind=int
)
@setting_option("--split", "data.split", "How time is split", kind=click.Choice(SPLITS))
@setting_option(
    "--validation-fraction",
    "data.validation_fraction",
    "Share of the interactions to validate on, in a temporal split",
    kind=float,
)
@setting_option(
    "--test-fraction",
    "data.test_fraction",
    "Share of the interactions to test on, in a temporal split",
    kind=float,
)
@setting_option(
    "--recent-fraction",
    "data.recent_fraction",
    "Share of a user's training part that only the device has",
    kind=float,
)
@setting_option(
    "--max-item-share",
    "data.max_item_share",
    "Largest share of the items that a user may have touched",
    kind=float,
)
@setting_option(
    "--negatives", "evaluation.negatives", "Candidates to rank with the held-out item", kind=int
)
@setting_option("--k", "evaluation.k", "Length of the list that is evaluated", kind=int)
def check(
    schema: Path, config_path: Path | None, overrides: tuple[str, ...], **short: str | float | None
) -> None:
    """Read the files that SCHEMA describes and show how a run would use them.

    The settings are those of `ecct simulate`, and the checks are those of a run. Exits with code
    2 and the reason if a run could not use the data.
    """
    from ecct_tf.config import load_config
    from ecct_tf.data import load_files, shortened, skewed, split_dataset, split_report
    from ecct_tf.simulation.experiment import build_experiment
    from ecct_tf.terminal import open_console, prose

    # In quotes of YAML, since a path may hold anything.
    place = json.dumps(str(schema), ensure_ascii=False)
    settings = [
        *overrides,
        *typed_options(
            {(f"--{key.replace('_', '-')}", _LONG[key]): value for key, value in short.items()}
        ),
    ]
    config = load_config(
        config_path, overrides=[*settings, "data.dataset=files", f"data.schema={place}"]
    )
    dataset, report = load_files(schema)
    dataset, left_out = shortened(
        dataset, keep_first=config.data.keep_first, keep_last=config.data.keep_last
    )
    report = report.shortened(dataset, left_out)
    # Ids and headers are shown as they are: brackets in them are no markup.
    console = open_console()
    _print_files(console, report)
    thinned = skewed(
        dataset,
        split_dataset(config.data, dataset),
        config.data.skew,
        recent_fraction=config.data.recent_fraction,
        seed=config.seed,
    )
    summary = split_report(*thinned)
    _print_split(console, summary)
    _print_sides(console, report, summary)
    build_experiment(config, dataset=dataset)
    prose("\nTrain on it:", console, style="bold")
    # As plain text: a command to copy must not be broken up.
    given = ["--config", str(config_path)] if config_path else []
    given += ["--dataset", "files", "--set", f"data.schema={schema}"]
    given += [part for setting in settings for part in ("--set", setting)]
    click.echo(f"  {shown_command()} simulate {shlex.join(given)}")


def _print_files(console: Console, report: DataReport) -> None:
    from rich.table import Table

    from ecct_tf.terminal import print_table, prose

    table = Table("file", "holds", "rows", title=f"{report.name} ({report.schema})")
    for file in report.files:
        table.add_row(file.path, file.section, f"{file.rows:,}")
    print_table(table, console)
    if report.columns:
        headers = ["column", "of", "kind", "values", "missing", "side", "who sees it"]
        # Where there is no room for a column of sentences, they stand below.
        narrow = console.width < _ROOM_FOR_SEEN
        table = Table(*headers[:-1] if narrow else headers, title="Feature columns")
        for column in report.columns:
            cells = (
                column.name,
                column.table,
                column.kind,
                column.rule or _WITHOUT_VALUES.get(column.kind) or f"{column.vocabulary:,}",
                f"{column.missing:,}",
                column.side,
                _SEEN[column.table, column.side],
            )
            table.add_row(*cells[: len(table.columns)])
        print_table(table, console)
        kinds = dict.fromkeys((column.table, column.side) for column in report.columns)
        for kind in kinds if narrow else ():
            prose(f"Who sees {kind[0]} columns, {kind[1]}: {_SEEN[kind]}.", console)
    else:
        prose("No feature columns: devices have no profile, items only their ids.", console)
    table = Table("left out", "interactions", "users", "items", title="Filters")
    for count in report.filters:
        table.add_row(count.rule, f"{count.rows:,}", f"{count.users:,}", f"{count.items:,}")
    if report.filters:
        print_table(table, console)
    else:
        prose("No filters: every row is kept, repeated ones too.", console)
    prose(
        f"{counted(report.interactions, 'interaction')} of {counted(report.users, 'user')} with "
        f"{counted(report.items, 'item')}, from {_date(report.first_second)} to "
        f"{_date(report.last_second)}.",
        console,
    )
    for note in report.notes:
        prose(f"Note: {note}.", console)
    if len(report.files) > 1:
        prose(
            f"{report.idle_users:,} users and {report.idle_items:,} items of the tables have no "
            f"interaction. {report.removed_table_rows:,} table rows were removed by a minimum.",
            console,
        )


def _print_split(console: Console, summary: SplitReport) -> None:
    from rich.table import Table

    from ecct_tf.data import PARTS
    from ecct_tf.terminal import print_table, prose

    table = Table("part", "interactions", "evaluated", "users", "repeated", "unseen")
    table.title = f"Split {summary.split}"
    table.add_row("older", f"{summary.older:,}", "", "", "", "")
    table.add_row("recent", f"{summary.recent:,}", "", "", "", "")
    for part in PARTS:
        table.add_row(
            part,
            f"{summary.held_out[part]:,}",
            f"{summary.evaluated[part]:,}",
            f"{summary.tested_users[part]:,}",
            f"{summary.repeated[part]:,}",
            f"{summary.unseen[part]:,}",
        )
    print_table(table, console)
    if summary.cuts is not None:
        training, validation = (_date(second) for second in summary.cuts)
        prose(f"Training ends {training}, validation ends {validation}, then test.", console)
    rule = "are not evaluated" if summary.split == "temporal" else "are evaluated, and are easy"
    prose(
        f"Repeated: the user had touched the item before; such interactions {rule}. "
        "Unseen: nobody has the item in training.",
        console,
    )
    told = f"{counted(summary.devices, 'device')} can take part. Each needs {summary.needed}; "
    told += f"{summary.excluded_users:,} users have fewer and are excluded"
    if summary.excluded_users:
        told += _with_examples(
            summary.excluded_users, summary.excluded_interactions, summary.excluded_examples
        )
    prose(f"{told}.", console)
    if summary.heavy_users:
        told = f"{summary.heavy_users:,} users touched more than data.max_item_share of the items "
        told += "and are left out"
        told += _with_examples(
            summary.heavy_users, summary.heavy_interactions, summary.heavy_examples
        )
        prose(f"{told}.", console)


def _with_examples(users: int, interactions: int, examples: tuple[tuple[str, int], ...]) -> str:
    shown = ", ".join(f"{token} ({count})" for token, count in examples)
    more = ", …" if users > len(examples) else ""
    return f", with all their {interactions:,} interactions: {shown}{more}"


def _print_sides(console: Console, report: DataReport, summary: SplitReport) -> None:
    from ecct_tf.terminal import prose

    def names(table: str, side: str) -> str:
        chosen = [c.name for c in report.columns if (c.table, c.side) == (table, side)]
        return ", ".join(chosen) or "none"

    prose("\nThe cloud will see", console, style="bold")
    prose(
        f"{counted(summary.older, 'older interaction')} of {counted(summary.devices, 'user')}",
        console,
        indent="  ",
    )
    prose(f"item columns: {names('item', 'centralized')}", console, indent="  ")
    prose(f"user columns: {names('user', 'centralized')}", console, indent="  ")
    prose("A device will see", console, style="bold")
    prose(
        "its own user's interactions, older and recent "
        f"({(summary.older + summary.recent) / max(summary.devices, 1):.1f} on average)",
        console,
        indent="  ",
    )
    prose(f"its own user's columns: {names('user', 'federated')}", console, indent="  ")
    if any(column.table == "interaction" for column in report.columns):
        told = f"columns of its own user's interactions: {names('interaction', 'federated')}"
        prose(told, console, indent="  ")
    prose("the item table that the cloud publishes", console, indent="  ")


def _date(second: int) -> str:
    return f"{datetime.datetime.fromtimestamp(second, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
