"""A witness sees what each device got, did and sent, and changes nothing."""

import numpy as np
import pytest

from ecct_tf.config import RuntimeConfig
from ecct_tf.federated import build_ecct_process


class Recorder:
    def __init__(self):
        self.rounds = []

    def see(self, seen):
        self.rounds.append(seen)

    def measured(self):
        return {"seen": len(self.rounds)}


@pytest.fixture(scope="module")
def witnessed(experiment, dataset, cohorts, config, run_rounds):
    """Two rounds of the linear tier, everybody asked, three silent; by shard size."""

    def run(shard_size, witness):
        process = build_ecct_process(
            [(cohorts["linear"].work, cohorts["linear"].devices)],
            table=experiment.table,
            table_bytes=0,
            num_users=dataset.num_users,
            stage_1_rounds=1,
            server=config.server,
            runtime=RuntimeConfig(shard_size=shard_size),
            witness=witness,
        )
        heard = np.arange(3, process.num_devices)
        return run_rounds(process, 2, answering=heard)

    found = {}
    for size in (3, 0):
        recorder = Recorder()
        found[size] = (recorder, *run(size, recorder))
    return found, run(3, None)


def test_it_changes_nothing_and_its_measurements_are_reported(witnessed, assert_states_equal):
    found, (plain, _) = witnessed
    recorder, state, reports = found[3]
    assert_states_equal(state, plain)
    assert [dict(report.witnessed) for report in reports] == [{"seen": 1}, {"seen": 2}]
    assert [seen.round_number for seen in recorder.rounds] == [0, 1]
    assert [seen.work.exchange.with_logits for seen in recorder.rounds] == [False, True]


@pytest.mark.parametrize("size", [3, 0])
def test_devices_are_the_first_that_answered_with_what_was_theirs(size, witnessed, cohorts):
    recorder, state, _ = witnessed[0][size]
    seen = recorder.rounds[1]
    devices = list(seen.devices(3))
    assert [device.number for device in devices] == [3, 4, 5]
    split = seen.work.shared_size
    for device in devices:
        own = cohorts["linear"].devices.devices[device.number]
        user = int(own.users[0])
        assert device.data is own
        # What it ended the first round with, it began the second with.
        assert np.array_equal(device.before[split:], recorder.rounds[0].after[device.number])
        assert np.array_equal(device.private, state.cohorts[0].private[device.number])
        assert device.uplink.users.tolist() == [user]
        assert np.array_equal(device.uplink.items[0], device.downlink.queries)
        assert np.array_equal(state.knowledge.items[user], device.downlink.queries)
        decoded = seen.work.exchange.coder.decode(
            device.uplink.embeddings, seen.work.exchange.embedding_dim
        )
        assert np.array_equal(state.knowledge.embeddings[user], decoded[0])


def test_shards_and_single_devices_tell_the_same(witnessed):
    sharded, single = (witnessed[0][size][0].rounds[0].devices(100) for size in (3, 0))
    pairs = list(zip(sharded, single, strict=True))
    assert len(pairs) > 3
    for left, right in pairs:
        assert np.array_equal(left.before, right.before)
        assert np.array_equal(left.downlink.queries, right.downlink.queries)
        for ours, theirs in zip(
            left.downlink.user_embeddings, right.downlink.user_embeddings, strict=True
        ):
            assert ours.ndim == 1
            assert np.array_equal(ours, theirs)
        np.testing.assert_allclose(left.private, right.private, atol=1e-6)
