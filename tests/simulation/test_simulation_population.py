"""What a round computes and a checkpoint holds follows those that took part, not the population."""

import numpy as np
import pytest

from cloud import features, user_states
from ecct_tf.federated import Schedule
from ecct_tf.federated.devices import Preparation
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm
from ecct_tf.touched_rows import TouchedRows

# A number that no other size is.
USERS = 61


@pytest.fixture(scope="module")
def algorithm(small_config):
    config = small_config(
        f"data.synthetic_users={USERS}",
        "participation.devices_per_round=3",
        "runtime.engine=local",
        "rounds=2",
        "cloud.next_item.epochs=0",
        "cloud.update_epochs=1",
    )
    with pytest.MonkeyPatch.context() as patch:
        # Else those of so few users are all there before the first round.
        patch.setattr(user_states, "_KEPT_BYTES", 0)
        return build_algorithm(build_experiment(config))


def test_a_round_makes_what_its_participants_need(algorithm, monkeypatch):
    prepared, states = [], []
    of, made = Preparation.of, features.user_states

    def counted(self, groups):
        prepared.append(len(groups))
        return of(self, groups)

    def counted_states(blocks, items, *, sizes, **given):
        states.append(len(sizes))
        return made(blocks, items, sizes=sizes, **given)

    schedule = Schedule(algorithm.config.participation, num_devices=USERS, seed=0)
    drawn = [schedule.draw(number)._asdict() for number in range(2)]
    # The first round finds out by whom the cloud is judged.
    state, _ = algorithm.next(algorithm.initialize(), round_number=0, **drawn[0])
    monkeypatch.setattr(Preparation, "of", counted)
    monkeypatch.setattr(features, "user_states", counted_states)
    state, _ = algorithm.next(state, round_number=1, **drawn[1])
    others = set(drawn[1]["participants"].tolist()) - set(drawn[0]["participants"].tolist())
    assert sum(prepared) == len(others) == 3
    # Of the participants, twice, and of those who ever sent something and as many positions.
    assert 3 <= sum(states) <= 2 * 3 + 6 + 6
    arrays = algorithm.to_arrays(state)
    written = {
        name: len(array.touched) for name, array in arrays.items() if isinstance(array, TouchedRows)
    }
    # By which the cloud is judged: of at most 2,048 users, who are drawn at the start.
    assert written.pop("cloud/guard/best")
    assert set(written.values()) <= {0, 3, 6}
    assert {"fetched", "knowledge/rounds"} <= {name for name, rows in written.items() if rows}
    whole = [
        name
        for name, array in arrays.items()
        if isinstance(array, np.ndarray) and USERS in array.shape
    ]
    assert not whole
    again = algorithm.from_arrays(arrays)
    for name, array in algorithm.to_arrays(again).items():
        np.testing.assert_array_equal(np.asarray(array), np.asarray(arrays[name]), err_msg=name)


def test_recommenders_of_a_run_have_one_view(small_config):
    experiment = build_experiment(small_config("data.synthetic_users=8"))
    assert experiment.view is experiment.view
    assert experiment.view.num_users == 8
