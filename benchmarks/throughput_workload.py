"""The workload of `simulation_throughput.py`: devices like MovieLens-1M's, and a stub cloud."""

import dataclasses
import time

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.edge import DeviceTask, EdgeSpec, build_edge_model
from ecct_tf.federated import DeviceData, DeviceSet, DeviceWork
from ecct_tf.knowledge import Block, ExchangeSpec, ItemTable, KnowledgeStore

__all__ = ["ITEMS", "StubCloud", "default_work", "synthetic_devices"]

ITEMS = 3_706
PROFILE_SIZES = (3, 8, 22)  # gender, age, occupation, each with its unknown row
BLOCK_SIZES = (24, 24, 18)  # the cloud's two item-to-item blocks, and the genres
ATTRIBUTES = 2
CLOUD_DIM = 56

Array = npt.NDArray[np.float32]


class StubCloud:
    """A cloud of prepared answers, so that the devices' side is what is timed."""

    def __init__(self, rng: np.random.Generator, *, users: int, queries: int) -> None:
        self.embeddings = rng.normal(0.0, 0.3, (users, CLOUD_DIM)).astype(np.float32)
        self._queries = rng.integers(1, ITEMS + 1, (users, queries)).astype(np.int32)
        self.table = _item_table(rng)
        self.seconds = 0.0

    def publish(self) -> ItemTable:
        return self.table

    def downlinks(self, users: npt.NDArray[np.int32], *, round_number: int) -> Array:
        del round_number
        start = time.perf_counter()
        found = self.embeddings[users]
        self.seconds += time.perf_counter() - start
        return found

    def queries(
        self,
        users: npt.NDArray[np.int32],
        *,
        round_number: int,
    ) -> npt.NDArray[np.int32]:
        del round_number
        start = time.perf_counter()
        found = self._queries[users]
        self.seconds += time.perf_counter() - start
        return found

    def update(
        self,
        knowledge: KnowledgeStore,
        *,
        round_number: int,
        use_logits: bool,
    ) -> dict[str, float]:
        del knowledge, round_number, use_logits
        return {}


def _item_table(rng: np.random.Generator) -> ItemTable:
    def normal(width: int, scale: float) -> Array:
        return rng.normal(0.0, scale, (ITEMS + 1, width)).astype(np.float32)

    width = RunConfig().features.width(num_blocks=len(BLOCK_SIZES), num_attributes=ATTRIBUTES)
    blocks = [Block(str(size), normal(size, 0.2), normal(size, 0.2)) for size in BLOCK_SIZES]
    return ItemTable(
        blocks=tuple(blocks),
        attributes=normal(ATTRIBUTES, 1.0),
        cloud=normal(CLOUD_DIM, 0.3),
        bias=normal(1, 0.5)[:, 0],
        feature_mean=np.zeros(width, np.float32),
        feature_scale=np.ones(width, np.float32),
    )


def synthetic_devices(rng: np.random.Generator, *, number: int) -> DeviceSet:
    """Devices with 20 to 256 samples, lognormal, 83 on average, one positive in ten."""
    config = RunConfig()
    width = config.features.width(num_blocks=len(BLOCK_SIZES), num_attributes=ATTRIBUTES)
    length = config.features.history_length
    popularity = 1.0 / np.arange(1, ITEMS + 1) ** 0.8
    popularity /= popularity.sum()
    devices = []
    for user in range(number):
        samples = int(np.clip(rng.lognormal(4.2, 0.7), 20, 256))
        devices.append(
            DeviceData(
                users=np.array([user], np.int32),
                profile=np.array([[rng.integers(size) for size in PROFILE_SIZES]], np.int32),
                history=rng.choice(ITEMS, (1, length), p=popularity).astype(np.int32) + 1,
                samples=np.array(samples, np.int32),
                owner=np.zeros(samples, np.uint8),
                candidates=rng.choice(ITEMS, samples, p=popularity).astype(np.int32) + 1,
                labels=(rng.random(samples) < 0.1).astype(np.uint8),
                targets=np.zeros((samples, 0), np.float32),
                features=rng.normal(0.0, 1.0, (samples, width)).astype(np.float16),
                slots=np.zeros((samples, 0, len(BLOCK_SIZES)), np.float16),
                slot_counts=np.full(samples, length, np.uint8),
                histories=np.zeros((samples, 0), np.int32),
                weights=np.zeros((samples, 0), np.float32),
            )
        )
    return DeviceSet(tuple(devices))


def default_work(table: ItemTable) -> DeviceWork:
    """What a device does in stage 2 by default, but with a loss of single samples, as its peers."""
    config = RunConfig()
    spec = EdgeSpec(
        interaction_dim=len(table.feature_mean),
        history_length=config.features.history_length,
        num_blocks=len(table.blocks),
        profile_sizes=PROFILE_SIZES,
        cloud_dim=CLOUD_DIM,
        embedding_dim=config.edge.embedding_dim,
        hidden_dim=config.edge.hidden_dim,
        profile_dim=config.edge.profile_dim,
    )
    return DeviceWork(
        model=build_edge_model("mlp", spec),
        task=DeviceTask(
            features=config.features,
            samples=config.samples,
            training=dataclasses.replace(config.training, loss="bce"),
            exchange=ExchangeSpec(
                cloud_dim=CLOUD_DIM,
                embedding_dim=config.edge.embedding_dim,
                num_queries=config.exchange.queries,
                codec=config.exchange.codec,
                clip_norm=config.exchange.clip_norm,
                clip_logit=config.exchange.clip_logit,
            ),
            sharing=config.edge.shared,
        ),
        block_sizes=BLOCK_SIZES,
        weights_codec=config.exchange.weights_codec,
    )
