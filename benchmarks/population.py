"""What a round costs as the population grows, while as many devices take part as before.

Each population is a run of its own process on the synthetic data set: as many devices a round, as
many evaluated, the whole state written after each round. The table gives seconds and memory, and
ratios to the smallest population of the same call.

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
    print(f"{'devices':>10} {'set-up':>9} {'round':>16} {'rest of it':>16} {'peak memory':>18}")
    first: dict[str, float] = {}
    for size in sizes:
        found = in_a_process(size)
        first = first or found
        cells = [
            f"{found[name]:.2f} s ({found[name] / max(first[name], 1e-9):.2f}x)"
            for name in ("round", "rest")
        ]
        memory = f"{found['memory'] / 2**30:.2f} GiB ({found['memory'] / first['memory']:.2f}x)"
        print(f"{size:>10,} {found['setup']:>7.0f} s {cells[0]:>16} {cells[1]:>16} {memory:>18}")


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
    """Seconds until the first round, of a round and of what follows it; bytes at the most."""
    began = time.monotonic()
    from ecct_tf.config import load_config
    from ecct_tf.simulation.loop import Callback
    from ecct_tf.simulation.simulate import simulate

    class Clock(Callback):
        def __init__(self) -> None:
            self.begun, self.ends, self.rounds = 0.0, [], []

        def on_start(self, **_: Any) -> None:
            self.begun = time.monotonic()

        def on_round(self, result: Any, state: Any) -> None:
            del state
            self.ends.append(time.monotonic())
            self.rounds.append(result.seconds)

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
    with tempfile.TemporaryDirectory() as folder:
        simulate(load_config(overrides=overrides), out=Path(folder) / "run", callbacks=[clock])
    whole = (clock.ends[-1] - clock.ends[0]) / (rounds - 1)
    of_rounds = sum(clock.rounds[1:]) / (rounds - 1)
    return {
        "setup": clock.begun - began,
        "round": of_rounds,
        "rest": whole - of_rounds,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }


if __name__ == "__main__":
    main()
