"""Fixtures of the cloud tests: a small view, and clouds of it."""

import dataclasses

import numpy as np
import pytest
from module_files import load_file

from cloud import CloudRecommender
from cloud.retraining import retrain
from cloud.shared_spaces import InputSpaces
from cloud.uplink_log import LogContract, Quarantine, ReplayWindow, log_files, read_uplinks
from cloud.uplink_log.framing import frame
from cloud.version_files import StoredCloud
from cloud.vocabulary import Vocabulary
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
from ecct_tf.wire import UplinkRecord

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
    # Most clouds of the tests differ in what they learn, not in the space that they learn in.
    spaces = InputSpaces()
    features = FeatureConfig(history_length=6, decays=(1.0, 0.8), last_items=2, clock=False)

    def make(
        other=None, *, seed=0, num_queries=NUM_QUERIES, space=None, held_out_share=0.0, **changes
    ):
        seen, settings = other or view, dataclasses.replace(config, **changes)
        return CloudRecommender(
            seen,
            settings,
            features=features,
            edge_dim=EDGE_DIM,
            num_queries=num_queries,
            seed=seed,
            space=space or spaces.of(seen, settings, features=features, seed=seed),
            held_out_share=held_out_share,
        )

    return make


@pytest.fixture(scope="session")
def cloud(make_cloud):
    """A cloud that no test may train."""
    return make_cloud()


@pytest.fixture(scope="session")
def shop_clouds():
    """`(view, names=, **settings) -> make`: makes small recommenders of the shop of `own_shop.py`.

    `make(builder, other=None, **changes)` makes one of the view, or of another. A builder without
    a module is one of `names`, such as `own_test_clouds:`.
    """

    def maker(view, *, names, **settings):
        spaces = {}

        def make(builder, other=None, **changes):
            seen = other or view
            config = CloudConfig(
                **{
                    "model": builder if builder == "ecct" or ":" in builder else names + builder,
                    "rank": 3,
                    "fit_epochs": 2,
                    "batch_size": 32,
                    "update_batch_size": 8,
                    "update_epochs": 1,
                    "next_item": dataclasses.replace(CloudConfig().next_item, epochs=0),
                    **settings,
                    **changes,
                }
            )
            made = CloudRecommender(
                seen,
                config,
                features=FeatureConfig(history_length=4, decays=(1.0,), last_items=1, clock=False),
                edge_dim=EDGE_DIM,
                num_queries=4,
                seed=0,
                space=spaces.get(id(seen)),
            )
            spaces[id(seen)] = made.space
            return made

        return make

    return maker


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


class UplinkMaker:
    """Uplinks to write into logs: small, all different, sound under `contract`."""

    day = 86_400
    contract = LogContract(
        num_users=50,
        num_items=40,
        queries=3,
        embedding_dim=2,
        codec="int8",
        clip_norm=8.0,
        clip_logit=12.0,
        newest_round=100,
        newest_version=5,
    )

    def __call__(self, user=0, round_number=0, *, stage=2, version=1, at=day, codec="int8", **set_):
        """A record; `set_` are fields of the payload, set as they are."""
        form = dataclasses.replace(self.contract.form(with_logits=stage == 2), codec=codec)
        rng = np.random.default_rng([user % 2**31, round_number])
        row = np.zeros(1, form.dtype)
        for name in form.dtype.names:
            shape = row[name].shape
            row[name] = {
                "user": user,
                "items": rng.integers(1, 41, shape),
                "embedding_scales": 0.03125,
                "logit_scale": 0.09375,
            }.get(name, rng.integers(-127, 128, shape) if codec == "int8" else rng.random(shape))
        for name, value in set_.items():
            row[name] = value
        return UplinkRecord(
            user=user,
            round_number=round_number,
            cloud_version=version,
            created_at_seconds=at,
            form=form,
            payload=row.tobytes(),
        )

    def read(self, folder, files=None, *, window=None, **options):
        """All batches of a log, and its quarantine."""
        quarantine = Quarantine(folder / "quarantine")
        batches = read_uplinks(
            folder,
            log_files(folder) if files is None else files,
            contract=options.pop("contract", self.contract),
            window=window or ReplayWindow(self.contract.num_users),
            quarantine=quarantine,
            **options,
        )
        return list(batches), quarantine

    def write(self, folder, contents, *, name="a"):
        """One file of raw contents."""
        path = folder / "date=1970-01-02" / f"{name}.tfrecord"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(map(frame, contents)))
        return path

    @staticmethod
    def keys(batches):
        """(user, round) of all rows, in order."""
        return [
            pair
            for batch in batches
            for pair in zip(batch.users.tolist(), batch.rounds.tolist(), strict=True)
        ]


@pytest.fixture(scope="session")
def uplinks():
    return UplinkMaker()


@pytest.fixture(scope="session")
def taught_cloud(make_cloud, knowledge):
    """A cloud that has published and learned from one round's uplinks."""
    cloud = make_cloud(update_epochs=1)
    cloud.publish()
    cloud.update(knowledge, round_number=0, use_logits=True)
    return cloud


@pytest.fixture(scope="session")
def stored_cloud(taught_cloud, view, knowledge):
    """That cloud as a version."""
    return StoredCloud(
        config=taught_cloud.config,
        features=FeatureConfig(history_length=6, decays=(1.0, 0.8), last_items=2, clock=False),
        edge_dim=EDGE_DIM,
        num_queries=NUM_QUERIES,
        seed=0,
        space=taught_cloud.space,
        snapshot=taught_cloud.snapshot(),
        states=taught_cloud.states,
        older=view.older,
        table=taught_cloud.publish(),
        knowledge=knowledge,
        round_number=1,
        vocabulary=Vocabulary(
            tuple(f"ü{user}" for user in range(view.num_users)),
            tuple(f"i{item}" for item in range(1, view.num_items + 1)),
        ),
    )


@pytest.fixture(scope="session")
def jobs():
    """`retraining_jobs.py`: jobs that are small enough for a test, and logs for them."""
    return load_file("tests/cloud/retraining_jobs.py")


@pytest.fixture(scope="session")
def calm(jobs, tmp_path_factory):
    """The folder of a job that nothing disturbed, its registry and its log: only to be read."""
    folder = tmp_path_factory.mktemp("calm")
    jobs.write_log(folder, range(20), name="log")
    assert retrain(jobs.small_job(folder), folder / "job", show=False).promoted
    return folder
