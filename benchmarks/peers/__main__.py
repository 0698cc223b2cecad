"""`python -m benchmarks.peers`."""

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks.peers.environments import ENVIRONMENTS, install, python_of
from benchmarks.peers.processes import RowResult, ServingProcess
from benchmarks.peers.table import AVERAGED, agreement, format_table, goal_lines, plot

_HERE = Path(__file__).resolve().parent


class _Peer(NamedTuple):
    environment: str
    script: str
    alone: bool = False
    """Whether it runs when all others have ended: Ray's processes work while they wait."""


_PEERS = {
    "fedjax": _Peer("fedjax", "fedjax_rounds.py"),
    "pfl": _Peer("torch", "pfl_rounds.py"),
    "flower": _Peer("torch", "flower_rounds.py", alone=True),
}


class _Result(NamedTuple):
    rows: list[RowResult]
    versions: dict[str, str]


@click.group()
def main() -> None:
    """A federated round of this library beside one of other libraries."""


@main.command("install")
def install_command() -> None:
    """Makes the environments of the peers beside this file, where they are missing."""
    for name in ENVIRONMENTS:
        click.echo(f"Installing benchmarks/peers/.venv-{name}.")
        install(name)


@main.command(context_settings={"show_default": True})
@click.option(
    "--devices",
    default=[512],
    multiple=True,
    type=click.IntRange(1),
    help="In a round; repeatable.",
)
@click.option("--cycles", default=5, type=click.IntRange(1), help="Turns over all rows.")
@click.option("--rounds", default=5, type=click.IntRange(1), help="Rounds of a row in a turn.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of data and weights.")
@click.option(
    "--peer",
    "peers",
    default=list(_PEERS),
    multiple=True,
    type=click.Choice(list(_PEERS)),
    help="Beside ours and stock TFF; repeatable.",
)
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="PNG, by participants.")
def run(
    devices: tuple[int, ...],
    cycles: int,
    rounds: int,
    seed: int,
    peers: tuple[str, ...],
    picture: Path | None,
) -> None:
    """Measures all rows in turn, prints ratios, and checks that all computed the same."""
    chosen = {name: peer for name, peer in _PEERS.items() if name in peers}
    for name, peer in chosen.items():
        if python_of(peer.environment) is None:
            raise click.ClickException(
                f"the environment of {name} is missing or old; make it with "
                "`python -m benchmarks.peers install`, or name the others with --peer"
            )
    agreed = True
    results: dict[int, list[RowResult]] = {}
    for number in devices:
        begun = time.monotonic()
        rows, versions = _measured(
            chosen.values(), devices=number, cycles=cycles, rounds=rounds, seed=seed
        )
        results[number] = rows
        click.echo(
            f"{number} devices, seed {seed}, {len(os.sched_getaffinity(0))} cores, load "
            f"{os.getloadavg()[0]:.1f}; medians of {cycles} turns; "
            f"{time.monotonic() - begun:.0f} s in all\n"
            f"{', '.join(f'{package} {version}' for package, version in versions.items())}\n"
        )
        click.echo("\n".join(format_table(rows, devices=number)))
        click.echo("\n" + "\n".join(goal_lines(rows)))
        for table, name in AVERAGED.items():
            click.echo(f"\nFirst round, as in {name}:")
            (averaged,) = (row for row in rows if row.name == name)
            for row in rows:
                if row.table is table:
                    same, said = agreement(row, averaged)
                    agreed &= same
                    click.echo(f"  {'same' if same else 'OTHER'}  {said}")
        click.echo()
    if picture is not None:
        plot(picture, results)
    sys.exit(0 if agreed else 1)


def _measured(
    peers: Iterable[_Peer], *, devices: int, cycles: int, rounds: int, seed: int
) -> _Result:
    result = _Result([], {})

    def take_turns(processes: list[ServingProcess]) -> None:
        for _ in range(cycles):
            for process in processes:
                for row in process.rows:
                    process.measure(row, rounds=rounds)
        for process in processes:
            process.close()
            result.rows.extend(process.rows)
            result.versions.update(process.versions)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "work.npz")
        ours = [sys.executable, _HERE / "ecct_rounds.py", file, str(devices), str(seed)]
        processes = [ServingProcess(ours, path=[_HERE.parents[1], _HERE.parent])]
        for peer in peers:
            command = [python_of(peer.environment), _HERE / peer.script, file]
            if peer.alone:
                take_turns(processes)
                processes = []
            processes.append(ServingProcess(command, path=[_HERE]))
        take_turns(processes)
    return result


if __name__ == "__main__":
    main()
