"""Several of TFF's workers: how much faster two are than one, and what kills change.

    python benchmarks/workers.py speed
    python benchmarks/workers.py kills

`speed` gives rounds to one worker and to two in turn, each with one thread and one call at a time,
and prints the median over the turns of the ratio of their times. `kills` runs rounds with two
workers. Every few rounds one of them, drawn at random, is killed with SIGKILL at a random moment;
in the end the state is compared bit by bit with that of an undisturbed run of a single worker.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import dataclasses
import logging
import signal
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from throughput_workload import StubCloud, default_work, synthetic_devices

from ecct_tf.config import RunConfig
from ecct_tf.config.worker_addresses import LOCAL_WORKER
from ecct_tf.federated import FederatedRuntime, build_ecct_process, compat
from ecct_tf.federated.worker_links import LocalLink
from ecct_tf.federated.worker_pool import WorkerPool

WANTED = 1.6


class Rounds:
    """Rounds in which all devices take part, by one worker or several."""

    def __init__(self, workers: int, *, devices: int, epochs: int, shard_size: int, seed: int):
        config = RunConfig()
        rng = np.random.default_rng(seed)
        population = synthetic_devices(rng, number=devices)
        self._cloud = StubCloud(rng, users=devices, queries=config.exchange.queries)
        work = default_work(self._cloud.table)
        training = dataclasses.replace(work.training, epochs=epochs)
        self._process = build_ecct_process(
            [(work.changed(training=training), population)],
            table=self._cloud.table,
            table_bytes=0,
            num_users=devices,
            stage_1_rounds=0,
            server=config.server,
            runtime=dataclasses.replace(
                config.runtime,
                engine="tff",
                shard_size=shard_size,
                workers=(LOCAL_WORKER,) * workers if workers > 1 else (),
            ),
        )
        self.workers: Any
        if workers > 1:
            links = [LocalLink(at + 1, threads=1, concurrent_calls=1) for at in range(workers)]
            self.workers = WorkerPool(links)
        else:
            # As a run without `runtime.workers` has it.
            self.workers = FederatedRuntime(threads=1, concurrent_calls=1)
        self._everybody = np.arange(devices, dtype=np.int64)
        self.state: Any = self._process.initialize(seed)

    def __call__(self) -> float:
        """One round; its seconds."""
        start = time.perf_counter()
        with compat.install_context(self.workers.context):
            self.state, _ = self._process.next(
                self.state, self._cloud, self._everybody, self._everybody
            )
        return time.perf_counter() - start

    def processor_seconds(self) -> tuple[float, ...]:
        """Of Python, and of each worker, so far."""
        return (time.process_time(), *map(_processor_seconds, self._pids()))

    def confine(self) -> None:
        """Keeps each worker, with all its threads, to one core."""
        cores = sorted(os.sched_getaffinity(0))
        for at, pid in enumerate(self._pids()):
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {cores[at % len(cores)]})

    def _pids(self) -> list[int | None]:
        if isinstance(self.workers, WorkerPool):
            return [member.link.pid for member in self.workers.members]
        return [self.workers.worker_pid]

    def arrays(self) -> dict[str, bytes]:
        """The state, as bytes."""
        cohort = self.state.cohorts[0]
        found = {name: np.asarray(part).tobytes() for name, part in cohort.server._asdict().items()}
        found["private"] = cohort.weights().tobytes()
        for field in dataclasses.fields(self.state.knowledge):
            found[field.name] = np.asarray(getattr(self.state.knowledge, field.name)).tobytes()
        return found


def _processor_seconds(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@click.group()
def main() -> None:
    """Measures several workers."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")


