"""Devices per second of an ECCT round, beside stock TFF and beside plain TensorFlow.

All rows train the same synthetic devices, shaped like MovieLens-1M, in one process and
in turn, so that a ratio compares neighbours in time. `benchmarks/README.md` says what
each row computes and how to read the table.

    python benchmarks/simulation_throughput.py
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import collections
import concurrent.futures
import copy
import dataclasses
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_federated as tff
from throughput_workload import ITEMS, StubCloud, default_work, synthetic_devices

from ecct_tf.config import EngineName, RunConfig, ServerConfig
from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.federated import (
    DeviceData,
    DeviceSet,
    DeviceWork,
    EcctProcess,
    EcctState,
    RoundReport,
    build_ecct_process,
    federated_runtime,
)
from ecct_tf.federated.cohort import make_shards
from ecct_tf.knowledge import Downlink, build_codec

TABLE_DIM = 16  # of the trainable item table that plain federated recommenders have
WANTED_TIMES_STOCK = 20.0
WANTED_SHARE_OF_PLAIN = 0.55
WANTED_SHARE_OF_PLAIN_LOCAL = 0.95

Array = npt.NDArray[np.float32]


class EcctRounds:
    """Rounds of the ECCT process, one after another, of all devices or of `drawn` new ones each."""

    def __init__(
        self,
        work: DeviceWork,
        devices: DeviceSet,
        cloud: StubCloud,
        seed: int,
        *,
        engine: EngineName = "tff",
        server: ServerConfig | None = None,
        drawn: int | None = None,
    ) -> None:
        config = RunConfig()
        number = len(devices.devices)
        self.cloud = cloud
        self.process: EcctProcess = build_ecct_process(
            [(work, devices)],
            table=cloud.table,
            table_bytes=cloud.table.encoded_bytes(config.exchange.codec),
            num_users=number,
            stage_1_rounds=0,
            server=server or config.server,
            runtime=dataclasses.replace(config.runtime, engine=engine),
        )
        self.state: EcctState = self.process.initialize(seed)
        self.report: RoundReport | None = None
        self._drawn = drawn
        self._rng = np.random.default_rng(seed)
        self._everyone = np.arange(number, dtype=np.int64)

    def __call__(self) -> None:
        members = self._everyone
        if self._drawn is not None:
            members = np.sort(self._rng.choice(members, self._drawn, replace=False))
        self.state, self.report = self.process.next(self.state, self.cloud, members, members)


class PlainRounds:
    """The same device work on the same shards, in this process and without TFF.

    Downlinks are encoded and shards stacked beforehand; the sums and the uplink rows of
    a round are put together by NumPy. `side_by_side` shards run at a time.
    """

    def __init__(self, ecct: EcctRounds, *, side_by_side: int) -> None:
        config = RunConfig()
        cohort = ecct.process.cohorts[0]
        work = cohort.work
        self._shards = make_shards(
            cohort,
            range(len(cohort)),
            shard_size=config.runtime.shard_size,
            batch_size=work.task.batch_size,
        )
        items = ItemTensors(*(tf.constant(array) for array in item_tensors(ecct.cloud.table)))
        self._arguments = [
            (
                DeviceData(*(tf.constant(array) for array in shard.data)),
                _downlink(work, ecct.cloud, shard.data.users),
            )
            for shard in self._shards
        ]
        self._private = np.asarray(ecct.state.cohorts[0].private)
        coder = build_codec(work.weights_codec)
        shared = ecct.state.cohorts[0].server.shared
        self._shared = coder.decode(coder.encode(shared), len(shared))
        self._pool = concurrent.futures.ThreadPoolExecutor(side_by_side)
        self.loss = float("nan")

        @tf.function(reduce_retracing=True)
        def train(shared: Any, data: Any, private: Any, downlink: Any) -> Any:
            return work(
                shared=shared,
                noise_seed=tf.constant(0),
                items=items,
                data=data,
                private=private,
                downlink=downlink,
                stacked=True,
            )

        self._train = train

    def __call__(self) -> tuple[Array, Array]:
        """Mean change of shared weights `[P_shared]`, private weights `[devices, P_private]`."""
        results = list(self._pool.map(self._one, range(len(self._shards))))
        change = np.sum([result.delta for result in results], axis=0)
        weight = np.sum([result.weight for result in results])
        self.loss = float(np.sum([result.loss for result in results]) / weight)
        for parts in zip(*(tf.nest.flatten(result.uplink) for result in results), strict=True):
            np.concatenate(parts)
        private = self._private.copy()
        for shard, result in zip(self._shards, results, strict=True):
            private[shard.members] = result.private
        return change / weight, private

    def _one(self, index: int) -> Any:
        data, downlink = self._arguments[index]
        private = tf.constant(self._private[self._shards[index].members])
        result = self._train(self._shared, data, private, downlink)
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), result)


def _downlink(work: DeviceWork, cloud: StubCloud, users: npt.NDArray[np.int32]) -> Downlink:
    embeddings = cloud.downlinks(users.ravel(), round_number=0)
    queries = cloud.queries(users.ravel(), round_number=0)
    return Downlink(
        work.exchange.coder.encode(tf.constant(embeddings.reshape(*users.shape, -1))),
        tf.constant(queries.reshape(*users.shape, -1)),
    )


class StockRounds:
    """`tff.learning`'s weighted FedAvg with its faster loop, one `tf.data` dataset a device."""

    def __init__(
        self,
        work: DeviceWork,
        devices: DeviceSet,
        cloud: StubCloud,
        *,
        table: bool,
        start: Array | None = None,
    ) -> None:
        training = work.training
        self._data = [
            _dataset(device, cloud, batch_size=training.batch_size, table=table)
            for device in devices.devices
        ]
        input_spec = self._data[0].element_spec

        def model() -> Any:
            return tff.learning.models.from_keras_model(
                _keras_model(work, table=table),
                loss=_TwoTeachers(training.distillation_weight, training.temperature),
                input_spec=input_spec,
                metrics=[],
            )

        self._process = tff.learning.algorithms.build_weighted_fed_avg(
            model,
            client_optimizer_fn=tff.learning.optimizers.build_sgdm(training.learning_rate),
            loop_implementation=tff.learning.LoopImplementation.DATASET_ITERATOR,
        )
        self._state = self._process.initialize()
        self.loss = float("nan")
        if start is not None:
            self._begin_with(start)

    def __call__(self) -> None:
        result = self._process.next(self._state, self._data)
        self._state = result.state
        self.loss = float(result.metrics["client_work"]["train"]["loss"])

    @property
    def weights(self) -> Array:
        """`[P] float32`; without a table in the order of the edge model's own."""
        weights = self._process.get_model_weights(self._state)
        return np.concatenate([np.ravel(part) for part in weights.trainable])

    def _begin_with(self, start: Array) -> None:
        weights = self._process.get_model_weights(self._state)
        ends = np.cumsum([np.size(part) for part in weights.trainable])[:-1]
        parts = zip(np.split(start, ends), weights.trainable, strict=True)
        trainable = [own.reshape(np.shape(part)) for own, part in parts]
        begun = tff.learning.models.ModelWeights(trainable, list(weights.non_trainable))
        self._state = self._process.set_model_weights(self._state, begun)


