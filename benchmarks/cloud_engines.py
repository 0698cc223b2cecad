"""An uplink log read by each engine of a job: the same, and at what price.

A drawn log, in two rounds for each user and a third for half of them, is read by this process and
by pipelines of Apache Beam on this machine, with one process and with two. Printed are seconds and
seconds of processor time of each, and the most memory of the job's process; what they found is
compared. Needs an environment with Beam (`make test-beam` makes .venv-beam).

    python benchmarks/cloud_engines.py --share 0.01
"""

import dataclasses
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

USERS, ITEMS, UPLINKS = 2_000_000, 200_000, 5_000_000
_TWO = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
ENGINES = {
    "local": ("local", ()),
    "beam, one process": ("beam", ()),
    "beam, two processes": ("beam", _TWO),
}


@click.command()
@click.option("--share", default=0.01, show_default=True, help="Of the goal's sizes.")
@click.option("--seed", default=0, show_default=True)
def main(share: float, seed: int) -> None:
    """Reads the log by each engine and prints what it took."""
    from cloud_workload import write_many_uplinks

    users, items, uplinks = (round(share * size) for size in (USERS, ITEMS, UPLINKS))
    print(f"{users:,} users, {items:,} items, {uplinks:,} uplinks, seed {seed}")
    with tempfile.TemporaryDirectory() as made:
        log = Path(made) / "log"
        for number in range(-(-uplinks // users)):
            some = min(users, uplinks - number * users)
            write_many_uplinks(log, users=some, items=items, round_number=number, seed=seed)
        size = sum(path.stat().st_size for path in log.rglob("*.tfrecord"))
        print(f"{size / 2**20:,.0f} MiB of log", flush=True)
        found = {}
        for index, name in enumerate(ENGINES):
            given = json.dumps([name, str(log), f"{made}/work-{index}", users, items])
            command = [sys.executable, __file__, "--child", given]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stderr[-3000:]}")
            told = json.loads(done.stdout.splitlines()[-1])
            found[name] = told["sha256"]
            same = "the same" if told["sha256"] == found["local"] else "OTHER"
            print(f"{name:20} {told['seconds']:7.1f} s, {told['spent']:7.1f} s of processor time, "
                  f"{told['memory'] / 2**30:.2f} GiB, {told['read']:,} read, {same}",
                  flush=True)  # fmt: skip
    if len(set(found.values())) != 1:
        raise SystemExit("the engines found different things")


def _child(name: str, log: str, folder: str, users: int, items: int) -> None:
    """Reads the log by one engine and prints, last, what it took and found."""
    from cloud.registry import Registry
    from cloud.retraining import JobConfig
    from cloud.retraining.engine_config import EngineConfig
    from cloud.retraining.log_reading import asked_rounds, declared, read_new
    from cloud.retraining.uplinks import KnowledgeBuilder
    from cloud.uplink_log import Forgotten, ReplayWindow
    from ecct_tf.knowledge import KnowledgeStore

    engine, options = ENGINES[name]
    config = JobConfig()
    exchange, work = config.exchange, Path(folder)
    registry = Registry(work / "registry")
    asked = asked_rounds(config, Path(log), registry=registry)
    nothing = KnowledgeStore.empty(
        num_users=users,
        num_queries=exchange.queries,
        embedding_dim=exchange.embedding_dim,
        num_earlier=config.cloud.num_earlier,
        by_row=True,
    )
    begun = time.monotonic()
    builder = KnowledgeBuilder(nothing, folder=work / ".work")
    read = read_new(
        Path(log),
        builder,
        contract=declared(
            config,
            num_users=users,
            num_items=items,
            registry=registry,
            asked=asked,
            forgotten=Forgotten(),
            now_seconds=2**40,
        ),
        consumed=(),
        window=ReplayWindow(users),
        quarantine=work / "quarantine",
        max_refused=0.0,
        engine=EngineConfig(engine, options),
    )
    seconds = time.monotonic() - begun
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    knowledge = builder.finish(present=asked.newest_round)
    digest = hashlib.sha256(json.dumps(read.summary).encode())
    for field in dataclasses.fields(knowledge):
        digest.update(getattr(knowledge, field.name))
    for array in read.window.values():
        digest.update(array)
    told = {
        "seconds": seconds,
        "spent": sum(each.ru_utime + each.ru_stime for each in used),
        "memory": used[0].ru_maxrss * 1024,
        "read": read.summary["read"],
        "sha256": digest.hexdigest(),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        _child(*json.loads(sys.argv[2]))
    else:
        main()
