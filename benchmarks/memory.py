"""Memory of Python and of TFF's worker over a long run: round 20 against the last round.

The run is ECCT with its defaults on MovieLens-100K. Memory is the resident set of the
process itself and of the TFF worker that it started, after garbage collection.
"""

import gc
import sys
from typing import Any

import click
import psutil

from ecct_tf.config import load_config
from ecct_tf.federated import federated_runtime
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.loop import Callback, RoundResult, run_rounds
from ecct_tf.simulation.methods import build_algorithm

LIMIT = 1.05


class MemoryProbe(Callback):
    """Reads the resident set of this process and of its children, in bytes."""

    def __init__(self, every: int) -> None:
        self._every = every
        self.seen: dict[int, tuple[int, int]] = {}

    def on_round(self, result: RoundResult, state: Any) -> None:
        del state
        if result.round_number % self._every:
            return
        gc.collect()
        process = psutil.Process()
        own = process.memory_info().rss
        workers = sum(child.memory_info().rss for child in process.children(recursive=True))
        self.seen[result.round_number] = (own, workers)
        mib = 2**20
        print(
            f"round {result.round_number:4d}: Python {own / mib:7.1f} MiB, "
            f"worker {workers / mib:7.1f} MiB",
            flush=True,
        )


@click.command()
@click.option("--rounds", default=200, show_default=True)
@click.option("--first", default=20, show_default=True, help="Round to compare with.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
def main(rounds: int, first: int, overrides: tuple[str, ...]) -> None:
    """Run, print memory every few rounds, and fail when it has grown by more than 5 %."""
    config = load_config(overrides=[f"rounds={rounds}", "baselines=false", *overrides])
    experiment = build_experiment(config)
    algorithm = build_algorithm(experiment)
    probe = MemoryProbe(first)
    with federated_runtime():
        run_rounds(algorithm, experiment, callbacks=[probe])
    start, end = probe.seen[first], probe.seen[max(probe.seen)]
    grown = False
    for name, before, after in zip(
        ("Python", "worker", "both"), _all(start), _all(end), strict=True
    ):
        ratio = after / before
        grown |= ratio > LIMIT
        print(f"{name}: round {max(probe.seen)} / round {first} = {ratio:.3f}")
    if grown:
        sys.exit(f"memory grew by more than {LIMIT - 1:.0%}")


def _all(pair: tuple[int, int]) -> tuple[int, int, int]:
    return (*pair, sum(pair))


if __name__ == "__main__":
    main()
