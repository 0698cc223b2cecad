"""`ecct cloud cycle`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.options import (
    examples,
    prepare,
    set_option,
    typed_options,
)
from ecct_tf.stopping import going_on, same_command

if TYPE_CHECKING:
    from ecct_tf.cycle import CycleResult

__all__ = ["cycle"]


@click.command(
    epilog=examples(
        "ecct cloud cycle --out cycles --cycles 3",
        "ecct cloud cycle --out cycles --runtime tensorflow --cycles 2",
    )
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="YAML file of the cycles; by default none, each setting has its own default.",
)
@set_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the cycles; with that of a stopped chain it goes on where it was.",
)
@click.option(
    "--cycles", default=3, show_default=True, type=click.IntRange(min=1), help="How many in all."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    show_default="0",
    help="Seed of all randomness. Short for seed.",
)
@click.option(
    "--rounds-per-cycle",
    type=click.IntRange(min=1),
    show_default="10",
    help="Rounds of local training in a cycle. Short for rounds_per_cycle.",
)
@click.option(
    "--runtime",
    type=click.Choice(["litert", "tensorflow"]),
    show_default="litert",
    help="What runs the devices' files. Short for runtime.",
)
def cycle(
    config_path: Path | None,
    overrides: tuple[str, ...],
    out: Path,
    cycles: int,
    seed: int | None,
    rounds_per_cycle: int | None,
    runtime: str | None,
) -> None:
    """Run the whole loop without TFF: version, devices with exported files, uplinks, next version.

    Run again with the same --out after a kill, it goes on; with more --cycles it goes further.
    """
    prepare("cloud")
    from ecct_tf.cycle import load_cycle_config, run_cycles

    short = typed_options(
        {
            ("--seed", "seed"): seed,
            ("--rounds-per-cycle", "rounds_per_cycle"): rounds_per_cycle,
            ("--runtime", "runtime"): runtime,
        }
    )
    config = load_cycle_config(config_path, overrides=[*overrides, *short])
    with going_on(lambda: f"Stopped. What was finished is kept; resume with: {same_command()}"):
        result = run_cycles(config, out, cycles=cycles)
    _print(result)


def _print(result: CycleResult) -> None:
    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table

    k = result.k
    sides = [(side, part) for part in ("validation", "test") for side in ("edge", "cloud")]
    table = Table(title=f"Cycles in {result.path.name}")
    for name in ("cycle", "in force", "uplinks", "refused"):
        table.add_column(name, justify="right")
    for side, part in sides:
        table.add_column(f"{side}\n{part}\nHR@{k}  NDCG@{k}", justify="right")
    table.add_column("KiB a\ndevice", justify="right")
    for row in result.rows:
        quality = [
            f"{float(row[f'{side}_{part}_hr']):.3f}   {float(row[f'{side}_{part}_ndcg']):.3f}"
            if row[f"{side}_{part}_hr"]
            else ""
            for side, part in sides
        ]
        table.add_row(
            row["cycle"],
            f"version {row['version']}" + ("" if int(row["promoted"]) else " (kept)"),
            row["uplinks_read"],
            row["uplinks_rejected"],
            *quality,
            f"{result.kib_per_device(row):,.1f}",
        )
    print_table(table, open_console())
    click.echo(f"Folder: {result.path}")
