"""Size of the default model's file at many items, and the memory that its export takes.

    python benchmarks/table_export.py --items 100000 --variant trainable-int4

The blocks, attributes and cloud embedding have the default's widths on MovieLens, the values are
drawn: what is measured does not depend on them. The model is the `mlp` tier with default settings.
Memory is the most that the process has held since before the export, beyond what it held then.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from ecct_tf.config import RunConfig
from ecct_tf.edge import DeviceTask, EdgeSpec, build_edge_model
from ecct_tf.knowledge import Block, ExchangeSpec, ItemTable
from mobile_export.making.export import export_edge_model
from mobile_export.making.variants import VARIANTS

CATEGORIES, ATTRIBUTES = 19, 2


def default_table(items: int, config: RunConfig) -> ItemTable:
    """A table of drawn values whose cloud embedding has two blocks' targets, as the default's."""
    rng = np.random.default_rng(0)

    def rows(width: int) -> np.ndarray:
        values = rng.standard_normal((items + 1, width), np.float32)
        values[0] = 0.0
        return values

    rank, learned = config.cloud.rank, config.cloud.next_item.rank
    genres = (rows(CATEGORIES) > 1.5).astype(np.float32)
    blocks = (
        Block("preference", rows(rank), rows(rank)),
        Block("sequence", rows(rank), rows(rank)),
        Block("next item", rows(learned), rows(learned)),
        Block("category", genres, genres),
    )
    own = rows(config.cloud.free_dim)
    features = config.features.width(num_blocks=len(blocks), num_attributes=ATTRIBUTES)
    return ItemTable(
        blocks=blocks,
        attributes=rows(ATTRIBUTES),
        cloud=np.concatenate([blocks[0].target, blocks[1].target, own], axis=1),
        bias=rows(1)[:, 0],
        feature_mean=np.zeros(features, np.float32),
        feature_scale=np.ones(features, np.float32),
    )


class Peak(threading.Thread):
    """Reads the resident set of this process until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process, self._done = psutil.Process(), threading.Event()
        self.before = self.most = self._process.memory_info().rss

    def run(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss)

    def stop(self) -> None:
        self._done.set()
        self.join()


def main() -> None:
    """Exports once and prints sizes, seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="trainable-int8")
    given = parser.parse_args()
    config = RunConfig()
    table = default_table(given.items, config)
    spec = EdgeSpec(
        interaction_dim=len(table.feature_mean),
        history_length=config.features.history_length,
        num_blocks=len(table.blocks),
        profile_sizes=(3, 8, 22),
        cloud_dim=table.cloud_dim,
        embedding_dim=config.edge.embedding_dim,
        hidden_dim=config.edge.hidden_dim,
        profile_dim=config.edge.profile_dim,
        heads=config.edge.heads,
        item_dim=sum(block.source.shape[1] for block in table.blocks),
    )
    model = build_edge_model("mlp", spec)
    exchange = ExchangeSpec(table.cloud_dim, spec.embedding_dim, config.exchange.queries, "int8")
    task = DeviceTask(
        features=config.features,
        samples=config.samples,
        training=config.training,
        exchange=exchange,
        sharing=config.edge.shared,
    )
    with tempfile.TemporaryDirectory() as folder:
        peak, began = Peak(), time.monotonic()
        peak.start()
        (file,) = export_edge_model(
            model,
            model.layout.initial(0),
            table,
            task=task,
            out=Path(folder),
            variants=[given.variant],
        )
        peak.stop()
    held = peak.most - peak.before
    print(
        f"{given.items:,} items, {file.variant}: {file.num_bytes:,} bytes, "
        f"{file.num_bytes / given.items:.1f} an item; {time.monotonic() - began:.0f} s; memory "
        f"{held / 2**20:,.0f} MiB more, {held / file.num_bytes:.1f} files, "
        f"{peak.most / 2**20:,.0f} MiB in all"
    )


if __name__ == "__main__":
    main()
