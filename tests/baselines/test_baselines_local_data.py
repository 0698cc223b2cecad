"""What devices train on: positions, and negatives that leak nothing."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.baselines.local_data import NegativeSampler, cut_shards, prepare_local_devices
from ecct_tf.config import FeatureConfig
from ecct_tf.data.clock import clock_reading
from ecct_tf.errors import DataError


def prepare(groups, **changes):
    settings = {"history_length": 4, "positions": "all", "max_positions": 100, "seed": 3}
    settings["features"] = FeatureConfig(history_length=4, clock=True)
    return prepare_local_devices(groups, **{**settings, **changes})


def test_a_position_reads_the_items_before_it_and_no_other(small_groups):
    view = small_groups[0][0]
    (device,) = prepare([[view]])
    assert int(device.data.samples) == len(view.history) - 1
    for row, place in enumerate(device.order):
        position = int(place) + 1
        assert device.data.positives[row] == view.history[position]
        before = view.history[max(0, position - 4) : position]
        assert device.data.histories[row].tolist() == [0] * (4 - len(before)) + before.tolist()


def test_the_clock_of_a_position_is_read_at_its_own_time(small_groups):
    view = small_groups[0][0]
    (device,) = prepare([[view]])
    for row, place in enumerate(device.order):
        position = int(place) + 1
        reading = clock_reading(
            view.times[:position],
            now=int(view.times[position]),
            config=FeatureConfig(history_length=4, clock=True),
        )
        assert device.data.clock[row].tolist() == reading.tolist()
        assert reading[0] == 1


def test_recent_positions_are_those_the_cloud_does_not_see(small_groups):
    view = small_groups[0][0]
    (device,) = prepare([[view]], positions="recent")
    assert sorted(device.data.positives) == sorted(view.recent)
    (newest,) = prepare([[view]], max_positions=2)
    assert sorted(newest.data.positives) == sorted(view.history[-2:])


def test_a_model_without_history_learns_from_the_first_position_too(small_groups):
    view = small_groups[0][0]
    (device,) = prepare([[view]], history_length=0)
    assert int(device.data.samples) == len(view.history)
    assert device.data.histories.shape == (len(view.history), 0)


def test_negatives_are_any_item_outside_training_held_out_ones_included(small_split, small_groups):
    view = small_groups[0][0]
    (device,) = prepare([[view]])
    # A catalog of the user's own items: all that can be drawn is what is held out.
    own = np.unique(small_split.touched(view.user))
    codes = {int(item): code for code, item in enumerate(own, start=1)}
    coded = np.array([codes[int(item)] for item in view.history], np.int32)
    planted = dataclasses.replace(device, training_items=(coded,))
    drawn = NegativeSampler(9, len(own), seed=3).draw(planted, purpose=1, round_number=0)
    held_out = {codes[small_split.validation(view.user)], codes[small_split.test(view.user)]}
    assert set(drawn.ravel().tolist()) == held_out


def test_negatives_depend_on_the_round_and_on_the_user_alone(small_groups):
    sampler = NegativeSampler(4, 120, seed=3)
    devices = prepare(small_groups)

    def drawn(device, round_number):
        return sampler.draw(device, purpose=1, round_number=round_number)

    (alone,) = prepare([small_groups[2]])
    np.testing.assert_array_equal(drawn(devices[2], 5), drawn(alone, 5))
    assert (drawn(alone, 5) != drawn(alone, 6)).any()
    twin = dataclasses.replace(alone, users=(alone.users[0] + 1,))
    assert (drawn(alone, 5) != drawn(twin, 5)).any()


def test_negatives_of_a_node_belong_to_the_user_of_their_position(small_groups):
    node = small_groups[-1]
    (device,) = prepare([node])
    drawn = NegativeSampler(50, 120, seed=3).draw(device, purpose=1, round_number=0)
    owner = np.repeat([0, 1], device.counts)[device.order]
    for row, index in enumerate(owner):
        assert device.data.positives[row] in node[index].history
        assert not np.isin(drawn[row], node[index].history).any()


def test_shards_hold_every_device_once_padded_to_whole_batches(small_groups):
    devices = prepare(small_groups)
    shards = cut_shards(devices, range(len(devices)), shard_size=4, batch_size=5)
    members = np.concatenate([shard.members for shard in shards])
    assert sorted(members) == list(range(len(devices)))
    for shard in shards:
        assert shard.data.positives.shape[1] % 5 == 0
        for row, device in enumerate(shard.devices):
            count = int(device.data.samples)
            np.testing.assert_array_equal(shard.data.positives[row, :count], device.data.positives)
            assert not shard.data.positives[row, count:].any()


def test_a_device_without_users_is_refused(small_groups):
    with pytest.raises(DataError, match="device 1: expected at least one user"):
        prepare([small_groups[0], []])


def test_what_is_padded_follows_the_data_however_large_a_batch_may_be(small_groups):
    devices = prepare(small_groups)
    (shard,) = cut_shards(devices, range(len(devices)), shard_size=100, batch_size=10**6)
    largest = max(int(device.data.samples) for device in devices)
    assert shard.data.positives.shape == (len(devices), largest)
    sampler = NegativeSampler(2, 200, 0)
    drawn = sampler.stacked(shard, purpose=1, round_number=0, batch_size=10**6)
    assert drawn.shape == (len(devices), largest, 2)
