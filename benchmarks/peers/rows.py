"""What runs in the peers' environments: the work of a round read from its file, and rows measured.

A script calls `serve` with its rows. It writes a line of JSON that introduces them, and then one
for each line that it reads: `ROW ROUNDS` measures that many rounds of a row.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from model import Samples

__all__ = ["Row", "Work", "change_of", "device_samples", "read_work", "serve"]


class Work(NamedTuple):
    """A round's work.

    Attributes:
      samples: of all devices, one after the other.
      counts: `[devices] int64`, samples of each.
      start: starting weights by name, `float32`; without a table, of the library's edge model.
      settings: `batch_size`, `learning_rate`, `distillation_weight`, `temperature`.
    """

    samples: Samples
    counts: np.ndarray
    start: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]


class Row(NamedTuple):
    """A line of the table.

    Attributes:
      name: of it.
      run: does a round, from where the last one ended.
      loss: mean loss of the samples in the first round, each before the step of its batch; None
        where other devices train.
      change: `[P] float32`, what the first round added to the weights; None where it is not the
        plain mean of the devices' changes.
      table: whether the model has a trainable table of items.
      slow: whether a single round is measured in each turn.
    """

    name: str
    run: Callable[[], object]
    loss: float | None
    change: np.ndarray | None
    table: bool = False
    slow: bool = False


def read_work(path: Path, *, table: bool = False) -> Work:
    """Reads what `workload.write_work` wrote, to train a model without or with a table of items."""
    model = "table" if table else "edge"
    with np.load(path) as file:
        samples = Samples(*(file[name] for name in Samples._fields))
        settings = json.loads(str(file["settings"]))
        start = {name: file[f"{model}:{name}"] for name in settings["weights"][model]}
        return Work(samples, file["counts"], start, settings)


def device_samples(work: Work) -> list[Samples]:
    """The samples of each device."""
    ends = np.cumsum(work.counts)
    return [
        Samples(*(part[end - count : end] for part in work.samples))
        for count, end in zip(work.counts, ends, strict=True)
    ]


def change_of(work: Work, weights: Mapping[str, Any]) -> np.ndarray:
    """`[P] float32`: how far `weights` are from the start, in its order."""
    parts = [np.ravel(np.asarray(weights[name]) - start) for name, start in work.start.items()]
    return np.concatenate(parts).astype(np.float32)


def serve(rows: Sequence[Row], *, packages: Sequence[str], warm_up: int = 2) -> None:
    """Introduces the rows, and measures them as it is asked.

    Args:
      rows: each of which has done its first round.
      packages: whose versions are told.
      warm_up: further rounds of each that are not measured.
    """
    # Libraries print: what is said here has a file of its own.
    answers = os.fdopen(int(sys.argv[-1]), "w")

    def say(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for row in rows:
        for _ in range(1 if row.slow else warm_up):
            row.run()
    introduced = [
        {
            "name": row.name,
            "loss": None if row.loss is None else float(row.loss),
            "table": row.table,
            "slow": row.slow,
            "change": None if row.change is None else row.change.tolist(),
        }
        for row in rows
    ]
    versions = {package: metadata.version(package) for package in packages}
    say({"rows": introduced, "versions": versions})
    for line in sys.stdin:
        index, rounds = map(int, line.split())
        before, seconds = _processor_seconds(), []
        for _ in range(rounds):
            start = time.perf_counter()
            rows[index].run()
            seconds.append(time.perf_counter() - start)
        say({"seconds": seconds, "processor_seconds": (_processor_seconds() - before) / rounds})


def _processor_seconds() -> float:
    """Of this process, and of those that it started, directly or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() + ended.ru_utime + ended.ru_stime
    children: dict[int, list[int]] = {}
    own: dict[int, float] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has ended.
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        own[int(entry.name)] = (int(fields[11]) + int(fields[12])) / tick
    waiting = list(children.get(os.getpid(), ()))
    while waiting:
        child = waiting.pop()
        seconds += own[child]
        waiting += children.get(child, ())
    return seconds
