"""What a retraining job and its publication take of memory and time as users and items grow.

A synthetic data set with the sizes asked for (items by Zipf's law, users by a log-normal law)
and a log of drawn uplinks, in two rounds for each user and a third for half of them. `ecct cloud
retrain` runs to its promotion and `ecct cloud publish` to the files of the devices, each in a
process of its own, which notes every fifth of a second which function of the library it is in
and how large it is.

    python benchmarks/cloud_scale.py --share 0.025
"""

import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click

USERS, ITEMS, INTERACTIONS, UPLINKS = 2_000_000, 200_000, 20_000_000, 5_000_000
_JOB = """\
uplinks: uplinks
history: all
data: {{dataset: files, schema: {schema}, max_item_share: 1.0}}
cloud:
  update_epochs: 2
  similarity: {{factors: 64}}
  next_item: {{epochs: 1, max_positions: 50000}}
"""
_EVERY_SECONDS = 0.2


@click.command()
@click.option("--share", default=0.025, show_default=True, help="Of the goal's sizes.")
@click.option("--users", type=int, help="Instead of the share's.")
@click.option("--items", type=int, help="Instead of the share's.")
@click.option("--interactions", type=int, help="Instead of the share's.")
@click.option("--uplinks", type=int, help="Instead of the share's.")
@click.option("--set", "changes", multiple=True, help="Further settings of the job.")
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    help="Jobs in a chain; later ones are warm. 0: only publishes what --keep holds.",
)
@click.option("--publication/--no-publication", default=True, show_default=True)
@click.option("--only-functions", default=12, show_default=True, help="Lines of each table.")
@click.option("--seed", default=0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Where the data are left, or are.")
def main(
    share: float,
    users: int | None,
    items: int | None,
    interactions: int | None,
    uplinks: int | None,
    changes: tuple[str, ...],
    jobs: int,
    publication: bool,
    only_functions: int,
    seed: int,
    keep: Path | None,
) -> None:
    """Writes the data, runs the job and the publication, and prints what each took."""
    users, items = users or round(share * USERS), items or round(share * ITEMS)
    interactions = interactions or round(share * INTERACTIONS)
    uplinks = uplinks or round(share * UPLINKS)
    print(
        f"{users:,} users, {items:,} items, {interactions:,} interactions, {uplinks:,} uplinks, "
        f"seed {seed}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "job.yaml").exists():
            _write(
                folder,
                users=users,
                items=items,
                interactions=interactions,
                uplinks=uplinks,
                seed=seed,
            )
        for name in ("registry", "public", "jobs") if jobs else ("public",):
            shutil.rmtree(folder / name, ignore_errors=True)
        settings = [part for each in changes for part in ("--set", each)]
        for number in range(jobs):
            if number:
                settings = [*settings, "--set", "uplinks=null"]
            out = folder / "jobs" / str(number)
            shutil.rmtree(out, ignore_errors=True)
            _timed(
                f"ecct cloud retrain, job {number + 1}", "cloud", "retrain", "--config",
                str(folder / "job.yaml"), "--out", str(out), *settings, lines=only_functions,
            )  # fmt: skip
        if publication:
            _timed(
                "ecct cloud publish", "cloud", "publish", str(folder / "registry"), "--out",
                str(folder / "public"), lines=only_functions,
            )  # fmt: skip
        for name in ("registry", "public", "jobs", "uplinks"):
            print(f"{name}: {_size(folder / name) / 2**20:,.0f} MiB on disk", flush=True)


def _write(
    folder: Path, *, users: int, items: int, interactions: int, uplinks: int, seed: int
) -> None:
    from cloud_workload import write_many_uplinks
    from parquet import _SCHEMA, write

    write(
        folder / "interactions.parquet",
        interactions=interactions,
        users=users,
        items=items,
        seed=seed,
        texts=False,
    )
    (folder / "schema.yaml").write_text(_SCHEMA)
    # Rare items may come up in no interaction, and have no number then.
    known = _known_items(folder / "interactions.parquet")
    print(f"{known:,} of the items came up", flush=True)
    for round_number in range(-(-uplinks // users)):
        some = min(users, uplinks - round_number * users)
        write_many_uplinks(
            folder / "uplinks", users=some, items=known, round_number=round_number, seed=seed
        )
    (folder / "job.yaml").write_text(_JOB.format(schema="schema.yaml"))


def _known_items(path: Path) -> int:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return int(pc.count_distinct(pq.read_table(path, columns=["item"])["item"]).as_py())


def _size(path: Path) -> int:
    seen = {}
    for each in path.rglob("*"):
        if each.is_file():
            status = each.stat()
            # A file with two names counts once.
            seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def _timed(what: str, *arguments: str, lines: int) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, "--child", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{what} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found = json.loads(done.stderr.strip().splitlines()[-1])
    print(
        f"{what}: {time.monotonic() - begun:.0f} s, {found['spent']:.0f} s of processor time, "
        f"{found['memory'] / 2**30:.2f} GiB, without mapped files "
        f"{found['anonymous'] / 2**30:.2f} GiB"
    )
    print(f"  {'seconds':>8} {'most, GiB':>10}  in")
    for name, (count, most) in list(found["functions"].items())[:lines]:
        print(f"  {count * _EVERY_SECONDS:>8.1f} {most / 2**30:>10.2f}  {name}", flush=True)


def _child() -> None:
    """Runs a command and prints, last, where it was and how large."""
    import resource

    from ecct_tf.cli import main as ecct

    watched = _Watch(threading.get_ident())
    watched.start()
    try:
        ecct()
    finally:
        watched.end()
        used = resource.getrusage(resource.RUSAGE_SELF)
        found = {
            "spent": used.ru_utime + used.ru_stime,
            "memory": used.ru_maxrss * 1024,
            "anonymous": watched.anonymous,
            "functions": dict(sorted(watched.found.items(), key=lambda each: -each[1][1])),
        }
        print(json.dumps(found), file=sys.stderr)


class _Watch(threading.Thread):
    """Looks where another thread is, and at the size of the process."""

    def __init__(self, watched: int) -> None:
        super().__init__(daemon=True)
        self._watched, self._stop_it = watched, threading.Event()
        self.found: dict[str, list[float]] = collections.defaultdict(lambda: [0, 0.0])
        self.anonymous = 0

    def run(self) -> None:
        """Until `end`."""
        while not self._stop_it.wait(_EVERY_SECONDS):
            sizes = _sizes()
            self.anonymous = max(self.anonymous, sizes["RssAnon"])
            kept = self.found[self._where()]
            kept[0] += 1
            kept[1] = max(kept[1], float(sizes["VmRSS"]))

    def end(self) -> None:
        """Ends it."""
        self._stop_it.set()
        self.join()

    def _where(self) -> str:
        frame, names = sys._current_frames().get(self._watched), []
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.startswith(("cloud.", "ecct_tf.")) and "commands" not in module:
                names.append(f"{module.removeprefix('ecct_tf.')}:{frame.f_code.co_name}")
            frame = frame.f_back
        own = [name for name in names if not name.startswith(("cli", "files:", "locks:", "quiet"))]
        return " < ".join(own[:3]) or "elsewhere"


def _sizes() -> dict[str, int]:
    with open("/proc/self/status") as file:  # noqa: PTH123 (five times a second)
        pairs = (line.split(":", 1) for line in file)
        return {
            name: int(value.split()[0]) * 1024
            for name, value in pairs
            if name in ("VmRSS", "RssAnon")
        }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        sys.argv = ["ecct", *sys.argv[2:]]
        _child()
    else:
        main()
