"""Kills a retraining job ten times at random moments and compares it with an undisturbed one.

Both are `ecct cloud retrain` on MovieLens-100K, warm from the same promoted version, with an
uplink of each user. Each time the job is killed with SIGKILL, at a moment drawn from a seed
between its first epoch and its end, and started again by the same command. In the end the
version must be equal bit for bit: weights, optimiser slots, item table, knowledge store,
metrics. All the while another thread looks at the registry: there must always be a promoted
version, whole, and TF Serving's folder must never be without a SavedModel.
"""

import csv
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np
from cloud_workload import EDGE_DIM, QUERIES, write_uplinks

from cloud.registry import Registry

ECCT = [sys.executable, "-m", "ecct_tf.cli", "cloud", "retrain"]
USERS, ITEMS = 943, 1682
SAME = (
    "recommender.npz", "recommender.json", "item_table.npz", "knowledge.npz", "history.npz",
    "vocabulary.json", "replay_window.npz",
)  # fmt: skip


@click.command()
@click.option("--kills", default=10, show_default=True)
@click.option("--epochs", default=20, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the job and of the moments.")
def main(kills: int, epochs: int, seed: int) -> None:
    """Run undisturbed, run with kills, and compare."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="ecct-kill-") as temporary:
        folder = Path(temporary)
        first, calm, troubled = (folder / name for name in ("first", "calm", "troubled"))
        _run(_command(first, epochs=1, seed=seed))
        write_uplinks(first / "log", users=USERS, items=ITEMS, round_number=1, cloud_version=1)
        for other in (calm, troubled):
            shutil.copytree(first / "registry", other / "registry")
            shutil.copytree(first / "log", other / "log")
        start = time.monotonic()
        _run(_command(calm, epochs=epochs, seed=seed))
        print(f"undisturbed: {epochs} epochs in {time.monotonic() - start:.1f} s")
        watch = _Watch(troubled / "registry")
        watch.start()
        for number in range(1, kills + 1):
            # Spread over the job; the last one falls into the storing of the version.
            rows = 1 + round(epochs * number / kills)
            done = _kill(
                _command(troubled, epochs=epochs, seed=seed),
                troubled / "job",
                rows=rows,
                delay=rng.uniform(0, 0.3),
            )
            print(f"kill {number}: {done} rows in metrics.csv")
        _run(_command(troubled, epochs=epochs, seed=seed))
        looks, faults = watch.end()
        differing = [name for name, same in _comparison(calm, troubled).items() if not same]
    print(f"the registry was looked at {looks:,} times: {len(faults)} faults {faults[:3]}")
    if differing or faults:
        print(f"DIFFERENT: {', '.join(differing)}")
        sys.exit(1)
    print(f"after {kills} kills equal bit for bit: {', '.join(SAME)}, metrics of {epochs} epochs")


def _command(folder: Path, *, epochs: int, seed: int) -> list[str]:
    settings = {
        "registry": folder / "registry",
        "uplinks": folder / "log",
        "seed": seed,
        "exchange.queries": QUERIES,
        "exchange.embedding_dim": EDGE_DIM,
        # Drawn uplinks teach nothing: the job is to run all its epochs, and to be promoted.
        "validation.patience": epochs,
        "gate.minimum_gain": -1,
        "cloud.update_epochs": epochs,
        "cloud.update_batch_size": 8,
        "checkpoint.every": 25,
    }
    options = [f"--set={name}={value}" for name, value in settings.items()]
    return [*ECCT, f"--out={folder / 'job'}", *options]


class _Watch(threading.Thread):
    """Looks at a registry without pause."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._registry = Registry(path)
        self._ended = threading.Event()
        self._looks = 0
        self._faults: list[str] = []

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                promoted = self._registry.promoted()
                if promoted is None:
                    self._faults.append("no promoted version")
                for version in self._registry.versions():
                    version.verify()
                served = list(self._registry.serving_path.glob("[0-9]*/saved_model.pb"))
                if not served:
                    self._faults.append("nothing to serve")
            except Exception as error:
                self._faults.append(repr(error))
            self._looks += 1
            time.sleep(0.02)

    def end(self) -> tuple[int, list[str]]:
        self._ended.set()
        self.join()
        return self._looks, self._faults


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)} failed:\n{done.stderr}")


def _kill(command: list[str], job: Path, *, rows: int, delay: float) -> int:
    """Starts, waits for `rows` rows and `delay` seconds more, kills; returns the rows."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(_metrics(job)) < rows:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        raise click.ClickException("the job ended before it could be killed; give more --epochs")
    return len(_metrics(job))


def _metrics(job: Path) -> list[dict[str, str]]:
    path = job / "metrics.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def _comparison(one: Path, other: Path) -> dict[str, bool]:
    versions = [Registry(folder / "registry").versions() for folder in (one, other)]
    if [len(found) for found in versions] != [2, 2]:
        return {"number of versions": False}
    left, right = (found[-1] for found in versions)
    same = {
        name: (left.path / name).read_bytes() == (right.path / name).read_bytes() for name in SAME
    }
    same["manifest's metrics"] = left.manifest.metrics == right.manifest.metrics
    same["metrics.csv"] = _metrics(one / "job") == _metrics(other / "job")
    same["promotion"] = Registry(other / "registry").promoted() == right
    return same


if __name__ == "__main__":
    main()
