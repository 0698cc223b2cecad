"""`ecct data`: what is in somebody's own files."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.options import wide_console

if TYPE_CHECKING:
    from rich.console import Console

    from ecct_tf.config import SplitName
    from ecct_tf.data import DataReport, SplitReport

__all__ = ["data"]

_SEEN = {
    ("user", "federated"): "the user's own device, nobody else",
    ("user", "centralized"): "the cloud",
    ("item", "centralized"): "the cloud, and in its item table every device",
}


@click.group()
def data() -> None:
    """Look at your own data before you train on it."""


@data.command()
@click.argument("schema", type=click.Path(path_type=Path))
@click.option(
    "--split",
    "split_name",
    type=click.Choice(["leave_one_out", "temporal"]),
    default="leave_one_out",
    show_default=True,
    help="As data.split of a run.",
)
@click.option("--validation-fraction", type=float, default=0.1, show_default=True)
@click.option("--test-fraction", type=float, default=0.1, show_default=True)
@click.option("--recent-fraction", type=float, default=0.2, show_default=True)
@click.option(
    "--negatives",
    type=int,
    default=99,
    show_default=True,
    help="As evaluation.negatives of a run: whether there are enough items to draw them.",
)
def check(
    schema: Path,
    split_name: SplitName,
    validation_fraction: float,
    test_fraction: float,
    recent_fraction: float,
    negatives: int,
) -> None:
    """Read the files that SCHEMA describes and tell what a run would make of them.

    Ends with code 2 and the reason if a run could not use them.
    """
    from ecct_tf.config import DataConfig
    from ecct_tf.data import PARTS, evaluation_candidates, load_files, split_dataset, split_report

    config = DataConfig(
        dataset="files",
        schema=str(schema),
        split=split_name,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        recent_fraction=recent_fraction,
    )
    dataset, report = load_files(schema)
    # Ids and headers are shown as they are: brackets in them are no markup.
    console = wide_console()
    _print_files(console, report)
    split = split_dataset(config, dataset)
    summary = split_report(dataset, split)
    _print_split(console, summary)
    _print_sides(console, report, summary)
    for part in PARTS:
        evaluation_candidates(split, part=part, negatives=negatives, seed=0)
    settings = f"--set data.schema={schema}"
    if split_name != "leave_one_out":
        settings += f" --set data.split={split_name}"
    console.print("\nTrain on it:", style="bold")
    # As plain text: a command to copy must not be broken up.
    click.echo(f"  ecct simulate --dataset files {settings}")


def _print_files(console: Console, report: DataReport) -> None:
    from rich.table import Table

    table = Table("file", "holds", "rows", title=f"{report.name} ({report.schema})")
    for file in report.files:
        table.add_row(file.path, file.section, f"{file.rows:,}")
    console.print(table)
    if report.columns:
        table = Table("column", "of", "kind", "values", "missing", "side", "who sees it")
        table.title = "Feature columns"
        for column in report.columns:
            table.add_row(
                column.name,
                column.table,
                column.kind,
                "numbers" if column.kind == "numeric" else f"{column.vocabulary:,}",
                f"{column.missing:,}",
                column.side,
                _SEEN[column.table, column.side],
            )
        console.print(table)
    else:
        console.print("No feature columns: devices have no profile, items only their ids.")
    table = Table("left out", "interactions", "users", "items", title="Filters")
    for count in report.filters:
        table.add_row(count.rule, f"{count.rows:,}", f"{count.users:,}", f"{count.items:,}")
    if report.filters:
        console.print(table)
    else:
        console.print("No filters: every row is kept, repeated ones too.")
    console.print(
        f"{report.interactions:,} interactions of {report.users:,} users with {report.items:,} "
        f"items, from {_date(report.first_second)} to {_date(report.last_second)}."
    )
    if len(report.files) > 1:
        console.print(
            f"{report.idle_users:,} users and {report.idle_items:,} items of the tables have no "
            f"interaction. {report.removed_table_rows:,} table rows were removed by a minimum."
        )


def _print_split(console: Console, summary: SplitReport) -> None:
    from rich.table import Table

    from ecct_tf.data import PARTS

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
    console.print(table)
    if summary.cuts is not None:
        training, validation = (_date(second) for second in summary.cuts)
        console.print(f"Training ends {training}, validation ends {validation}, then test.")
    rule = "are not evaluated" if summary.split == "temporal" else "are evaluated, and are easy"
    console.print(
        f"Repeated: the user had touched the item before; such interactions {rule}. "
        "Unseen: nobody has the item in training."
    )
    told = f"{summary.devices:,} devices can take part. Each needs {summary.needed}; "
    told += f"{summary.excluded_users:,} users have fewer and are excluded"
    if summary.excluded_users:
        examples = ", ".join(f"{token} ({count})" for token, count in summary.excluded_examples)
        told += f", with all their {summary.excluded_interactions:,} interactions: {examples}"
        told += ", …" if summary.excluded_users > len(summary.excluded_examples) else ""
    console.print(f"{told}.")


def _print_sides(console: Console, report: DataReport, summary: SplitReport) -> None:
    def names(table: str, side: str) -> str:
        chosen = [c.name for c in report.columns if (c.table, c.side) == (table, side)]
        return ", ".join(chosen) or "none"

    console.print("\nThe cloud will see", style="bold")
    console.print(f"  {summary.older:,} older interactions of {summary.devices:,} users")
    console.print(f"  item columns: {names('item', 'centralized')}")
    console.print(f"  user columns: {names('user', 'centralized')}")
    console.print("A device will see", style="bold")
    console.print(
        "  its own user's interactions, older and recent "
        f"({(summary.older + summary.recent) / max(summary.devices, 1):.1f} on average)"
    )
    console.print(f"  its own user's columns: {names('user', 'federated')}")
    console.print("  the item table that the cloud publishes")


def _date(second: int) -> str:
    return f"{datetime.datetime.fromtimestamp(second, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
