"""`python -m benchmarks.peers`."""

import os
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.peers.environments import ENVIRONMENTS, install, python_of
from benchmarks.peers.processes import ServingProcess
from benchmarks.peers.table import AVERAGED, agreement, format_table

_HERE = Path(__file__).resolve().parent
_PEERS = {"fedjax": "fedjax_rounds.py"}


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
@click.option("--devices", default=512, type=click.IntRange(1), help="Devices in a round.")
@click.option("--cycles", default=5, type=click.IntRange(1), help="Turns over all rows.")
@click.option("--rounds", default=5, type=click.IntRange(1), help="Rounds of a row in a turn.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of data and weights.")
def run(devices: int, cycles: int, rounds: int, seed: int) -> None:
    """Measures all rows in turn, prints ratios, and checks that all computed the same."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "work.npz")
        ours = [sys.executable, _HERE / "ecct_rounds.py", file, str(devices), str(seed)]
        processes = [ServingProcess(ours, path=[_HERE.parents[1], _HERE.parent])]
        for name, script in _PEERS.items():
            python = python_of(name)
            if python is None:
                raise click.ClickException(
                    f"the environment of {name} is missing or old; make it with "
                    "`python -m benchmarks.peers install`"
                )
            processes.append(ServingProcess([python, _HERE / script, file]))
        for _ in range(cycles):
            for process in processes:
                for row in process.rows:
                    process.measure(row, rounds=rounds)
        for process in processes:
            process.close()
    rows = [row for process in processes for row in process.rows]
    versions = {key: value for process in processes for key, value in process.versions.items()}
    click.echo(
        f"{devices} devices, seed {seed}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; {', '.join(f'{key} {versions[key]}' for key in versions)}; "
        f"medians of {cycles} turns, {time.monotonic() - begun:.0f} s\n"
    )
    click.echo("\n".join(format_table(rows, devices=devices)))
    click.echo(f"\nFirst round, as in {AVERAGED}:")
    (averaged,) = (row for row in rows if row.name == AVERAGED)
    agreed = True
    for row in rows:
        same, said = agreement(row, averaged)
        agreed &= same
        click.echo(f"  {'same' if same else 'OTHER'}  {said}")
    sys.exit(0 if agreed else 1)


if __name__ == "__main__":
    main()
