"""How long many interactions in a Parquet file take to the first round, and how much memory.

The file is synthetic and like MovieLens-25M in its sizes: items by Zipf's law, users by a
log-normal law, times in order. `ecct data check` and `ecct simulate` of one round then read it,
each in a process of its own; printed are seconds, of the clock and of processor time, and the
most memory of each.

    python benchmarks/parquet.py --interactions 25000000
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

_SCHEMA = """\
name: many
interactions:
  path: interactions.parquet
  user: user
  item: item
  timestamp: timestamp
filters:
  duplicates: keep_all
"""
_SETTINGS = (
    "runtime.engine=local",
    "baselines=false",
    "evaluation.catalog=none",
    "evaluation.devices=1000",
    "participation.devices_per_round=1000",
    "rounds=1",
    "data.max_item_share=1.0",
)
_AT_ONCE = 1 << 22


@click.command()
@click.option("--interactions", default=25_000_000, show_default=True)
@click.option("--users", default=160_000, show_default=True)
@click.option("--items", default=60_000, show_default=True)
@click.option("--set", "changes", multiple=True, help="Further settings of the run.")
@click.option("--seed", default=0, show_default=True)
@click.option("--texts", is_flag=True, help="Ids are texts, not whole numbers.")
@click.option("--keep", type=click.Path(path_type=Path), help="Where the file is left, or is.")
def main(
    interactions: int,
    users: int,
    items: int,
    changes: tuple[str, ...],
    seed: int,
    texts: bool,
    keep: Path | None,
) -> None:
    """Writes the file, reads it, and prints what that took."""
    print(f"{interactions:,} interactions, {users:,} users, {items:,} items, seed {seed}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "interactions.parquet"
        if not path.exists():
            write(path, interactions=interactions, users=users, items=items, seed=seed, texts=texts)
        (folder / "schema.yaml").write_text(_SCHEMA)
        print(f"interactions.parquet: {path.stat().st_size / 2**20:,.0f} MiB", flush=True)
        schema = str(folder / "schema.yaml")
        run = Path(made) / "run"
        settings = [part for each in (*_SETTINGS, *changes) for part in ("--set", each)]
        _timed("ecct data check", "data", "check", schema, *settings)
        _timed(
            "ecct simulate, 1 round", "simulate", "--dataset", "files", "--set",
            f"data.schema={json.dumps(schema)}", *settings, "--out", str(run),
        )  # fmt: skip
        with (run / "metrics.csv").open() as file:
            names, values = (line.strip().split(",") for line in file)
        seconds = dict(zip(names, values, strict=True))["seconds"]
        print(f"of which the round itself {float(seconds):.1f} s")


def write(path: Path, *, interactions: int, users: int, items: int, seed: int, texts: bool) -> None:
    """Writes the file some rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    shares = rng.lognormal(sigma=1.1, size=users)
    activity = np.cumsum(shares / shares.sum())
    popularity = np.cumsum(1.0 / np.arange(10, items + 10))
    popularity /= popularity[-1]
    names = rng.permutation(items)
    kind = pa.string() if texts else pa.int64()
    fields = pa.schema([("user", kind), ("item", kind), ("timestamp", pa.int64())])
    with pq.ParquetWriter(path, fields) as file:
        for start in range(0, interactions, _AT_ONCE):
            rows = min(_AT_ONCE, interactions - start)
            # Everybody has some, so that each user is one.
            some = np.arange(start, start + rows) % users
            drawn = np.minimum(np.searchsorted(activity, rng.random(rows)), users - 1)
            user = np.where(np.arange(start, start + rows) < 12 * users, some, drawn)
            item = names[np.minimum(np.searchsorted(popularity, rng.random(rows)), items - 1)]
            times = 1_000_000_000 + (np.arange(start, start + rows) * 20)
            ids = [pa.array(part) for part in (user, item)]
            if texts:
                ids = [part.cast(pa.string()) for part in ids]
            file.write_table(pa.table([*ids, pa.array(times)], schema=fields))


def _timed(what: str, *arguments: str) -> None:
    begun = time.monotonic()
    code = (
        "import sys, resource, json; from ecct_tf.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    spent = used.ru_utime + used.ru_stime\n"
        "    print(json.dumps([spent, used.ru_maxrss * 1024]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{what} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    spent, memory = json.loads(done.stderr.strip().splitlines()[-1])
    print(
        f"{what}: {time.monotonic() - begun:.0f} s, {spent:.0f} s of processor time, "
        f"{memory / 2**30:.2f} GiB",
        flush=True,
    )


if __name__ == "__main__":
    main()
