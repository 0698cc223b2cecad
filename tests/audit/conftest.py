"""Uplinks with and without a planted secret, and a small run to audit."""

import numpy as np
import pytest

from ecct_tf.audit import probes
from ecct_tf.audit.received import Received, answers_of
from ecct_tf.config import load_config

USERS, ITEMS, ASKED, WIDTH = 120, 60, 10, 2


@pytest.fixture(scope="session", autouse=True)
def few_fits():
    """One strength of penalty where there are three: planted secrets need no choice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "PENALTIES", (0.03,))
        yield


@pytest.fixture(scope="session")
def noise():
    """Makes uplinks of pure noise: `(received, rng)`; two of each user."""

    def make(seed=0):
        rng = np.random.default_rng(seed)
        users = np.repeat(np.arange(USERS), 2)
        shape = (len(users), ASKED)
        items = np.stack([rng.choice(np.arange(1, ITEMS + 1), ASKED, replace=False) for _ in users])
        return Received(
            users=users,
            rounds=np.tile([0, 1], USERS),
            items=items,
            embeddings=rng.normal(size=(*shape, WIDTH)),
            logits=rng.normal(size=shape),
            source="checkpoint",
        )

    return make


@pytest.fixture(scope="session")
def noise_answers(noise):
    return answers_of(noise())


@pytest.fixture(scope="session")
def audited_run(tmp_path_factory):
    """The folder of a small run with an uplink log."""
    from ecct_tf.simulation.simulate import simulate

    folder = tmp_path_factory.mktemp("audit")
    config = load_config(
        overrides=[
            "data.dataset=synthetic",
            "data.synthetic_users=40",
            "data.synthetic_items=120",
            "evaluation.negatives=20",
            "evaluation.catalog=none",
            "cloud.rank=4",
            "cloud.next_item.epochs=0",
            "baselines=false",
            "edge.start=random",
            "runtime.engine=local",
            "rounds=2",
            "exchange.stage_1_rounds=1",
            "exchange.uplink_log=run:uplinks",
        ]
    )
    simulate(config, out=folder / "run")
    return folder / "run"
