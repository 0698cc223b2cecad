"""A run writes the uplinks of its rounds, as they were encoded, where the cloud job reads them."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from cloud.uplink_log import LogContract, Quarantine, ReplayWindow, log_files, read_uplinks
from ecct_tf.errors import ConfigError
from ecct_tf.simulation.loop import Callback
from ecct_tf.simulation.simulate import resume, simulate
from ecct_tf.simulation.uplink_log import log_folder
from ecct_tf.wire import by_place


class StopAfter(Callback):
    def __init__(self, rounds):
        self._rounds = rounds

    def on_round(self, result, state):
        del state
        if result.round_number == self._rounds:
            raise KeyboardInterrupt


def files_of(folder):
    return {file.name: (folder / file.name).read_bytes() for file in log_files(folder)}


@pytest.mark.slow
def test_the_log_of_a_run_is_what_its_cloud_learned_from(small_config, tmp_path):
    log, run = tmp_path / "log", tmp_path / "run"
    config = small_config("rounds=3", f"exchange.uplink_log={log}", "participation.dropout=0.2")
    with pytest.raises(KeyboardInterrupt):
        simulate(config, out=run, callbacks=[StopAfter(2)])
    begun = files_of(log)
    assert list(begun) == [f"date=1970-01-0{n}/seed0-round-00000{n - 1}.tfrecord" for n in (1, 2)]
    shutil.rmtree(log / "date=1970-01-02")
    checkpoints = sorted((run / "checkpoints").iterdir())
    checkpoints[-1].unlink()  # As if it had been killed before: round 1 is repeated.
    result = resume(run)
    files = files_of(log)
    assert {name: files[name] for name in begun} == begun
    assert len(files) == 3

    process, knowledge = result.algorithm.process, result.state.edge.knowledge
    exchange = process.cohorts[0].work.exchange
    contract = LogContract.of(
        exchange, num_users=24, num_items=120, newest_round=2, newest_version=0
    )
    quarantine = Quarantine(tmp_path / "quarantine")
    batches = list(
        read_uplinks(
            log,
            log_files(log),
            contract=contract,
            window=ReplayWindow(24),
            quarantine=quarantine,
        )
    )
    assert quarantine.counts() == {}
    assert [batch.with_logits.all() for batch in batches] == [False, True, True]
    assert [set(batch.rounds.tolist()) for batch in batches] == [{0}, {1}, {2}]
    answers = 0
    for batch in batches:
        newest = knowledge.rounds[batch.users] == batch.rounds
        answers += newest.sum()
        users = batch.users[newest]
        np.testing.assert_array_equal(knowledge.items[users], batch.items[newest])
        np.testing.assert_array_equal(knowledge.embeddings[users], batch.embeddings[newest])
        np.testing.assert_array_equal(knowledge.logits[users], batch.logits[newest])
        payload = batch.records[0][40:-4]
        work = process.cohorts[0].work.in_stage(2 if batch.with_logits[0] else 1)
        # The log has the items, which crossed by place.
        assert len(payload) == dataclasses.replace(work.exchange, answer_by="item").uplink_bytes
        placed = by_place(batch.records[0])
        assert len(placed) - 44 == work.exchange.uplink_bytes < len(payload)
    assert answers == (knowledge.rounds >= 0).sum() > 0


@pytest.mark.parametrize("override", ["method=fedavg", "exchange.up=false"])
def test_a_run_without_uplinks_has_no_log(override, small_config, tmp_path):
    config = small_config(override, f"exchange.uplink_log={tmp_path / 'log'}")
    with pytest.raises(ConfigError, match="expected method ecct with"):
        simulate(config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_log_in_the_run_folder_needs_one(small_config, tmp_path):
    config = small_config("exchange.uplink_log=run:uplinks")
    with pytest.raises(ConfigError, match="this run has none; give it one with --out"):
        simulate(config)
    assert log_folder(config, tmp_path / "a") == tmp_path / "a" / "uplinks"
    assert log_folder(small_config("exchange.uplink_log=log"), tmp_path / "a") == Path("log")
    assert log_folder(small_config(), None) is None
