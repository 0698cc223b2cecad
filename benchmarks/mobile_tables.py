"""The bench model of `benchmarks/mobile.py`: an edge model over a synthetic item table.

A table of unit rows serves as the one item-to-item block and as the cloud's embeddings, without
item bias and attributes; three profile columns; a network 64-32-1, the `mlp` tier with a hidden
layer of 64 and an `h_e` of 32. Training uses Adam, which has the most state.
"""

from pathlib import Path

import numpy as np

from ecct_tf.config import FeatureConfig, SampleConfig, TrainingConfig
from ecct_tf.edge import DeviceTask, EdgeSpec, build_edge_model
from ecct_tf.knowledge import Block, ExchangeSpec, ItemTable
from mobile_export.making.export import ExportedFile, export_edge_model

FEATURES = FeatureConfig(history_length=20, decays=(1.0, 0.8), last_items=1)


def export_bench(
    items: int, width: int, *, variants: list[str], out: Path, static: tuple[int, int] | None = None
) -> list[ExportedFile]:
    """Writes the bench model over `items` x `width` rows, as devices receive them (int8)."""
    rows = np.random.default_rng(0).standard_normal((items + 1, width)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[0] = 0.0
    features = len(FEATURES.decays) + FEATURES.last_items
    table = ItemTable(
        blocks=(Block("item", rows, rows),),
        attributes=np.zeros((items + 1, 0), np.float32),
        cloud=rows,
        bias=np.zeros(items + 1, np.float32),
        feature_mean=np.zeros(features, np.float32),
        feature_scale=np.ones(features, np.float32),
    )
    spec = EdgeSpec(
        interaction_dim=features,
        history_length=FEATURES.history_length,
        num_blocks=1,
        profile_sizes=(3, 8, 22),
        cloud_dim=width,
        embedding_dim=32,
        hidden_dim=64,
    )
    model = build_edge_model("mlp", spec)
    task = DeviceTask(
        features=FEATURES,
        samples=SampleConfig(),
        training=TrainingConfig(
            loss="bce", optimizer="adam", learning_rate=0.002, private_learning_rate=0.001
        ),
        exchange=ExchangeSpec(width, 32, 24, codec="int8"),
        sharing="backbone",
    )
    return export_edge_model(
        model,
        model.layout.initial(0),
        table.transmitted("int8"),
        task=task,
        out=out,
        variants=variants,
        static=static,
    )
