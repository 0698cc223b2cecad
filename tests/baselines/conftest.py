"""Fixtures of the trained baselines' tests: one worker, one small dataset, quick settings."""

import dataclasses
import functools

import numpy as np
import pytest

from ecct_tf.baselines.federated import build_federated_baseline
from ecct_tf.config import EdgeConfig, FeatureConfig, RunConfig, RuntimeConfig, ServerConfig
from ecct_tf.config.baselines import (
    CentralizedConfig,
    ConsensusConfig,
    FederatedBaselineConfig,
    FineTuningConfig,
    PersonalEmbeddingConfig,
    ReconstructionConfig,
)
from ecct_tf.data import (
    SyntheticConfig,
    device_view,
    evaluation_candidates,
    leave_one_out,
    synthetic_dataset,
)
from ecct_tf.federated import federated_runtime

SEED = 3


@pytest.fixture(scope="session")
def runtime():
    """The one worker of these tests."""
    with federated_runtime() as runtime:
        yield runtime


@pytest.fixture(scope="session")
def baseline_config():
    # The first step is the mean itself, later ones depend on the moments.
    average = ServerConfig(optimizer="average", learning_rate=2.0, momentum=0.5)
    return RunConfig(
        seed=SEED,
        features=FeatureConfig(history_length=5, decays=(1.0, 0.5), last_items=2, clock=False),
        edge=EdgeConfig(start="random", embedding_dim=3, hidden_dim=4),
        federated_baseline=FederatedBaselineConfig(
            rounds=2,
            embedding_dim=3,
            hidden_dim=4,
            batch_size=3,
            learning_rate=0.1,
            embedding_learning_rate=1.0,
            proximal=1.0,
            server=average,
            fine_tuning=FineTuningConfig(epochs=2),
            pfedrec=PersonalEmbeddingConfig(
                rounds=2, embedding_dim=3, batch_size=4, server=average
            ),
            fedrecon=ReconstructionConfig(rounds=2, embedding_dim=3, batch_size=4, server=average),
            fedmd=ConsensusConfig(rounds=2),
        ),
        centralized=CentralizedConfig(epochs=6, patience=2, batch_size=32, learning_rate=0.01),
        runtime=RuntimeConfig(shard_size=5),
    )


@pytest.fixture(scope="session")
def small_dataset(with_pay):
    plain = synthetic_dataset(SyntheticConfig(users=12, items=120, interactions=14, seed=5))
    return with_pay(plain, [np.nan, *range(11)])


@pytest.fixture(scope="session")
def small_split(small_dataset):
    return leave_one_out(small_dataset)


@pytest.fixture(scope="session")
def small_groups(small_dataset, small_split):
    """Ten devices with a user each, and one with two."""
    views = [device_view(small_dataset, small_split, int(user)) for user in small_split.users]
    return [[view] for view in views[:-2]] + [views[-2:]]


@pytest.fixture(scope="session")
def small_validation(small_split):
    return evaluation_candidates(small_split, part="validation", negatives=20, seed=SEED)


@pytest.fixture(scope="session")
def build_baseline(baseline_config, small_dataset, small_split, small_groups):
    """Builds a federated baseline; keyword arguments change its section of the config."""

    def build(method, *, shard_size=5, engine=None, groups=None, **changes):
        section = dataclasses.replace(baseline_config.federated_baseline, **changes)
        config = dataclasses.replace(
            baseline_config,
            federated_baseline=section,
            runtime=RuntimeConfig(shard_size=shard_size, engine=engine),
        )
        return build_federated_baseline(
            config,
            method=method,
            dataset=small_dataset,
            split=small_split,
            groups=groups or small_groups,
        )

    # Built without a state of its own: equal arguments may share one. Groups have no hash.
    cached = functools.cache(build)
    return lambda *args, **kwargs: (build if "groups" in kwargs else cached)(*args, **kwargs)


@pytest.fixture(scope="session")
def run_baseline(runtime):
    """Runs rounds in which everybody takes part; returns the state and the last report."""
    del runtime

    def run(baseline, rounds, *, state=None, first=0):
        state = baseline.initialize() if state is None else state
        everybody, report = np.arange(baseline.num_devices), None
        for number in range(first, first + rounds):
            state, report = baseline.next(
                state, round_number=number, participants=everybody, answering=everybody
            )
        return state, report

    return run
