"""A chain of jobs: from scratch, warm, gated, and what each leaves."""

import csv
import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from cloud.registry import Registry
from cloud.retraining import retrain
from cloud.retraining.folder import JobFolder
from cloud.retraining.gate import decide
from cloud.retraining.log_survey import survey
from cloud.retraining.preparation import prepare
from cloud.version_files import StoredCloud
from ecct_tf.cli import cli
from ecct_tf.data import SyntheticConfig, synthetic_dataset
from ecct_tf.errors import CheckpointError, ConfigError, DataError, RegistryError, RunFolderError
from ecct_tf.sealed_json import seal_json, unseal_json

OWN = {
    "gate__minimum_gain": -1.0,
    "edge__start": "cloud",
    "edge__tiers": "[linear]",
    "edge_start__epochs": 1,
    "edge_start__max_positions": 2,
}


@pytest.fixture(scope="module")
def chain(jobs, tmp_path_factory):
    """Version 1 from scratch with half of the users' uplinks, version 2 warm with all."""
    folder = tmp_path_factory.mktemp("chain")
    jobs.write_log(folder, range(12))
    config = jobs.small_job(folder, **OWN)
    first = retrain(config, folder / "first", show=False)
    jobs.write_log(folder, range(6, 20), round_number=1, cloud_version=1)
    second = retrain(config, folder / "second", show=False)
    return folder, config, first, second


@pytest.mark.parametrize("there", [False, True])
def test_a_job_that_cannot_begin_leaves_no_folder(there, tmp_path):
    """Neither its own nor those above it; one that was there, and what it held, stays."""
    out = tmp_path / "jobs" / "deep" / "first"
    if there:
        out.parent.mkdir(parents=True)
    given = ["cloud", "retrain", "--out", str(out), "--set", f"registry={tmp_path / 'registry'}"]
    given += ["--set", "data.dataset=files", "--set", f"data.schema={tmp_path / 'none.yaml'}"]
    found = CliRunner().invoke(cli, given)
    assert found.exit_code != 0
    assert "none.yaml" in found.output + str(found.exception)
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == ({"jobs", "deep"} if there else set())


def test_a_job_that_is_refused_for_its_data_leaves_no_folder_and_begins_as_corrected(
    jobs, tmp_path
):
    out = tmp_path / "jobs" / "first"
    with pytest.raises(DataError, match=r"lower validation\.negatives"):
        retrain(jobs.small_job(tmp_path, validation__negatives=119), out, show=False)
    assert not out.parent.exists()
    config = jobs.small_job(tmp_path)
    prepared = prepare(config, out, is_chief=True, show=False)
    # What was settled is read again, and the same is held out.
    again = prepare(config, out, is_chief=True, show=False)
    assert again.inputs.draft == prepared.inputs.draft
    kept = (found.validation.view.older.items for found in (again, prepared))
    np.testing.assert_array_equal(*kept)


def test_a_folder_in_which_something_was_made_stays(jobs, tmp_path):
    job = JobFolder(tmp_path / "job")

    def fail(change):
        change()
        raise KeyError

    quarantine = job.path / "quarantine"
    # The second begins in a folder that is there.
    for change in (quarantine.mkdir, quarantine.rmdir):
        with pytest.raises(KeyError), job.claimed(jobs.small_job(tmp_path)):
            fail(change)
        assert (job.path / "config.yaml").exists()


def test_versions_follow_each_other(chain):
    folder, _, first, second = chain
    registry = Registry(folder / "registry")
    assert (first.version, first.promoted, first.before) == (1, True, None)
    assert (second.version, second.promoted) == (2, True)
    assert second.before == pytest.approx(first.quality, abs=1e-6)
    assert registry.promoted().number == 2
    assert [version.manifest.parents for version in registry.versions()] == [(), (1,)]
    for version in registry.versions():
        version.verify()