@main.command(context_settings={"show_default": True})
@click.option("--devices", default=1024, type=click.IntRange(1), help="In a round.")
@click.option("--epochs", default=1, type=click.IntRange(1), help="Of a device's training.")
@click.option("--turns", default=15, type=click.IntRange(1), help="A round of each in every turn.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of data and weights.")
@click.option(
    "--own-cores/--all-cores",
    default=True,
    help="Confine each worker to a core of its own, as if on a machine of one core.",
)
def speed(devices: int, epochs: int, turns: int, seed: int, own_cores: bool) -> None:
    """One one-thread worker beside two of them."""
    sizes = {"devices": devices, "epochs": epochs, "shard_size": RunConfig().runtime.shard_size}
    one, two = (Rounds(number, **sizes, seed=seed) for number in (1, 2))
    try:
        for _ in range(2):
            one(), two()  # traces, starts up, fills caches
        if own_cores:
            one.confine(), two.confine()
            one(), two()
        load = os.getloadavg()[0]
        seconds = [(one(), two()) for _ in range(turns)]
        processor = [_of_a_round(each, turns) for each in (one, two)]
        equal = one.arrays() == two.arrays()
    finally:
        one.workers.close()
        two.workers.close()
    medians = np.median(seconds, axis=0)
    ratio = float(np.median([first / second for first, second in seconds]))
    click.echo(
        f"{devices} devices, {epochs} local epoch(s), {turns} turns, {os.cpu_count()} cores, load "
        f"{load:.1f} before and {os.getloadavg()[0]:.1f} after, seed {seed}"
    )
    for name, median, used in zip(("one", "two"), medians, processor, strict=True):
        click.echo(
            f"{name}: {devices / median:,.0f} devices/s, {1000 * median:,.0f} ms a round; "
            f"processor time of a round: {used}"
        )
    click.echo(f"states equal bit for bit: {'yes' if equal else 'NO'}")
    verdict = "met" if ratio >= WANTED else "MISSED"
    click.echo(f"two / one: {ratio:.2f}, wanted at least {WANTED:g}: {verdict}")
    if not equal:
        raise SystemExit(1)


def _of_a_round(rounds: Rounds, turns: int) -> str:
    """Processor time of further rounds, in words."""
    before = rounds.processor_seconds()
    for _ in range(turns):
        rounds()
    python, *workers = (
        1000 * (after - then) / turns
        for after, then in zip(rounds.processor_seconds(), before, strict=True)
    )
    return f"Python {python:.0f} ms, workers {' and '.join(f'{each:.0f}' for each in workers)} ms"


@main.command(context_settings={"show_default": True})
@click.option("--rounds", default=100, type=click.IntRange(1), help="Of each run.")
@click.option("--every", default=10, type=click.IntRange(1), help="Rounds from kill to kill.")
@click.option("--devices", default=24, type=click.IntRange(1), help="In a round.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of data, weights and kills.")
def kills(rounds: int, every: int, devices: int, seed: int) -> None:
    """Two workers, one of which is killed now and then, beside one that nothing disturbs."""
    rng = np.random.default_rng([seed, 1])
    calm, troubled = (
        Rounds(number, devices=devices, epochs=1, shard_size=4, seed=seed) for number in (1, 2)
    )
    try:
        last = 0.1
        for number in range(1, rounds + 1):
            calm()
            if number % every:
                last = troubled()
                continue
            member = troubled.workers.members[int(rng.integers(2))]
            pid, moment = member.link.pid, float(rng.uniform(0.0, last))
            if pid is None:
                raise SystemExit(f"round {number}: {member.name} is not running")
            killer = threading.Timer(moment, os.kill, [pid, signal.SIGKILL])
            killer.start()
            took = troubled()
            killer.join()
            click.echo(
                f"round {number}: {member.name} killed after {1000 * moment:.0f} ms, the round "
                f"took {took:.2f} s (the one before {last:.2f} s)"
            )
        lost = sum(member.losses for member in troubled.workers.members)
        before, after = calm.arrays(), troubled.arrays()
    finally:
        calm.workers.close()
        troubled.workers.close()
    different = [name for name in before if before[name] != after[name]]
    click.echo(f"{rounds} rounds, {lost} workers lost, load {os.getloadavg()[0]:.1f}, seed {seed}")
    if different:
        click.echo(f"DIFFERENT: {', '.join(different)}")
        raise SystemExit(1)
    click.echo(f"equal bit for bit: {', '.join(before)}")


if __name__ == "__main__":
    main()
