"""`ecct cloud cycle`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.options import (
    counted,
    dataset_option,
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
        "ecct cloud cycle --out cycles --dataset synthetic --cycles 1",
        "ecct cloud cycle --out cycles --runtime tensorflow --cycles 2",
        "ecct cloud cycle --out cycles --http --devices 200",
    )
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="YAML file of the cycles; by default none, each setting has its own default.",
)
@set_option
@dataset_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the cycles; with that of a stopped chain, the command resumes it.",
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
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    show_default="all users",
    help="How many users have a device. Short for devices.",
)
@click.option(
    "--http",
    is_flag=True,
    help="Let devices reach the cloud by `ecct cloud serve` alone: transport=http and, since "
    "shared weights do not cross it, edge.shared=none.",
)
@click.option(
    "--device-processes",
    type=click.IntRange(min=1),
    show_default="2",
    help="Processes that the devices share, with --http.",
)
@click.option(
    "--deadline",
    "deadline_seconds",
    type=click.FloatRange(min=0, min_open=True),
    show_default="1800",
    help="Seconds that all devices may take for a cycle, with --http.",
)
def cycle(
    config_path: Path | None,
    overrides: tuple[str, ...],
    dataset: str | None,
    out: Path,
    cycles: int,
    seed: int | None,
    rounds_per_cycle: int | None,
    runtime: str | None,
    devices: int | None,
    http: bool,
    device_processes: int | None,
    deadline_seconds: float | None,
) -> None:
    """Run the whole loop without TFF: version, devices with exported files, uplinks, next version.

    The same --out resumes a chain after a kill; more --cycles continue it.
    """
    prepare("cloud")
    if http:
        prepare("serve")
    from ecct_tf.cycle import HttpOptions, load_cycle_config, run_cycles

    short = typed_options(
        {
            ("--dataset", "data.dataset"): dataset,
            ("--seed", "seed"): seed,
            ("--rounds-per-cycle", "rounds_per_cycle"): rounds_per_cycle,
            ("--runtime", "runtime"): runtime,
            ("--devices", "devices"): devices,
        }
    )
    config = load_cycle_config(config_path, overrides=[*overrides, *short], http=http)
    if http and config.transport != "http":
        raise click.UsageError(f"--http, but transport={config.transport} is set; leave one out")
    options = HttpOptions()
    if device_processes is not None:
        options = dataclasses.replace(options, processes=device_processes)
    if deadline_seconds is not None:
        options = dataclasses.replace(options, deadline_seconds=deadline_seconds)
    if options != HttpOptions() and config.transport != "http":
        raise click.UsageError("--device-processes and --deadline say how --http is done; add it")
    with going_on(lambda: f"Stopped. What was finished is kept; resume with: {same_command()}"):
        result = run_cycles(
            config, out, cycles=cycles, http=options if config.transport == "http" else None
        )
    _print(result)


def _print(result: CycleResult) -> None:
    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table, prose

    k = result.k
    sides = [(side, part) for part in ("validation", "test") for side in ("edge", "cloud")]
    way = " over HTTP, no shared weights" if result.transport == "http" else ""
    devices = counted(int(result.rows[-1]["devices"]), "device")
    table = Table(title=f"Cycles in {result.path.name}: {devices}{way}")
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
    console = open_console()
    print_table(table, console)
    for line in _targets(result):
        prose(line, console)
    click.echo(f"Folder: {result.path}")


def _targets(result: CycleResult) -> list[str]:
    """A sentence for each further target, of the newest cycle in which the test was measured."""
    from ecct_tf.cycle.measures import target_aucs

    rows = [row for row in result.rows if row["edge_test_hr"]]
    if not rows:
        return []
    first, last = target_aucs(rows[0]), target_aucs(rows[-1])
    lines = []
    for name, found in last.items():
        if found is None:
            lines.append(f"Target {name}: no AUC, its labels at the tested interactions are alike.")
            continue
        line = f"Target {name}: AUC {found[0]:.4f} by its own head, {found[1]:.4f} by the ranking "
        line += f"logit, on the devices after cycle {rows[-1]['cycle']}"
        before = first[name]
        if rows[0] is not rows[-1] and before is not None:
            line += f"; {before[0]:.4f} and {before[1]:.4f} after cycle {rows[0]['cycle']}"
        lines.append(f"{line}.")
    return lines
