"""What sums over devices tell of single answers, by hand; and an audit of a run of sums."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from ecct_tf.audit.files import write_audit
from ecct_tf.audit.run import audit_run
from ecct_tf.audit.sums import guessed_answers, received_of_sums
from ecct_tf.config import ItemSumConfig
from ecct_tf.errors import CheckpointError
from ecct_tf.federated.item_rows import Asked
from ecct_tf.knowledge.item_means import AskedSums
from ecct_tf.knowledge.item_sums import ItemSumSpec
from ecct_tf.simulation.sums_log import stored_sums

USERS, ITEMS, ASKED = 60, 30, 6


def rounds_of(count, *, noise=0.0, width=4096, said=None, seed=0):
    """Sums of rounds in which each user keeps to an answer for each item, `[users, items + 1]`."""
    rng = np.random.default_rng(seed)
    config = ItemSumConfig(bits=20, clip_logits=10.0, noise_multiplier=noise, width=width)
    spec = ItemSumSpec(ITEMS, 2, config)
    (payload,) = spec.payloads
    made = []
    for salt in range(count):
        items = np.stack([1 + rng.permutation(ITEMS)[:ASKED] for _ in range(USERS)])
        places, signs = spec.places(items.astype(np.int64), np.int64(salt))
        values = said[np.arange(USERS)[:, None], items]
        sums = np.bincount(places.ravel(), (signs * values).ravel(), minlength=spec.buckets)
        sums += payload.noise * rng.normal(size=len(sums))
        total = np.round(sums / payload.unit).astype(np.int64)
        asked = AskedSums(spec, total, np.arange(USERS), items.astype(np.int32), salt, USERS)
        made.append((salt, [Asked(asked, np.full(items.shape, 7.0, np.float32))]))
    return made


@pytest.fixture(scope="module")
def said():
    rng = np.random.default_rng(2)
    return rng.normal(size=ITEMS + 1) + rng.normal(size=(USERS, ITEMS + 1))


def errors(made, said):
    """Mean squared errors of the guesses about answers that were given, and of their means."""
    every = [asked.sums for _, sums in made for asked in sums]
    guesses = guessed_answers(every, "logits")
    pairs = np.array(list(guesses))
    truth = said[pairs[:, 0], pairs[:, 1]]
    means = said.mean(axis=0)[pairs[:, 1]]
    found = np.array(list(guesses.values()))[:, 0]
    return np.square(found - truth).mean(), np.square(means - truth).mean()


def test_more_rounds_tell_more_of_single_devices(said):
    """A device is in a fifth of the sums: what 40 of them leave open is little."""
    few, mean = errors(rounds_of(3, said=said), said)
    many, _ = errors(rounds_of(40, said=said), said)
    assert few < 1.1 * mean
    assert many < 0.6 * mean


def test_noise_leaves_no_more_than_items(said):
    guessed, mean = errors(rounds_of(40, noise=3.0, said=said), said)
    assert 0.9 * mean < guessed


def test_a_sum_of_one_device_is_its_answer():
    config = ItemSumConfig(bits=20, clip_logits=10.0)
    spec = ItemSumSpec(4, 2, config)
    items = np.array([[1, 2], [2, 3]], np.int32)
    total = np.round(np.array([0.0, 3.0, 1.0, -2.0, 0.0]) / spec.payloads[0].unit)
    sums = AskedSums(spec, total.astype(np.int64), np.array([5, 8]), items, 0, 2)
    guesses = guessed_answers([sums], "logits")
    assert guesses[5, 1] == pytest.approx([3.0], abs=0.05)
    assert guesses[8, 3] == pytest.approx([-2.0], abs=0.05)
    # Of two devices it is their mean.
    assert guesses[5, 2] == pytest.approx(guesses[8, 2])
    assert guesses[5, 2] == pytest.approx([0.5], abs=0.05)


def test_rows_are_what_the_cloud_had_told_and_the_guess(said):
    received = received_of_sums(rounds_of(2, said=said), width=2)
    assert received.source == "sums over devices"
    assert received.users.tolist() == [*range(USERS)] * 2
    assert received.rounds.tolist() == [0] * USERS + [1] * USERS
    assert np.isnan(received.embeddings).all()
    guesses = guessed_answers([sums.sums for _, (sums,) in rounds_of(2, said=said)], "logits")
    item = int(received.items[3, 1])
    assert received.logits[3, 1] == pytest.approx(7.0 + guesses[3, item][0])


@pytest.fixture(scope="module")
def summed_run(audited_run, tmp_path_factory):
    """The small audited run again, of which only noisy sums reached the cloud."""
    from ecct_tf.simulation.run_folder import RunFolder
    from ecct_tf.simulation.simulate import simulate

    config = RunFolder.open(audited_run).config
    sums = ItemSumConfig(noise_multiplier=2.0, keep=True)
    exchange = dataclasses.replace(
        config.exchange, rows="item", uplink_log=None, stage_1_rounds=0, item_sums=sums
    )
    folder = tmp_path_factory.mktemp("sums") / "run"
    edge = dataclasses.replace(config.edge, shared="none")
    simulate(dataclasses.replace(config, exchange=exchange, edge=edge), out=folder)
    return folder, exchange


def test_a_run_of_sums_is_audited_by_all_of_them(summed_run, tmp_path):
    folder, _ = summed_run
    audit = audit_run(folder, seeds=1)
    assert (audit.source, audit.uplinks, audit.users) == ("sums over devices", 80, 40)
    # Two rounds of logits: μ² = 2 (2 / 2)².
    assert audit.epsilon == pytest.approx(6.6, abs=0.1)
    assert {finding.attack for finding in audit.findings} == {
        "private column",
        "membership",
        "reconstruction",
    }
    assert audit.not_measured == {}
    path, _ = write_audit(audit, tmp_path)
    assert json.loads(path.read_text())["source"] == "sums over devices"


def test_without_the_sums_it_says_what_is_missing(summed_run, tmp_path):
    folder, exchange = summed_run
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    file = copy / "item_sums" / "round-000001.npz"
    config = dataclasses.replace(load(folder), exchange=exchange)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="expected the sums of a round"):
        stored_sums(copy, config, rounds=2, num_items=120)
    file.unlink()
    assert stored_sums(copy, config, rounds=2, num_items=120) is None
    assert len(stored_sums(copy, config, rounds=1, num_items=120)) == 1
    audit = audit_run(copy, seeds=1)
    assert audit.source == "checkpoint"
    assert "exchange.item_sums.keep=true" in audit.not_measured["earlier uplinks"]


def load(folder):
    from ecct_tf.simulation.run_folder import RunFolder

    return RunFolder.open(folder).config
