"""Fixtures of the federated tests: one worker, one small experiment of all three tiers."""

import dataclasses
import functools

import numpy as np
import pytest

from ecct_tf.config import (
    CloudConfig,
    EdgeConfig,
    EvaluationConfig,
    ExchangeConfig,
    FeatureConfig,
    RunConfig,
    RuntimeConfig,
    SampleConfig,
    ServerConfig,
    TrainingConfig,
)
from ecct_tf.data import SyntheticConfig, leave_one_out, synthetic_dataset
from ecct_tf.edge import ItemTensors, item_tensors
from ecct_tf.federated import build_ecct_process, federated_runtime
from ecct_tf.simulation.ecct import build_ecct
from ecct_tf.simulation.experiment import build_experiment


class StubCloud:
    """Fixed user embeddings, queries from (round, user), and no learning."""

    def __init__(self, table, *, num_users, num_queries):
        rng = np.random.default_rng(7)
        self._vectors = rng.normal(size=(num_users, table.cloud.shape[1])).astype(np.float32)
        self._num_items = table.num_items
        self._num_queries = num_queries
        self.asked = []
        self.updates = []

    def downlinks(self, users, *, round_number):
        self.asked.append((round_number, tuple(users.tolist())))
        return self._vectors[users]

    def queries(self, users, *, round_number):
        def draw(user):
            rng = np.random.default_rng([round_number, int(user)])
            return 1 + rng.choice(self._num_items, self._num_queries, replace=False)

        return np.stack([draw(user) for user in users]).astype(np.int32)

    def update(self, knowledge, *, round_number, use_logits):
        self.updates.append((round_number, use_logits, int((knowledge.rounds >= 0).sum())))
        return {"cloud_loss": 0.5}


@pytest.fixture(scope="session")
def stub_cloud():
    """The class of the clouds that the tests' rounds have."""
    return StubCloud


@pytest.fixture(scope="session")
def runtime():
    """The one worker of these tests."""
    with federated_runtime() as runtime:
        yield runtime


@pytest.fixture(scope="session")
def config():
    return RunConfig(
        seed=3,
        features=FeatureConfig(history_length=6, decays=(1.0, 0.8), last_items=2, clock=False),
        samples=SampleConfig(negatives=3, max_positions=16),
        edge=EdgeConfig(
            tiers={"linear": 0.34, "mlp": 0.33, "attention": 0.33},
            embedding_dim=3,
            hidden_dim=4,
            profile_dim=2,
            start="random",
        ),
        training=TrainingConfig(
            loss="bce",
            batch_size=6,
            learning_rate=0.1,
            private_learning_rate=0.05,
            distillation_weight=0.3,
        ),
        server=ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0),
        exchange=ExchangeConfig(
            codec="float32", weights_codec="float32", stage_1_rounds=1, queries=4
        ),
        # The stub that stands in for the cloud keeps no earlier answers.
        cloud=CloudConfig(rank=3, free_dim=2, hidden_dim=4, answer_ridge=0.0),
        evaluation=EvaluationConfig(negatives=5, k=3),
        runtime=RuntimeConfig(shard_size=5),
    )


@pytest.fixture(scope="session")
def dataset():
    return synthetic_dataset(SyntheticConfig(users=24, items=40, interactions=12, seed=5))


@pytest.fixture(scope="session")
def split(dataset):
    return leave_one_out(dataset)


@pytest.fixture(scope="session")
def experiment(config, dataset):
    return build_ecct(build_experiment(config, dataset=dataset, progress=False))


@pytest.fixture(scope="session")
def cohorts(experiment):
    """The cohorts by tier."""
    return {cohort.work.model.tier: cohort for cohort in experiment.process.cohorts}


@pytest.fixture(scope="session")
def items(experiment):
    return ItemTensors(*(np.asarray(array) for array in item_tensors(experiment.table)))


@pytest.fixture(scope="session")
def make_cloud(experiment, dataset, config):
    def make():
        return StubCloud(
            experiment.table,
            num_users=dataset.num_users,
            num_queries=config.exchange.queries,
        )

    return make


@pytest.fixture(scope="session")
def compose(experiment, dataset, cohorts, config):
    """Composes a process of chosen tiers; keyword arguments change their device work."""

    def compose(
        tiers,
        *,
        shard_size=3,
        stage_1_rounds=1,
        server=None,
        devices=None,
        workers=(),
        engine=None,
        stages=None,
        asynchronous=False,
        **changes,
    ):
        names = ("sends", "weights_codec", "speak_above")
        own = {name: changes.pop(name) for name in names if name in changes}
        works = [
            (
                dataclasses.replace(cohorts[tier].work.changed(**changes), **own),
                cohorts[tier].devices if devices is None else devices,
            )
            for tier in tiers
        ]
        return build_ecct_process(
            works,
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=stage_1_rounds,
            server=server or config.server,
            runtime=RuntimeConfig(shard_size=shard_size, workers=workers, engine=engine),
            stages=stages,
            asynchronous=asynchronous,
        )

    cached = functools.cache(compose)
    # A process is a value: equal arguments may share one. Devices have no hash.
    return lambda *args, **kwargs: (compose if "devices" in kwargs else cached)(*args, **kwargs)


@pytest.fixture(scope="session")
def started(dataset, experiment):
    """`started(work, devices, weights)`: a process of one cohort that begins with `weights`."""

    def build(work, devices, weights):
        return build_ecct_process(
            [(work, devices)],
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=1,
            server=ServerConfig(),
            runtime=RuntimeConfig(shard_size=4, engine="local"),
            starts={work.model.tier: weights},
        )

    return build


@pytest.fixture(scope="session")
def run_rounds(runtime, make_cloud):
    """Runs rounds with a fresh stub cloud; everybody takes part unless told otherwise."""
    del runtime

    def run(process, rounds, *, participants=None, answering=None, seed=1):
        cloud, state, reports = make_cloud(), process.initialize(seed), []
        everybody = np.arange(process.num_devices)
        for _ in range(rounds):
            asked = everybody if participants is None else np.asarray(participants)
            heard = asked if answering is None else np.asarray(answering)
            state, report = process.next(state, cloud, asked, heard)
            reports.append(report)
        return state, reports

    return run


@pytest.fixture(scope="session")
def assert_states_equal():
    """Compares two states of a process: bit by bit, or to a tolerance.

    `answers` is that of what devices answered, by default the one of the weights.
    """

    def check(one, other, *, atol=0.0, answers=None):
        for left, right in zip(one.cohorts, other.cohorts, strict=True):
            for name, value in left.server._asdict().items():
                np.testing.assert_allclose(
                    value, getattr(right.server, name), rtol=0, atol=atol, err_msg=name
                )
            np.testing.assert_allclose(left.private, right.private, rtol=0, atol=atol)
        for field in dataclasses.fields(one.knowledge):
            expected = getattr(other.knowledge, field.name)
            # Answers are sums over all weights: a difference counts against the largest of them,
            # since other processors add in another order.
            np.testing.assert_allclose(
                getattr(one.knowledge, field.name),
                expected,
                rtol=0,
                atol=(atol if answers is None else answers)
                * max(1.0, np.abs(expected).max(initial=0.0)),
                err_msg=field.name,
            )

    return check
