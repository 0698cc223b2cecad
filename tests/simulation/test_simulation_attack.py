"""The attack of a run: what it pushes, what the cloud refuses, how far it gets."""

import dataclasses
import types

import numpy as np
import pytest

from ecct_tf.errors import ConfigError
from ecct_tf.simulation.attack import attack_of
from ecct_tf.simulation.attack_outcome import attack_outcome
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.methods import build_algorithm, quick_references

ATTACKED = (
    "rounds=1",
    "exchange.stage_1_rounds=0",
    "edge.tiers={linear: 1.0}",
    "runtime.engine=local",
    "attack.share=0.25",
    "attack.kind=sybil",
)


class _Rows(Callback):
    def __init__(self):
        self.rows = []

    def on_round(self, result, state):
        del state
        self.rows.append(result.row())


@pytest.fixture(scope="module")
def experiment(small_config):
    return build_experiment(small_config(*ATTACKED))


@pytest.fixture(scope="module")
def attacked(experiment):
    """Algorithm, state after its round, and the row of the round."""
    algorithm, watcher = build_algorithm(experiment), _Rows()
    state = run_rounds(algorithm, experiment, callbacks=[watcher], validate=False)
    return algorithm, state, watcher.rows[0]


def test_forged_uplinks_for_what_was_not_asked_about_never_reach_the_store(experiment, attacked):
    _, state, row = attacked
    poisoned = attack_of(experiment).users
    assert row["refused_uplinks"] == len(poisoned) == 6
    silent = np.flatnonzero(state.edge.knowledge.rounds[experiment.split.users] < 0)
    assert experiment.split.users[silent].tolist() == sorted(poisoned.tolist())


def test_the_outcome_is_that_of_honest_users(experiment, attacked, tmp_path):
    algorithm, state, _ = attacked
    attack, test = attack_of(experiment), experiment.test
    honest = ~np.isin(test.users, attack.users)
    # The item is found first by honest users alone.
    places = np.where(honest, 1, 99)
    rows = [types.SimpleNamespace(side="edge", places=places)]
    outcome = attack_outcome(experiment, algorithm, state, rows)
    assert outcome.hr == {"edge": 1.0}
    assert outcome.devices == 6
    assert experiment.dataset.item_tokens.index(outcome.item) + 1 == attack.item
    assert set(outcome.median_rank) == {"edge", "cloud"}
    assert all(1 <= rank <= outcome.candidates for rank in outcome.median_rank.values())
    rows = zip(test.users[honest], test.positions[honest], strict=True)
    met = sum(attack.item in experiment.split.before(int(u), int(p)) for u, p in rows)
    assert 0 < outcome.users <= honest.sum() - met
    outcome.write(tmp_path)
    assert '"median_rank"' in (tmp_path / "attack.json").read_text()
    assert f"item {outcome.item} among" in outcome.told()


def test_the_pushed_item_can_be_chosen(experiment, small_config):
    token = experiment.dataset.item_tokens[6]
    chosen = dataclasses.replace(
        experiment, config=small_config(*ATTACKED, f"attack.item='{token}'")
    )
    assert attack_of(chosen).item == 7
    unknown = dataclasses.replace(experiment, config=small_config(*ATTACKED, "attack.item=nothing"))
    with pytest.raises(ConfigError, match=r"attack\.item: expected an item of the data"):
        attack_of(unknown)


def test_an_attack_without_uplinks_is_refused(small_config):
    for settings in (("method=fedavg",), ("exchange.up=false",)):
        with pytest.raises(ConfigError, match=r"attack\.share: got 0\.1, but only uplinks"):
            small_config("attack.share=0.1", *settings)
    # What is shown for reference is not attacked.
    references = quick_references(small_config("attack.share=0.1"))
    assert {config.attack.share for config in references} == {0.0}