class _TwoTeachers(tf.keras.losses.Loss):
    """The ECCT device's loss: labels, and the cloud's logits with weight λ."""

    def __init__(self, weight: float, temperature: float) -> None:
        super().__init__()
        self._weight, self._temperature = weight, temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        label, teacher, logit = y_true[:, 0], y_true[:, 1], y_pred[:, 0]
        entropy = tf.nn.sigmoid_cross_entropy_with_logits
        soft = entropy(
            labels=tf.sigmoid(teacher / self._temperature), logits=logit / self._temperature
        )
        return entropy(labels=label, logits=logit) + self._weight * self._temperature**2 * soft


def _keras_model(work: DeviceWork, *, table: bool) -> Any:
    spec = work.model.spec
    layers = tf.keras.layers
    inputs = {
        "dense": layers.Input(spec.interaction_dim + spec.cloud_dim + 1),
        "profile": layers.Input(len(spec.profile_sizes), dtype=tf.int32),
    }
    parts = [inputs["dense"]]
    for column, rows in enumerate(spec.profile_sizes):
        parts.append(layers.Embedding(rows, spec.profile_dim)(inputs["profile"][:, column]))
    if table:
        inputs["item"] = layers.Input((), dtype=tf.int32)
        parts.append(layers.Embedding(ITEMS + 1, TABLE_DIM)(inputs["item"]))
    joined = layers.Concatenate()(parts)
    hidden = layers.Dense(spec.hidden_dim, activation="relu")(joined)
    embedding = layers.Dense(spec.embedding_dim, activation="tanh")(hidden)
    logit = layers.Dense(1)(layers.Concatenate()([embedding, joined]))
    return tf.keras.Model(inputs, logit)


def _dataset(device: DeviceData, cloud: StubCloud, *, batch_size: int, table: bool) -> Any:
    """A device's samples with the cloud's knowledge already joined to them, batched."""
    items = cloud.table
    embedding = cloud.embeddings[device.users[0]] * items.cloud[device.candidates]
    logit = embedding.sum(axis=1) + items.bias[device.candidates]
    dense = [device.features.astype(np.float32), embedding, np.clip(logit, -10, 10)[:, None]]
    inputs = collections.OrderedDict(dense=np.concatenate(dense, axis=1))
    if table:
        inputs["item"] = device.candidates
    inputs["profile"] = np.repeat(device.profile, len(logit), axis=0)
    targets = np.stack([device.labels.astype(np.float32), logit], axis=1)
    return tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(batch_size)


@dataclasses.dataclass
class Row:
    """A line of the table: `run` is one round; `seconds[cycle]` are its rounds' times."""

    name: str
    run: Callable[[], Any]
    seconds: list[list[float]] = dataclasses.field(default_factory=list)

    def timed(self) -> float:
        start = time.perf_counter()
        self.run()
        return time.perf_counter() - start


