"""What a round costs as the population grows, while as many devices take part as before.

Each population is a run of its own process on the synthetic data set, to its end: as many devices a
round, as many evaluated, a checkpoint after each round. The table gives seconds of processor time,
which other work on the machine does not change, and memory, with ratios to the smallest population
of the same call. "Set-up" is everything before the first round, "end" everything after the last
one: ranking the test items and writing the tables.

    python benchmarks/population.py --populations 2000,20000,200000
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import click

SETTINGS = (
    "data.dataset=synthetic",
    "runtime.engine=local",
    "baselines=false",
    "evaluation.catalog=none",
)


@click.command()
@click.option("--populations", default="2000,20000,200000", show_default=True)
@click.option("--participants", default=1000, show_default=True, help="Devices in a round.")
@click.option("--evaluated", default=1000, show_default=True, help="evaluation.devices.")
@click.option("--items", default=1000, show_default=True)
@click.option("--rounds", default=5, show_default=True, help="The first is not counted.")
@click.option("--set", "changes", multiple=True, help="Further settings of the runs.")
@click.option("--seed", default=0, show_default=True)
@click.option("--one", type=int, hidden=True)
def main(populations: str, one: int | None, **asked: Any) -> None:
    """Prints the table."""
    if one is not None:
        print(json.dumps(measured(one, **asked)))
        return
    sizes = sorted(int(size) for size in populations.split(","))
    print(
        f"{asked['participants']:,} devices a round, {asked['evaluated']:,} evaluated, "
        f"{asked['items']:,} items, seed {asked['seed']}"
    )
    print(
        f"{'devices':>10} {'set-up':>8} {'round':>16} {'validation':>16} {'checkpoint':>16} "
        f"{'end':>7} {'written':>18} {'peak memory':>18}"
    )
    first: dict[str, float] = {}
    for size in sizes:
        found = in_a_process(size)
        first = first or found
        timed = " ".join(
            f"{f'{found[name]:.2f} s {_ratio(found, first, name)}':>16}"
            for name in ("round", "validation", "checkpoint")
        )
        written = f"{found['written'] / 2**20:.1f} MiB {_ratio(found, first, 'written')}"
        memory = f"{found['memory'] / 2**30:.2f} GiB {_ratio(found, first, 'memory')}"
        print(
            f"{size:>10,} {found['setup']:>6.0f} s {timed} {found['end']:>5.0f} s {written:>18} "
            f"{memory:>18}",
            flush=True,
        )


def _ratio(found: dict[str, float], first: dict[str, float], name: str) -> str:
    return f"({found[name] / max(first[name], 1e-9):.2f}x)"


def in_a_process(size: int) -> dict[str, float]:
    """Measures one population in a process of its own, whose memory is then its own too."""
    arguments = [sys.executable, *sys.argv, "--one", str(size)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(
    size: int,
    *,
    participants: int,
    evaluated: int,
    items: int,
    rounds: int,
    changes: tuple[str, ...],
    seed: int,
) -> dict[str, float]:
    """Processor seconds of each part of a run; bytes of its newest checkpoint and at the most."""
    from ecct_tf.config import load_config
    from ecct_tf.simulation.callbacks import Checkpointer
    from ecct_tf.simulation.ecct import EcctAlgorithm
    from ecct_tf.simulation.loop import Callback
    from ecct_tf.simulation.simulate import simulate

    class Clock(Callback):
        """Comes last in a round."""

        def __init__(self) -> None:
            self.starts: list[float] = []
            self.rounds: list[float] = []
            self.saves: list[float] = []

        def on_start(self, **_: Any) -> None:
            self.starts.append(time.process_time())

        def on_round(self, result: Any, state: Any) -> None:
            del result, state
            self.starts.append(time.process_time())

    class Timed(Checkpointer):
        def on_round(self, result: Any, state: Any) -> None:
            begun = time.process_time()
            super().on_round(result, state)
            clock.saves.append(time.process_time() - begun)

    def timed_next(self: EcctAlgorithm, *given: Any, **named: Any) -> Any:
        begun = time.process_time()
        done = next_round(self, *given, **named)
        clock.rounds.append(time.process_time() - begun)
        return done

    next_round = EcctAlgorithm.next
    overrides = [
        *SETTINGS,
        f"data.synthetic_users={size}",
        f"data.synthetic_items={items}",
        f"participation.devices_per_round={participants}",
        f"evaluation.devices={evaluated}",
        f"rounds={rounds}",
        f"seed={seed}",
        *changes,
    ]
    clock = Clock()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch("ecct_tf.simulation.running.Checkpointer", Timed),
        mock.patch.object(EcctAlgorithm, "next", timed_next),
    ):
        out = Path(folder) / "run"
        simulate(load_config(overrides=overrides), out=out, callbacks=[clock])
        newest = max((out / "checkpoints").glob("round-*"), key=lambda path: path.name)
        written = newest.stat().st_size
    whole = (clock.starts[-1] - clock.starts[1]) / (rounds - 1)
    of_rounds, of_saves = (sum(each[1:]) / (rounds - 1) for each in (clock.rounds, clock.saves))
    return {
        "setup": clock.starts[0],
        "round": of_rounds,
        "checkpoint": of_saves,
        "validation": whole - of_rounds - of_saves,
        "end": time.process_time() - clock.starts[-1],
        "written": float(written),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }


if __name__ == "__main__":
    main()
