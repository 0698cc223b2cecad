"""Size of the default model's file at many items, and the memory that its export takes.

    python benchmarks/table_export.py --items 100000 --variant trainable-int4
    python benchmarks/table_export.py --items 100000 --litert-python .venv-current/bin/python

With LiteRT, which that Python has, it also times the file's calls, with one thread: the median of
1,000 calls, the best of three rounds.

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
from mobile_export.checking.synthetic import synthetic_examples
from mobile_export.contract.samples import group_size_of
from mobile_export.contract.signatures import contract_of
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.examples import example_inputs
from mobile_export.making.export import export_edge_model
from mobile_export.making.variants import VARIANTS
from mobile_export.runtime.interpreter import Interpreter

CATEGORIES, ATTRIBUTES = 19, 3
SCORED, TRAINED = 100, 32


def default_table(items: int, config: RunConfig) -> ItemTable:
    """A table of drawn values whose cloud embedding has two blocks' targets, as the default's."""
    rng = np.random.default_rng(0)

    def rows(width: int) -> np.ndarray:
        values = rng.standard_normal((items + 1, width), np.float32)
        values[0] = 0.0
        return values

    rank, learned = config.cloud.rank, config.cloud.next_item.rank
    genres, liked = (rows(CATEGORIES) > 1.5).astype(np.float32), rows(rank)
    blocks = (
        Block("preference", liked, liked),
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
        feature_mean=rng.standard_normal(features, np.float32),
        # As in real tables not all 1, which would be folded away.
        feature_scale=rng.uniform(0.5, 2.0, features).astype(np.float32),
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


def latency(path: Path, python: str) -> list[str]:
    """A line for each timed call of the file."""
    metadata = read_metadata(path.read_bytes())
    contract = contract_of(metadata)
    # A batch has whole positions.
    trained = TRAINED // group_size_of(metadata) * group_size_of(metadata)
    lines = []
    with Interpreter("litert", python=python) as litert:
        litert.load(path)
        for name, rows in (("score", SCORED), ("train", trained)):
            (example,) = synthetic_examples(path, count=1, candidates=rows)
            given = example_inputs(example, contract[name])
            taken = min(litert.median_microseconds(name, given) for _ in range(3))
            lines.append(f"{name} of {rows} rows: {taken:.1f} µs")
    return lines


def main() -> None:
    """Exports once and prints sizes, seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="trainable-int8")
    parser.add_argument("--litert-python", help="of a Python that has it")
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
        seconds = time.monotonic() - began
        timed = latency(file.path, given.litert_python) if given.litert_python else []
    held = peak.most - peak.before
    print(
        f"{given.items:,} items, {file.variant}: {file.num_bytes:,} bytes, "
        f"{file.num_bytes / given.items:.1f} an item; {seconds:.0f} s; memory "
        f"{held / 2**20:,.0f} MiB more, {held / file.num_bytes:.1f} files, "
        f"{peak.most / 2**20:,.0f} MiB in all",
        *timed,
        sep="\n",
    )


if __name__ == "__main__":
    main()