def test_each_uplink_is_read_once(chain):
    folder = chain[0]
    data = [version.manifest.data for version in Registry(folder / "registry").versions()]
    assert [each["uplinks"]["read"] for each in data] == [12, 14]
    assert [len(each["uplinks"]["files"]) for each in data] == [1, 2]
    assert [each["round_number"] for each in data] == [0, 1]
    assert [each["users_heard_of"] for each in data] == [12, 20]
    knowledge = StoredCloud.read(Registry(folder / "registry").promoted().path).knowledge
    np.testing.assert_array_equal(knowledge.rounds, [0] * 6 + [1] * 14 + [-1] * 4)


def test_the_item_side_stays_in_a_warm_chain(chain):
    folder = chain[0]
    first, second = (
        StoredCloud.read(version.path) for version in Registry(folder / "registry").versions()
    )
    for name in ("cloud", "bias", "attributes", "feature_mean", "feature_scale"):
        np.testing.assert_array_equal(getattr(second.table, name), getattr(first.table, name))
    # The best epoch may be the one before the first: what moved is in the last checkpoint but
    # one, in which the best was not yet put back.
    states = sorted((folder / "second" / "checkpoints" / "uplinks").iterdir())
    trained = tf.train.load_checkpoint(str(states[-2] / "state"))
    moved = [
        name
        for index, (name, value) in enumerate(first.snapshot.items())
        if (trained.get_tensor(f"variables/{index}/.ATTRIBUTES/VARIABLE_VALUE") != value).any()
    ]
    assert "model/fusion_scale:0" in moved
    assert not [name for name in moved if name.startswith("model/item_")]


def test_starting_weights_are_trained_and_stay_with_the_item_table(chain):
    folder = chain[0]
    first, second = Registry(folder / "registry").versions()[:2]
    about = [version.manifest.data["edge_starts"]["linear"] for version in (first, second)]
    assert [each["kept_from"] for each in about] == [None, 1]
    start, kept = (StoredCloud.of(version).starts["linear"] for version in (first, second))
    assert len(start.weights) == start.model.layout.size == about[0]["weights"]
    assert np.isfinite(start.weights).all()
    assert not np.array_equal(start.weights, start.model.layout.initial(0))
    np.testing.assert_array_equal(kept.weights, start.weights)
    assert not (folder / "second" / "starts").exists()
    # Both private columns of the synthetic data, each with its unknown value.
    assert len(start.spec.profile_sizes) == 2
    assert about[0]["fingerprint"] == about[1]["fingerprint"] == start.model.fingerprint


def test_the_command_says_where_starting_weights_come_from(chain, jobs):
    folder = chain[0]
    overrides = [f"--set={each}" for each in jobs.settings(folder, **OWN)]
    for name, origin in (("first", "trained"), ("second", "kept from version 1")):
        command = ["cloud", "retrain", "--out", str(folder / name), *overrides]
        output = CliRunner().invoke(cli, command).output
        (line,) = [line for line in output.splitlines() if line.startswith("Starts")]
        assert re.fullmatch(rf"Starts +linear, \d+ weights, {origin}", line)


def test_the_saved_model_answers_as_the_version_does(chain):
    folder = chain[0]
    version = Registry(folder / "registry").promoted()
    stored = StoredCloud.read(version.path)
    users = np.arange(4, dtype=np.int32)
    items = np.tile(np.arange(1, 9, dtype=np.int32), (4, 1))
    score = tf.saved_model.load(str(version.saved_model)).signatures["score"]
    np.testing.assert_allclose(
        score(user=tf.constant(users), candidates=tf.constant(items))["logits"],
        stored.recommender().scores(
            users, items, knowledge=stored.knowledge, round_number=stored.round_number
        ),
        atol=1e-5,
    )


def test_what_a_job_writes(chain):
    folder, _, first, _ = chain
    job = folder / "first"
    with (job / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["phase"], row["epoch"]) for row in rows][:4] == [
        ("fit", "0"), ("fit", "1"), ("uplinks", "0"), ("uplinks", "1"),
    ]  # fmt: skip
    # The second phase begins where the first one left off: at its best epoch.
    best = max(float(row["alone_mrr"]) for row in rows[:2])
    assert float(rows[2]["alone_mrr"]) == pytest.approx(best, abs=1e-6)
    assert json.loads((job / "result.json").read_text()) == dataclasses.asdict(first)
    assert list((job / "events").glob("events.out.tfevents.*"))


