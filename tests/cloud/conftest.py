"""Fixtures of the cloud tests: a small view, and clouds of it."""

import dataclasses

import numpy as np
import pytest

from cloud import CloudRecommender
from ecct_tf.config import CloudConfig, FeatureConfig
from ecct_tf.data import (
    CentralizedTable,
    CloudView,
    FeatureSchema,
    OlderInteractions,
    SyntheticConfig,
    cloud_view,
    leave_one_out,
    synthetic_dataset,
)
from ecct_tf.knowledge import KnowledgeStore, UplinkRows

NUM_QUERIES = 6
EDGE_DIM = 3


@pytest.fixture(scope="session")
def view():
    dataset = synthetic_dataset(SyntheticConfig(users=24, items=40, interactions=12, seed=5))
    return cloud_view(dataset, leave_one_out(dataset))


@pytest.fixture(scope="session")
def make_view():
    """A view of hand-made histories without feature columns, or with the item columns given."""

    def make(histories, *, num_items, schema=None, item_columns=(), user_columns=()):
        schema = schema or FeatureSchema("plain", ())
        lengths = [len(history) for history in histories]
        flat = [item for history in histories for item in history]
        return CloudView(
            num_users=len(histories),
            num_items=num_items,
            older=OlderInteractions(
                items=np.array(flat, np.int32),
                offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
                timestamps=np.arange(len(flat), dtype=np.int64),
            ),
            items=CentralizedTable(schema, item_columns),
            users=CentralizedTable(schema, user_columns),
        )

    return make


@pytest.fixture(scope="session")
def config():
    return CloudConfig(
        rank=3, free_dim=2, hidden_dim=4, learning_rate=0.02, batch_size=16, update_batch_size=8
    )


@pytest.fixture(scope="session")
def make_cloud(view, config):
    def make(other=None, *, seed=0, num_queries=NUM_QUERIES, space=None, **changes):
        return CloudRecommender(
            other or view,
            dataclasses.replace(config, **changes),
            features=FeatureConfig(history_length=6, decays=(1.0, 0.8), last_items=2),
            edge_dim=EDGE_DIM,
            num_queries=num_queries,
            seed=seed,
            space=space,
        )

    return make


@pytest.fixture(scope="session")
def cloud(make_cloud):
    """A cloud that no test may train."""
    return make_cloud()


@pytest.fixture(scope="session")
def everybody(view):
    return np.arange(view.num_users, dtype=np.int32)


@pytest.fixture(scope="session")
def knowledge(cloud, view, everybody):
    """Uplinks of all users but the last two, with planted logits: even items are liked."""
    users = everybody[:-2]
    items = cloud.queries(users, round_number=0)
    rng = np.random.default_rng(0)
    store = KnowledgeStore.empty(
        num_users=view.num_users, num_queries=NUM_QUERIES, embedding_dim=EDGE_DIM
    )
    return store.updated(
        UplinkRows(
            users=users,
            items=items,
            embeddings=rng.normal(size=(*items.shape, EDGE_DIM)).astype(np.float32),
            logits=np.where(items % 2 == 0, 3.0, -3.0).astype(np.float32),
        ),
        round_number=0,
    )
