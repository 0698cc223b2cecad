"""Uplinks through `ecct cloud serve` by many clients: rows a second, latency, the server's memory.

    python -m benchmarks.service_load                      # 10,000 answers of 500 devices
    python -m benchmarks.service_load --uplinks 1000000 --devices 2000 --together 50

Each request has a connection of its own, as devices open them, and one answer, or `--together`
answers of a device that was offline for so many rounds; the same records go through the log's
writer alone in the same run.
"""

import argparse
import dataclasses
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.http_faults.evidence import log_records
from cloud.service import TokenStore
from cloud.uplink_log import UplinkLogWriter, log_files
from ecct_tf.wire import (
    DownlinkFile,
    Publication,
    PublishedFile,
    UplinkForm,
    UplinkRecord,
)
from ecct_tf.wire.sealed import seal
from mobile_export.transport import CloudClient, HttpTransport, Retries

FORM = UplinkForm(queries=24, embedding_dim=16, codec="int8", with_logits=True)
WRITER_ROWS = 5_000


@dataclasses.dataclass(frozen=True)
class Share:
    """What one process of clients sends.

    Attributes:
      address: of the service.
      tokens: of its devices, by user.
      rounds: that each of them answers.
      together: answers in a request.
      threads: clients at a time.
      folder: for their caches.
    """

    address: str
    tokens: dict[int, str]
    rounds: int
    together: int
    threads: int
    folder: str


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uplinks", type=int, default=10_000)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--together", type=int, default=1, help="answers in a request")
    parser.add_argument("--processes", type=int, default=2, help="of clients")
    parser.add_argument("--threads", type=int, default=32, help="clients at a time in a process")
    given = parser.parse_args(arguments)
    # Not above: the processes of clients import this module, and need no TensorFlow.
    from ecct_tf.cycle.service_process import ServicePlan, ServiceProcess

    rounds = -(-given.uplinks // given.devices)
    total = rounds * given.devices
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        users = range(given.devices)
        store = TokenStore(folder / "tokens.sqlite")
        tokens = {user: store.issue(user) for user in users}
        publish(folder / "public", newest_round=rounds)
        plan = ServicePlan(
            public=folder / "public", log=folder / "log", tokens=store.path,
            models=folder / "models", messages=folder / "service.log",
            options=("--requests-per-minute", "1000000", "--burst", "1000000"),
        )  # fmt: skip
        service = ServiceProcess(plan)
        try:
            shares = [
                Share(
                    service.address,
                    {user: tokens[user] for user in users[number :: given.processes]},
                    rounds,
                    given.together,
                    given.threads,
                    name,
                )
                for number in range(given.processes)
            ]
            memory = Memory(service.process.pid)
            with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
                pending = pool.map_async(send_all, shares)
                while not pending.ready():
                    memory.look()
                    pending.wait(1.0)
                parts = pending.get()
            memory.look()
        finally:
            code = service.end()
        first, last = min(part[0] for part in parts), max(part[1] for part in parts)
        latencies = np.concatenate([part[2] for part in parts])
        records = log_records(folder / "log")
        files = len(log_files(folder / "log"))
        sizes = (WRITER_ROWS, max(1, total // files))
        own = {rows: writer_speed(records, folder, rows=rows) for rows in sizes}
    keys = {record.key for record in records}
    whole = len(records) == len(keys) == total and code == 0
    print(
        f"{total:,} answers of {given.devices:,} devices, {given.together} in a request, "
        f"{given.processes} processes of {given.threads} clients"
    )
    print(
        f"service    {total / (last - first):12,.0f} rows/s in {last - first:,.0f} s and "
        f"{files:,} files"
    )
    for rows, speed in own.items():
        print(f"log writer {speed:12,.0f} rows/s with {rows:,} in a file")
    p50, p99 = np.percentile(latencies * 1000, [50, 99])
    longest = latencies.max() * 1000
    print(
        f"latency    of a request: p50 {p50:,.0f} ms, p99 {p99:,.0f} ms, longest {longest:,.0f} ms"
    )
    print(f"memory     {memory}")
    print(
        "each answer is in the log once" if whole else f"{len(records)} in the log: not each once"
    )
    return 0 if whole else 1


class Memory:
    """The resident memory of a process over time."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/status")
        self._seen: list[float] = []

    def look(self) -> None:
        for line in self._path.read_text().splitlines():
            if line.startswith("VmRSS:"):
                self._seen.append(int(line.split()[1]) / 1024)

    def __str__(self) -> str:
        """At the start, after each tenth of the time, and the most."""
        last = len(self._seen) - 1
        over_time = " ".join(f"{self._seen[last * tenth // 10]:.0f}" for tenth in range(11))
        return f"MiB over time: {over_time}; at most {max(self._seen):.0f}"


def send_all(share: Share) -> tuple[float, float, np.ndarray]:
    """Sends all answers of a share. Returns begin, end and the seconds of each request."""
    transport = HttpTransport(share.address, timeout_seconds=120.0)
    retries = Retries(attempts=50, first_seconds=0.05, most_seconds=1.0)
    clients = {
        user: CloudClient(transport, token, cache=Path(share.folder) / "cache", retries=retries)
        for user, token in share.tokens.items()
    }
    now = int(time.time())
    firsts = range(0, share.rounds, share.together)
    turns = iter([(user, first) for first in firsts for user in clients])
    lock, latencies = threading.Lock(), []

    def send() -> None:
        while True:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            user, first = turn
            rounds = range(first, min(first + share.together, share.rounds))
            contents = [record(user, number, created_at=now).to_bytes() for number in rounds]
            begin = time.perf_counter()
            clients[user].send(contents)
            latencies.append(time.perf_counter() - begin)

    # The clock of `perf_counter` is the system's: processes of one machine share it.
    begin = time.perf_counter()
    with ThreadPoolExecutor(share.threads) as pool:
        for done in [pool.submit(send) for _ in range(share.threads)]:
            done.result()
    return begin, time.perf_counter(), np.array(latencies)


def record(user: int, round_number: int, *, created_at: int) -> UplinkRecord:
    payload = user.to_bytes(4, "little") + bytes(FORM.payload_bytes - 4)
    return UplinkRecord(user, round_number, 1, created_at, FORM, payload)


def writer_speed(records: Sequence[UplinkRecord], folder: Path, *, rows: int) -> float:
    """Rows a second of the log's writer alone, with so many in a file; of at most 200 files."""
    writer = UplinkLogWriter(folder / f"writer-{rows}")
    some = records[: 200 * rows]
    begin = time.perf_counter()
    for start in range(0, len(some), rows):
        writer.append(some[start : start + rows])
    return len(some) / (time.perf_counter() - begin)


def publish(folder: Path, *, newest_round: int) -> None:
    """A publication that asks every round up to `newest_round`; nothing of it is fetched."""
    folder.mkdir()
    table = seal(b"ECIT\1\0")

    def put(name: str, content: bytes) -> PublishedFile:
        digest = content[-32:].hex()
        path = folder / f"{name[:-5]}-{digest[:16]}{name[-5:]}"
        path.write_bytes(content)
        return PublishedFile(path.name, len(content), digest)

    items = put("items.ecit", table)
    downlinks = DownlinkFile.build(
        keys_are="segments", cloud_version=1, round_number=newest_round, table_sha256=items.sha256,
        codec="int8", keys=np.zeros(1, np.int32),
        embeddings=(np.zeros((1, 4), np.int8), np.ones((1, 1), np.float16)),
        queries=np.arange(1, FORM.queries + 1, dtype=np.int32)[None],
    )  # fmt: skip
    whole = put("segments.ecdn", downlinks.to_bytes())
    publication = Publication(
        cloud_version=1, round_number=newest_round, codec="int8", downlinks=whole, segments=whole,
        segment_names=("all",), item_table=items, deltas=(), devices="",
        device_bytes=whole.num_bytes,
    )  # fmt: skip
    (folder / "current.json").write_text(publication.to_json())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