def test_what_is_about_single_users_is_their_owners_alone(chain):
    folder = chain[0]
    version = Registry(folder / "registry").version(1).path
    private = [
        *(version / name for name in ("knowledge.npz", "history.npz", "replay_window.npz")),
        *(folder / "first" / name for name in ("knowledge.npz", "replay_window.npz")),
    ]
    assert {path.stat().st_mode & 0o077 for path in private} == {0}
    # TF Serving may be another account.
    assert (version / "saved_model" / "saved_model.pb").stat().st_mode & 0o777 == 0o444


def test_a_job_that_has_ended_is_not_run_again(chain):
    folder, config, first, _ = chain
    assert retrain(config, folder / "first", show=False) == first
    assert len(Registry(folder / "registry").versions()) == 2


@pytest.mark.slow
def test_a_worse_version_is_stored_and_not_promoted(chain, jobs):
    folder = chain[0]
    strict = jobs.small_job(folder, gate__minimum_gain=2.0)
    third = retrain(strict, folder / "third", show=False)
    assert (third.version, third.promoted) == (3, False)
    assert "gate.minimum_gain is 2: beyond the room" in third.reason
    registry = Registry(folder / "registry")
    assert registry.promoted().number == 2
    # The next one goes on from what was promoted, not from what was only stored.
    assert prepare(strict, folder / "next", is_chief=True, show=False).inputs.parent == 2
    version = registry.version(3)
    fourth = decide(strict, registry, version, parent=2, anyway=True)
    assert (fourth.version, fourth.promoted) == (3, True)
    assert "on request" in fourth.reason
    assert registry.promoted().number == 3


def test_new_users_and_items_in_a_warm_job(chain, jobs, monkeypatch):
    """The data has more of both, and numbers its items otherwise."""
    folder, config, *_ = chain
    larger = synthetic_dataset(SyntheticConfig(users=jobs.USERS + 3, items=jobs.ITEMS + 5, seed=0))
    shuffled = dataclasses.replace(
        larger,
        item_tokens=tuple(
            f"{'new' if k >= jobs.ITEMS else ''}{t}" for k, t in enumerate(larger.item_tokens)
        ),
    )
    monkeypatch.setattr("cloud.retraining.history.load_dataset", lambda *_, **__: shuffled)
    before = StoredCloud.read(Registry(folder / "registry").promoted().path)
    result = retrain(config, folder / "grown", show=False)
    after = StoredCloud.read(Registry(folder / "registry").version(result.version).path)
    assert after.vocabulary.items[: jobs.ITEMS] == before.vocabulary.items
    assert len(after.vocabulary.items) == jobs.ITEMS + 5
    assert len(after.vocabulary.users) == jobs.USERS + 3
    rows = jobs.ITEMS + 1
    np.testing.assert_array_equal(after.table.cloud[:rows], before.table.cloud)
    np.testing.assert_array_equal(
        after.space.preference.target[:rows], before.space.preference.target
    )
    assert after.table.num_items == jobs.ITEMS + 5
    assert np.isfinite(after.table.cloud).all()
    # Another table: its start is trained anew, on the longer history.
    first = StoredCloud.read(Registry(folder / "registry").version(1).path)
    assert not np.array_equal(after.starts["linear"].weights, first.starts["linear"].weights)


