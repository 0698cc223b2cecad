"""A small population for whole runs."""

import pytest

from ecct_tf.config import RunConfig, load_config

SMALL = (
    "data.dataset=synthetic",
    "data.synthetic_users=24",
    "data.synthetic_items=120",
    "evaluation.negatives=20",
    "cloud.rank=4",
    "baselines=false",
    # Weights of the cloud take seconds to train, and have tests of their own.
    "edge.start=random",
)


@pytest.fixture(scope="session")
def small_config():
    """Makes a configuration of the small population, with further overrides."""

    def make(*overrides: str) -> RunConfig:
        return load_config(overrides=[*SMALL, *overrides])

    return make
