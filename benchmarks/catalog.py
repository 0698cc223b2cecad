"""What a device holds and what a run costs as the catalog grows, with `exchange.items=candidates`.

Each catalog is a run of its own process on the synthetic data set, to its end. A device's bytes are
those of its rows as encoded, at most over all devices, and as the float32 numbers that they decode
to; they are counted, no phone is measured. Seconds are of the processor, which other work on the
machine does not change; memory is of the whole simulation, whose cloud holds the whole table.

    python benchmarks/catalog.py --items 10000,100000
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

import click

SETTINGS = (
    "data.dataset=synthetic",
    "exchange.items=candidates",
    "runtime.engine=local",
    "baselines=false",
    "evaluation.every=2",
    "rounds=2",
)


@click.command()
@click.option("--items", default="10000,100000", show_default=True)
@click.option("--users", default=200, show_default=True)
@click.option("--set", "changes", multiple=True, help="Further settings of the runs.")
@click.option("--seed", default=0, show_default=True)
@click.option("--one", type=int, hidden=True)
def main(items: str, users: int, changes: tuple[str, ...], seed: int, one: int | None) -> None:
    """Prints the table."""
    if one is not None:
        print(json.dumps(measured(one, users=users, changes=changes, seed=seed)))
        return
    print(f"{users} users, seed {seed}")
    print(
        f"{'items':>10} {'whole table':>13} {'rows':>6} {'device, encoded':>16} "
        f"{'as float32':>11} {'request':>9} {'seconds':>8} {'peak memory':>12}"
    )
    for size in sorted(int(each) for each in items.split(",")):
        found = in_a_process(size)
        print(
            f"{size:>10,} {found['whole'] / 1e6:>10.1f} MB {found['rows']:>6,.0f} "
            f"{found['encoded'] / 1e6:>13.2f} MB {found['decoded'] / 1e6:>8.2f} MB "
            f"{found['request'] / 1e3:>6.1f} KB {found['seconds']:>8.0f} "
            f"{found['memory'] / 2**30:>8.2f} GiB",
            flush=True,
        )


def in_a_process(size: int) -> dict[str, float]:
    """Measures one catalog in a process of its own, whose memory is then its own too."""
    arguments = [sys.executable, *sys.argv, "--one", str(size)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(size: int, *, users: int, changes: tuple[str, ...], seed: int) -> dict[str, float]:
    """Bytes of a device that holds most, of a request, and what the run took."""
    from ecct_tf.config import load_config
    from ecct_tf.edge import item_tensors
    from ecct_tf.knowledge.table_files import table_bytes
    from ecct_tf.simulation.ecct import EcctAlgorithm
    from ecct_tf.simulation.simulate import simulate

    overrides = [
        *SETTINGS,
        f"data.synthetic_users={users}",
        f"data.synthetic_items={size}",
        f"seed={seed}",
        *changes,
    ]
    with tempfile.TemporaryDirectory() as folder:
        result = simulate(load_config(overrides=overrides), out=Path(folder) / "run")
    algorithm = result.algorithm
    if not isinstance(algorithm, EcctAlgorithm) or algorithm.holding is None:
        raise TypeError(f"expected a run with exchange.items=candidates, got {type(algorithm)}")
    holding, table = algorithm.holding, algorithm.table
    counts = len(holding.items.shared) + holding.items.own_counts
    numbers = sum(array[:1].size for array in item_tensors(table)[:5])
    return {
        "whole": table_bytes(table, result.experiment.config.exchange.codec),
        "rows": float(counts.max()),
        "encoded": holding.largest_bytes,
        "decoded": float(counts.max()) * 4 * numbers,
        "request": float(holding.request_bytes(result.experiment.test).mean()),
        "seconds": time.process_time(),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }


if __name__ == "__main__":
    main()