def test_refusals(chain, jobs, tmp_path):
    folder, config, *_ = chain
    with pytest.raises(ConfigError, match="another configuration"):
        retrain(dataclasses.replace(config, seed=9), folder / "first", show=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(ConfigError, match="not empty"):
        retrain(config, tmp_path / "other", show=False)
    wide = jobs.small_job(folder, cloud__hidden_dim=5)
    with pytest.raises(ConfigError, match=r"cloud\.hidden_dim: expected 4.*start=scratch"):
        retrain(wide, tmp_path / "wide", show=False)


@pytest.mark.slow
def test_a_version_that_cannot_be_built_is_left_behind_from_scratch(calm, jobs, tmp_path):
    shutil.copytree(calm / "registry", tmp_path / "registry")
    registry = Registry(tmp_path / "registry")
    stored = StoredCloud.of(registry.promoted())
    strange = {**stored.snapshot, "model/of_another_release": np.zeros(1, np.float32)}
    with registry.draft() as draft:
        dataclasses.replace(stored, snapshot=strange).write(draft.path)
        (draft.path / "saved_model").mkdir()
        (draft.path / "saved_model" / "saved_model.pb").write_bytes(b"stands in")
        number = draft.commit(config={}).number
    registry.promote(number, expected=registry.promoted().number)
    warm = jobs.small_job(tmp_path, uplinks="null")
    with pytest.raises(CheckpointError, match=r"first model/of_another.*--set start=scratch"):
        retrain(warm, tmp_path / "warm", show=False)
    scratch = jobs.small_job(tmp_path, uplinks="null", start="scratch")
    result = retrain(scratch, tmp_path / "scratch", show=False)
    assert (result.promoted, result.before) == (False, None)
    assert result.reason.startswith(f"it could not be compared with version {number}")
    assert registry.promoted().number == number


@pytest.mark.parametrize("name", ["vocabulary.json", "knowledge.npz", "replay_window.npz"])
def test_nothing_is_learned_from_a_damaged_parent(name, calm, jobs, tmp_path):
    """One flipped bit: item 5 would become item 301 and the version be promoted."""
    shutil.copytree(calm / "registry", tmp_path / "registry")
    path = tmp_path / "registry" / "versions" / "000001" / name
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    config = jobs.small_job(tmp_path)
    with pytest.raises(RegistryError, match=f"version 1: 1 of .* the first {name}"):
        prepare(config, tmp_path / "job", is_chief=True, show=False)
    assert not (tmp_path / "job" / "inputs.json").exists()
    opened = survey(config, log=None, everything=False, quarantine=tmp_path / "q", show=False)
    with pytest.raises(RegistryError, match=f"the first {name}"), opened:
        pytest.fail("it was opened")


def test_a_busy_job_is_refused(chain):
    folder, config, *_ = chain
    with (
        JobFolder(folder / "first").locked(),
        pytest.raises(RunFolderError, match="another process"),
    ):
        retrain(config, folder / "first", show=False)


def test_a_job_that_another_process_begins_at_this_moment_is_busy(tmp_path):
    job = JobFolder(tmp_path)
    with job.locked():
        # Before its configuration is in its place.
        (tmp_path / ".config.yaml.part").touch()
        with pytest.raises(RunFolderError, match="another process"), job.locked():
            pytest.fail("two have the job")
    (tmp_path / ".config.yaml.parts").touch()
    with pytest.raises(ConfigError, match="not the folder of a job"):
        job.locked()


def test_changed_history_is_refused(jobs, tmp_path, monkeypatch):
    config = jobs.small_job(tmp_path)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloud.retraining.job._train", stop)
    with pytest.raises(KeyboardInterrupt):
        retrain(config, tmp_path / "job", show=False)
    inputs = tmp_path / "job" / "inputs.json"
    text = inputs.read_text()
    inputs.write_text(seal_json({**unseal_json(text), "fingerprint": "0" * 64}))
    with pytest.raises(DataError, match="the history is not the one"):
        retrain(config, tmp_path / "job", show=False)
    inputs.write_text(text.replace('"round_number": 0', '"round_number": 1'))
    with pytest.raises(RunFolderError, match=r"its fields have SHA-256"):
        retrain(config, tmp_path / "job", show=False)
    inputs.write_text(text)
    knowledge = tmp_path / "job" / "knowledge.npz"
    knowledge.write_bytes(knowledge.read_bytes() + b"0")
    with pytest.raises(RunFolderError, match=r"knowledge\.npz has SHA-256"):
        retrain(config, tmp_path / "job", show=False)
