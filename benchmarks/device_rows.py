"""What a phone holds of a catalog of any size, in bytes of its file, its state and its rows.

The tables are random numbers with the widths of the default on MovieLens-100K. A file is exported
for rows as an input, with the default `exchange.candidates`, and a device gets as many chosen rows
and touches as many items as there is room for. Bytes are counted, no phone is measured.

    python benchmarks/device_rows.py --items 10000,1000000
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import tempfile
from pathlib import Path

import click
import numpy as np

from ecct_tf.config import RunConfig
from ecct_tf.data.profile import ProfileShape
from ecct_tf.knowledge import Block, ItemTable
from ecct_tf.knowledge.table_files import item_table_file
from ecct_tf.simulation.builder import device_work
from ecct_tf.simulation.published_rows import room_of
from ecct_tf.wire import digest_of
from ecct_tf.wire.item_rows import ItemRows
from mobile_export.device import Device, DeviceModel
from mobile_export.making.export import export_edge_model


@click.command()
@click.option("--items", default="10000,1000000", show_default=True)
@click.option("--tier", default="mlp", show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(items: str, tier: str, seed: int) -> None:
    """Prints the table."""
    print(f"tier {tier}, seed {seed}")
    print(f"{'items':>10} {'whole table':>14} {'file':>10} {'state':>10} {'rows':>6} {'input':>10}")
    for size in sorted(int(each) for each in items.split(",")):
        whole, file, state, rows, given = measured(size, tier=tier, seed=seed)
        print(
            f"{size:>10,} {whole:>12,} B {file:>8,} B {state:>8,} B {rows:>6,} {given:>8,} B",
            flush=True,
        )


def measured(size: int, *, tier: str, seed: int) -> tuple[int, int, int, int, int]:
    """Bytes of table, file and state; rows of the device, and bytes of the input they are in."""
    config = RunConfig(seed=seed)
    table = random_table(config, size, seed=seed)
    work = device_work(config, tier, table=table, profile=ProfileShape(()))
    room = room_of(config)
    published = item_table_file(table, "int8")
    everything = published.to_bytes()
    digest = digest_of(everything)
    whole = len(everything)
    del everything
    chosen = ItemRows.cut(published, np.arange(room.chosen + 1), table_sha256=digest)
    touched = np.arange(size - room.touched, size, dtype=np.int32)
    with tempfile.TemporaryDirectory() as folder:
        (file,) = export_edge_model(
            work.model,
            work.model.layout.initial(seed),
            table,
            task=work.task,
            out=Path(folder),
            held=room,
        )
        model = DeviceModel(file.path, runtime="tensorflow")
        path = Path(folder) / "0.state"
        device = Device.create(path, model, user=0)
        device.hold(chosen)
        device.interact(touched, rows=ItemRows.cut(published, touched, table_sha256=digest))
        device.score(touched[:100])
        (port,) = [each for each in model.file.contract["score"].inputs if each.name == "item_rows"]
        given = int(np.prod([extent or 0 for extent in port.shape]))
        rows = device.state.rows
        return whole, file.num_bytes, path.stat().st_size, len(rows.items) if rows else 0, given


def random_table(config: RunConfig, size: int, *, seed: int) -> ItemTable:
    """A table of `size` items whose values are drawn."""
    rng = np.random.default_rng(seed)

    def drawn(width: int) -> np.ndarray:
        values = rng.standard_normal((size + 1, width), np.float32)
        values[0] = 0.0
        return values

    rank = config.cloud.next_item.rank
    genres = drawn(19)
    blocks = (
        Block("preference", drawn(24), drawn(24)),
        Block("sequence", drawn(24), drawn(24)),
        Block("next item", drawn(rank), drawn(rank)),
        Block("category", genres, genres),
    )
    moments = np.ones(config.features.width(num_blocks=4, num_attributes=2), np.float32)
    return ItemTable(
        blocks=blocks,
        attributes=drawn(2),
        cloud=drawn(2 * config.cloud.rank + config.cloud.free_dim),
        bias=np.zeros(size + 1, np.float32),
        feature_mean=0.0 * moments,
        feature_scale=moments,
    )


if __name__ == "__main__":
    main()