def measure(fast: Sequence[Row], slow: Sequence[Row], *, repeats: int, rounds: int) -> None:
    """Runs all rows in turn: in each cycle `rounds` of each fast row and one of each slow."""
    for _ in range(repeats):
        for row in (*fast, *slow):
            row.seconds.append([])
        for _ in range(rounds):
            for row in fast:
                row.seconds[-1].append(row.timed())
        for row in slow:
            row.seconds[-1].append(row.timed())


def times_faster(row: Row, than: Row) -> float:
    """Median over cycles of the ratio of the two rows' median round times."""
    ratios = [
        np.median(theirs) / np.median(own)
        for own, theirs in zip(row.seconds, than.seconds, strict=True)
    ]
    return float(np.median(ratios))


def _largest_difference(ecct: EcctRounds, plain: PlainRounds) -> float:
    """Of the private weights after the first round: both must have computed the same."""
    _, private = plain()
    ecct()
    return float(np.abs(ecct.state.cohorts[0].private - private).max())


@click.command(context_settings={"show_default": True})
@click.option("--devices", default=512, type=click.IntRange(1), help="Devices in a round.")
@click.option("--repeats", default=7, type=click.IntRange(1), help="Cycles over all rows.")
@click.option("--rounds", default=5, type=click.IntRange(1), help="Rounds of a fast row a cycle.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of data and weights.")
def main(devices: int, repeats: int, rounds: int, seed: int) -> None:
    """Measures devices per second of an ECCT round, of stock TFF and of plain TensorFlow."""
    runtime = RunConfig().runtime
    # As in TFF's worker; shards run side by side instead. Faster for plain TensorFlow, too.
    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.concurrent_calls)
    rng = np.random.default_rng(seed)
    population = synthetic_devices(rng, number=devices)
    cloud = StubCloud(rng, users=devices, queries=RunConfig().exchange.queries)
    work = default_work(cloud.table)
    with federated_runtime(threads=runtime.threads, concurrent_calls=runtime.concurrent_calls):
        ecct = EcctRounds(work, population, cloud, seed)
        plain = PlainRounds(ecct, side_by_side=runtime.concurrent_calls)
        difference = _largest_difference(ecct, plain)
        # Its time is counted by itself.
        own_cloud = copy.copy(cloud)
        local = EcctRounds(work, population, own_cloud, seed, engine="local")
        fast = [
            Row("ECCT round with exchange", ecct),
            Row("plain TensorFlow, batched", plain),
            Row("ECCT round, engine local", local),
        ]
        slow = [
            Row(f"tff.learning FedAvg, {name}", StockRounds(work, population, cloud, table=table))
            for name, table in (("with item table", True), ("same edge model", False))
        ]
        for row in (*fast, *slow):
            row.run()  # traces, starts up, fills caches
            row.run()
        cloud.seconds = 0.0
        measure(fast, slow, repeats=repeats, rounds=rounds)
    stub_share = cloud.seconds / sum(map(sum, fast[0].seconds))
    samples = [int(device.samples) for device in population.devices]
    click.echo(
        f"{devices} devices, {sum(samples)} samples ({min(samples)} to {max(samples)}, "
        f"mean {np.mean(samples):.0f}), batch {work.task.batch_size}, "
        f"{work.training.epochs} local epoch; medians of {repeats} cycle(s)\n"
        f"Python {platform.python_version()}, TensorFlow {tf.__version__}, TFF {tff.__version__}, "
        f"{os.cpu_count()} cores; {work.model.layout.size} weights a device, "
        f"{work.shared_size} of them shared\n"
    )
    _print_table(fast[0], others=[*slow, *fast[1:]], devices=devices, stub_share=stub_share)
    click.echo(f"\nECCT and plain TensorFlow, largest difference of a weight: {difference:.1e}")
    for name, row, than, wanted in (
        ("ECCT / tff.learning with item table", fast[0], slow[0], WANTED_TIMES_STOCK),
        ("ECCT / plain TensorFlow", fast[0], fast[1], WANTED_SHARE_OF_PLAIN),
        ("ECCT, engine local / plain TensorFlow", fast[2], fast[1], WANTED_SHARE_OF_PLAIN_LOCAL),
    ):
        got = times_faster(row, than)
        verdict = "met" if got >= wanted else "MISSED"
        click.echo(f"{name}: {got:.2f}, wanted at least {wanted:g}: {verdict}")


def _print_table(ours: Row, *, others: Sequence[Row], devices: int, stub_share: float) -> None:
    def line(name: str, per_second: float, ratio: float) -> None:
        click.echo(f"{name:38} {per_second:>10,.0f} {ratio:>11.2f}")

    def rate(row: Row) -> float:
        return devices / float(np.median(np.concatenate(row.seconds)))

    click.echo(f"{'':38} {'devices/s':>10} {'ECCT / row':>11}")
    line(ours.name, rate(ours), 1.0)
    kept = 1.0 - stub_share
    line("  the same, the stub's time not counted", rate(ours) / kept, kept)
    for row in others:
        line(row.name, rate(row), times_faster(ours, row))


if __name__ == "__main__":
    main()
