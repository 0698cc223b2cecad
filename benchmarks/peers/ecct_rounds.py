"""Rounds of this library, of plain TensorFlow and of stock `tff.learning`, in one process.

`python -m benchmarks.peers run` starts it as `ecct_rounds.py WORK.npz DEVICES SEED FD` in the
library's own environment. It writes the work, and is then served as the peers' scripts are.
"""

import copy
import dataclasses
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from rows import Row, serve
from simulation_throughput import EcctRounds, PlainRounds, StockRounds

from benchmarks.peers.workload import Workload, known_embeddings, make_workload, write_work
from ecct_tf.config import EngineName, RunConfig, ServerConfig
from ecct_tf.federated import federated_runtime

AVERAGING = ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0)


def averaging(workload: Workload) -> Workload:
    """The same devices, which answer nothing and share all weights: federated averaging."""
    task = dataclasses.replace(workload.work.task, sharing="all")
    work = dataclasses.replace(workload.work, task=task, sends=False)
    return dataclasses.replace(workload, work=work)


def _rows(workload: Workload) -> Iterator[Row]:
    alone = averaging(workload)
    kinds = [("exchange", workload, RunConfig().server), ("averaging alone", alone, AVERAGING)]
    for kind, each, server in kinds:
        engines: tuple[EngineName, ...] = ("tff", "local")
        for engine in engines:
            yield _ecct_row(f"ECCT, {kind}, engine {engine}", each, server, engine)
    yield _fresh_row("ECCT, exchange, fresh draws", workload)
    for kind, each, server in kinds:
        yield _plain_row(f"plain TensorFlow, {kind}", each, server)
    yield _stock_row("tff.learning, averaging", workload, table=False)
    yield _stock_row("tff.learning, with item table", workload, table=True)


def _rounds(workload: Workload, server: ServerConfig, engine: EngineName) -> EcctRounds:
    work, devices, cloud = workload.work, workload.devices, workload.cloud
    return EcctRounds(work, devices, cloud, workload.seed, engine=engine, server=server)


def _ecct_row(name: str, workload: Workload, server: ServerConfig, engine: EngineName) -> Row:
    rounds = _rounds(workload, server, engine)
    before = rounds.state.cohorts[0].server.shared
    rounds()
    change = rounds.state.cohorts[0].server.shared - before
    return Row(name, rounds, rounds.report.train_loss, change if server is AVERAGING else None)


def _fresh_row(name: str, workload: Workload) -> Row:
    """Each round with as many other devices, of a population of four times their number."""
    number = len(workload.devices.devices)
    many = make_workload(devices=4 * number, seed=workload.seed)
    rounds = EcctRounds(many.work, many.devices, many.cloud, many.seed, drawn=number)
    rounds()
    return Row(name, rounds, None, None)


def _plain_row(name: str, workload: Workload, server: ServerConfig) -> Row:
    side_by_side = RunConfig().runtime.concurrent_calls
    rounds = PlainRounds(_rounds(workload, server, "local"), side_by_side=side_by_side)
    change, _ = rounds()
    return Row(name, rounds, rounds.loss, change if server is AVERAGING else None)


def _stock_row(name: str, workload: Workload, *, table: bool) -> Row:
    cloud = copy.copy(workload.cloud)
    cloud.embeddings = known_embeddings(workload)
    start = workload.start
    if table:
        start = np.concatenate([np.ravel(part) for part in workload.table_start.values()])
    rounds = StockRounds(workload.work, workload.devices, cloud, table=table, start=start)
    rounds()
    return Row(name, rounds, rounds.loss, rounds.weights - start, table=table, slow=True)


def main() -> None:
    """Serves the rows."""
    path, devices, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    # Shards have some shapes each: TensorFlow warns of each new one in the first rounds.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    runtime = RunConfig().runtime
    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.concurrent_calls)
    workload = make_workload(devices=devices, seed=seed)
    write_work(path, workload)
    with federated_runtime(threads=runtime.threads, concurrent_calls=runtime.concurrent_calls):
        serve(list(_rows(workload)), packages=["tensorflow", "tensorflow-federated"])


if __name__ == "__main__":
    main()
