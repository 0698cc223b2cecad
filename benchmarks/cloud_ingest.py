"""Reading the uplink log: a million rows, one in a hundred bad, against a bare TFRecord read.

Both readers read the same rows in the same run, each in processes of its own, in turns.
`tf.data` stops at the first damaged frame of a file, so it reads a twin of the log whose
frames are whole; it checks the frames and no more. Peak memory is of the reading process.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from cloud_ingest_rows import CONTRACT, Written, checksum, write_log

LIMIT_MEMORY = 1.05
_MIB = 2**20


@click.group(invoke_without_command=True)
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--few", default=500_000, show_default=True, help="Rows to compare memory with.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--goal", default=0.5, show_default=True, help="Fail below this ratio.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write; needs 1.4 GB.")
@click.pass_context
def main(
    context: click.Context, rows: int, few: int, repeats: int, goal: float, folder: Path | None
) -> None:
    """Write the logs, read them, and fail when a row is lost, it is slow, or memory grows."""
    if context.invoked_subcommand:
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="ecct-ingest-") as scratch:
        place = Path(scratch)
        small = write_log(place / "few", place / "few-twin", rows=few)
        large = write_log(place / "log", place / "twin", rows=rows)
        few_read = _child("log", place / "few")
        _check(small, few_read)
        ours, bare = [], []
        for _ in range(repeats):
            bare.append(_child("bare", place / "twin"))
            ours.append(_child("log", place / "log"))
            _check(large, ours[-1])
    for reason, count in sorted(large.reasons.items()):
        print(f"quarantined, {reason:16s} {count:7,d}")
    print(f"sound rows {large.good:,d} of {rows:,d}: all read, once; the others in quarantine")
    speeds = [rows / statistics.median(run["seconds"] for run in runs) for runs in (ours, bare)]
    print(f"uplink log   {speeds[0]:11,.0f} rows/s (median of {repeats})")
    print(f"bare tf.data {speeds[1]:11,.0f} rows/s")
    ratio = speeds[0] / speeds[1]
    print(f"ratio        {ratio:11.2f}   (goal: at least {goal})")
    peaks = few_read["peak_bytes"], max(run["peak_bytes"] for run in ours)
    print(
        f"peak memory: {few:,d} rows {peaks[0] / _MIB:.0f} MiB, {rows:,d} rows "
        f"{peaks[1] / _MIB:.0f} MiB, ratio {peaks[1] / peaks[0]:.3f}"
    )
    if peaks[1] > LIMIT_MEMORY * peaks[0]:
        sys.exit(f"peak memory grew by more than {LIMIT_MEMORY - 1:.0%}")
    if ratio < goal:
        sys.exit(f"expected at least {goal} of the speed of a bare read, got {ratio:.2f}")


@main.command("log", hidden=True)
@click.argument("folder", type=click.Path(path_type=Path))
def read_log(folder: Path) -> None:
    """Read a log as the retraining job does, and print what was found as JSON."""
    from cloud.uplink_log import Quarantine, ReplayWindow, log_files, read_uplinks

    with tempfile.TemporaryDirectory(prefix="ecct-quarantine-") as scratch:
        quarantine = Quarantine(Path(scratch))
        start = time.perf_counter()
        good, total = 0, 0
        for batch in read_uplinks(
            folder,
            log_files(folder),
            contract=CONTRACT,
            window=ReplayWindow(CONTRACT.num_users),
            quarantine=quarantine,
        ):
            good += len(batch)
            total = (total + checksum(batch.users, batch.rounds)) % 2**64
        seconds = time.perf_counter() - start
        reasons = {reason.value: count for reason, count in quarantine.counts().items()}
    _tell(seconds, good=good, checksum=total, reasons=reasons)


@main.command("bare", hidden=True)
@click.argument("folder", type=click.Path(path_type=Path))
def read_bare(folder: Path) -> None:
    """Read the frames with `tf.data` and nothing else."""
    import tensorflow as tf

    files = sorted(str(path) for path in folder.glob("date=*/*"))
    start = time.perf_counter()
    good = sum(len(batch.numpy()) for batch in tf.data.TFRecordDataset(files).batch(8192))
    _tell(time.perf_counter() - start, good=good)


def _tell(seconds: float, **found: object) -> None:
    # Not `getrusage`: a process that another one starts inherits that one's peak.
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s*(\d+) kB", status).group(1)) * 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, **found}))


def _child(command: str, folder: Path) -> dict:
    done = subprocess.run(
        [sys.executable, __file__, command, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _check(written: Written, read: dict) -> None:
    for name in ("good", "checksum", "reasons"):
        if read[name] != getattr(written, name):
            sys.exit(f"{name}: expected {getattr(written, name)}, read {read[name]}")


if __name__ == "__main__":
    main()
