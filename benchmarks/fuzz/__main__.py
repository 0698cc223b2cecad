"""`python -m benchmarks.fuzz`."""

import contextlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

from benchmarks.fuzz.case import drawn
from benchmarks.fuzz.pool import Worker
from benchmarks.fuzz.verdict import Job, Verdict


@click.command()
@click.option("--data", default=40, show_default=True, help="Cases of files and a schema.")
@click.option("--logs", default=40, show_default=True, help="Cases of a log and a registry.")
@click.option("--seconds", type=float, help="Begin no case later than this.")
@click.option("--seed", default=0, show_default=True, help="From which all cases derive.")
@click.option("--first", default=0, show_default=True, help="Number of the first case.")
@click.option(
    "--case", "cases", multiple=True, metavar="FAMILY:N", help="Run only this; repeatable."
)
@click.option("--kind", default="", help="Only cases whose kind has this text, e.g. settings.")
@click.option("--workers", default=2, show_default=True, help="Processes at once.")
@click.option("--memory", default=4.0, show_default=True, help="GiB that a process may hold.")
@click.option(
    "--keep",
    default="fuzz-faults",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the cases that end in a fault.",
)
def main(
    data: int,
    logs: int,
    seconds: float | None,
    seed: int,
    first: int,
    cases: tuple[str, ...],
    kind: str,
    workers: int,
    memory: float,
    keep: Path,
) -> None:
    """Run generated cases through the commands; the exit code is 1 if one ends in a fault."""
    waiting = {
        family: [n for n in range(first, first + count) if kind in drawn(family, seed, n)[0]]
        for family, count in (("data", data), ("log", logs))
    }
    if cases:
        chosen = [case.partition(":") for case in cases]
        waiting = {f: [int(n) for family, _, n in chosen if family == f] for f in waiting}
    asked = sum(map(len, waiting.values()))
    began = time.monotonic()
    pool = [Worker(memory_bytes=int(memory * 2**30)) for _ in range(workers)]
    with tempfile.TemporaryDirectory(prefix="ecct-fuzz-") as temporary:
        try:
            verdicts = _all(
                pool, waiting, seed=seed, seconds=seconds, scratch=Path(temporary), keep=keep
            )
        finally:
            for worker in pool:
                worker.close()
    _print(verdicts, seed=seed, seconds=time.monotonic() - began, asked=asked)
    sys.exit(any(verdict.outcome == "fault" for verdict in verdicts))


def _all(
    pool: list[Worker],
    waiting: dict[str, list[int]],
    *,
    seed: int,
    seconds: float | None,
    scratch: Path,
    keep: Path,
) -> list[Verdict]:
    """Runs the cases; both families get the same share of the time."""
    base = scratch / "base"
    end = None if seconds is None else time.monotonic() + seconds
    spent: Counter[str] = Counter()
    ready = not waiting["log"]
    running: dict[int, Job] = {}
    if not ready:
        running[0] = Job("base", seed, 0, scratch / "making-base", base)
        pool[0].begin(running[0])
    verdicts: list[Verdict] = []
    while any(waiting.values()) or running:
        if end is not None and time.monotonic() > end:
            waiting = {family: [] for family in waiting}
        for place, worker in enumerate(pool):
            verdict = worker.poll()
            if verdict is not None:
                job = running.pop(place)
                spent[job.family] += verdict.seconds
                if job.family == "base":
                    ready = verdict.outcome == "accepted"
                    if not ready:
                        waiting["log"] = []
                        verdicts.append(verdict)
                else:
                    verdicts.append(verdict)
                _put_away(job, verdict, keep)
            if worker.idle:
                open_ = [f for f in waiting if waiting[f] and (f != "log" or ready)]
                if open_:
                    family = min(open_, key=lambda name: spent[name])
                    number = waiting[family].pop(0)
                    job = Job(family, seed, number, scratch / f"{family}-{number}", base)
                    running[place] = job
                    worker.begin(job)
        time.sleep(0.05)
    return verdicts


def _put_away(job: Job, verdict: Verdict, keep: Path) -> None:
    """Keeps the folder of a fault; removes any other."""
    if verdict.outcome == "fault":
        kept = keep / f"seed{job.seed}-{job.family}-{job.number}"
        shutil.rmtree(kept, ignore_errors=True)
        keep.mkdir(parents=True, exist_ok=True)
        # A pipe or a link to itself cannot be moved to another file system; the rest can.
        with contextlib.suppress(shutil.Error, OSError):
            shutil.move(job.folder, kept)
        click.echo(
            f"FAULT in {job.family}:{job.number} ({verdict.kind}): {verdict.why}\n"
            f"  kept in {kept}; again: python -m benchmarks.fuzz --seed {job.seed} "
            f"--case {job.family}:{job.number}",
            err=True,
        )
    shutil.rmtree(job.folder, ignore_errors=True)


def _print(verdicts: list[Verdict], *, seed: int, seconds: float, asked: int) -> None:
    kinds: dict[tuple[str, str], Counter[str]] = {}
    for verdict in verdicts:
        kinds.setdefault((verdict.family, verdict.kind), Counter())[verdict.outcome] += 1
    click.echo(f"{'family':<7}{'kind':<28}{'cases':>6}{'accepted':>10}{'refused':>9}{'faults':>8}")
    total: Counter[str] = Counter()
    for (family, kind), counts in sorted(kinds.items()):
        total += counts
        click.echo(
            f"{family:<7}{kind:<28}{counts.total():>6}{counts['accepted']:>10}"
            f"{counts['refused']:>9}{counts['fault']:>8}"
        )
    click.echo(
        f"{total.total()} of {asked} cases with seed {seed} in {seconds:.0f} s: "
        f"{total['accepted']} accepted, {total['refused']} refused, {total['fault']} faults."
    )


if __name__ == "__main__":
    main()
