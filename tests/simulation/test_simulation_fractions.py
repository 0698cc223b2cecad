"""The ends of `data.recent_fraction`: a cloud that knows no interaction, devices that have none."""

import numpy as np

from ecct_tf.data import cloud_view
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.methods import build_algorithm


def test_a_cloud_without_interactions_learns_from_devices_alone(small_config):
    config = small_config(
        "data.recent_fraction=1",
        "edge.start=random",
        "edge.tiers={linear: 1.0}",
        "exchange.item_increments.positions=32",
        "exchange.item_increments.width=4096",
        "exchange.stage_1_rounds=1",
        "runtime.engine=local",
    )
    experiment = build_experiment(config)
    view = cloud_view(experiment.dataset, experiment.split)
    assert not len(view.older.items)
    algorithm = build_algorithm(experiment)
    # The item table has what the devices' sum says, and nothing else could say anything.
    blocks = {block.name: block for block in algorithm.table.blocks}
    assert blocks["preference"].source.any()
    assert blocks["sequence"].source.any()
    assert blocks["next item"].source.any()
    everyone = np.arange(algorithm.num_devices)
    state = algorithm.initialize()
    before = dict(state.cloud)
    for number in range(2):
        state, _ = algorithm.next(
            state, round_number=number, participants=everyone, answering=everyone
        )
    # Without a label of its own, it learned from logits, which cross in the second round.
    assert any((state.cloud[name] != before[name]).any() for name in before)


def test_devices_that_have_nothing_keep_their_start(small_config):
    config = small_config(
        "data.recent_fraction=0", "edge.tiers={linear: 1.0}", "runtime.engine=local"
    )
    algorithm = build_algorithm(build_experiment(config))
    everyone = np.arange(algorithm.num_devices)
    before = algorithm.initialize()
    after, _ = algorithm.next(before, round_number=0, participants=everyone, answering=everyone)
    old, new = algorithm.to_arrays(before), algorithm.to_arrays(after)
    weights = [name for name in old if "weights" in name or "shared" in name]
    assert weights
    for name in weights:
        np.testing.assert_array_equal(new[name], old[name], err_msg=name)
