"""Kills a run ten times at random moments and compares it with one that nothing disturbed.

Both are `ecct simulate` with the defaults on MovieLens-100K. Each time the run is killed
with SIGKILL, at a moment drawn from a seed anywhere between the start of its first round
and its end, and then resumed by `ecct resume`. In the end every metric of every round,
the results, the rank of each tested item and the last checkpoint (weights of all devices,
server and cloud, both optimisers' slots, the knowledge store) must be equal bit for bit.
"""

import csv
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

ECCT = [sys.executable, "-m", "ecct_tf.cli"]


@click.command()
@click.option("--kills", default=10, show_default=True)
@click.option("--rounds", default=30, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the run and of the moments.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
def main(kills: int, rounds: int, seed: int, overrides: tuple[str, ...]) -> None:
    """Run undisturbed, run with kills, and compare."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="ecct-kill-") as temporary:
        calm, troubled = Path(temporary) / "calm", Path(temporary) / "troubled"
        options = [f"--rounds={rounds}", f"--seed={seed}", "--set=baselines=false"]
        options += [f"--set={override}" for override in overrides]
        start = time.monotonic()
        _run(["simulate", *options, f"--out={calm}"])
        whole = time.monotonic() - start
        print(f"undisturbed: {rounds} rounds in {whole:.1f} s")
        command = ["simulate", *options, f"--out={troubled}"]
        for number in range(1, kills + 1):
            # Spread over the run, so that the ten moments do not all fall into its start.
            target = max(1, round(rounds * number / (kills + 1)))
            done = _kill(command, troubled, rounds=target, delay=rng.uniform(0, whole / rounds))
            print(f"kill {number}: {done} of {rounds} rounds in metrics.csv")
            command = ["resume", str(troubled)]
        _run(command)
        differing = [name for name, same in _comparison(calm, troubled).items() if not same]
    if differing:
        print(f"DIFFERENT: {', '.join(differing)}")
        sys.exit(1)
    print(
        f"after {kills} kills equal bit for bit: metrics of {rounds} rounds, results, ranks, "
        "last checkpoint"
    )


def _run(arguments: list[str]) -> None:
    done = subprocess.run(
        [*ECCT, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"{' '.join(arguments)} failed:\n{done.stderr}")


def _kill(arguments: list[str], run: Path, *, rounds: int, delay: float) -> int:
    """Starts, waits for `rounds` rows and `delay` seconds more, kills; returns the rows."""
    process = subprocess.Popen(
        [*ECCT, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and _rows(run) < rounds:
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        raise click.ClickException("the run ended before it could be killed; give more --rounds")
    return _rows(run)


def _rows(run: Path) -> int:
    path = run / "metrics.csv"
    return max(path.read_text().count("\n") - 1, 0) if path.exists() else 0


def _comparison(one: Path, other: Path) -> dict[str, bool]:
    def metrics(run: Path) -> list[dict[str, str]]:
        with (run / "metrics.csv").open() as file:
            return [
                {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
            ]

    def last_checkpoint(run: Path) -> bytes:
        return max((run / "checkpoints").iterdir()).read_bytes()

    same = {
        name: (one / name).read_bytes() == (other / name).read_bytes()
        for name in ("results.csv", "devices.csv", "candidates_test.npz")
    }
    same["metrics.csv"] = metrics(one) == metrics(other)
    same["last checkpoint"] = last_checkpoint(one) == last_checkpoint(other)
    return same


if __name__ == "__main__":
    main()
