"""What was learned from forged uplinks is dropped, and honest ones count again."""

import dataclasses
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from cloud.registry import Registry
from cloud.retraining import retrain
from cloud.retraining.forgetting import forget_knowledge
from cloud.retraining.preparation import prepare
from cloud.uplink_log import ForgetNote, Quarantine, ReplayWindow
from cloud.version_files import StoredCloud
from ecct_tf.cli import cli
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.knowledge import KnowledgeStore

QUICK = {"cloud__update_epochs": 0, "cloud__fit_epochs": 0, "gate__minimum_gain": -1}
FORGED = 3
DAY = "date=2023-11-14"


@pytest.fixture(scope="module")
def poisoned(jobs, tmp_path_factory):
    """Version 1 knows 20 honest answers, and of user 3 a forged one of the round after."""
    folder = tmp_path_factory.mktemp("poisoned")
    jobs.write_log(folder, range(20), name="honest")
    jobs.write_log(folder, [FORGED], round_number=1, cloud_version=1, seed=9, name="forged")
    config = jobs.small_job(folder, **QUICK)
    with Registry(folder / "registry").draft() as draft:
        # The forged one answers version 1, which must exist; it is a stand-in.
        (draft.path / "nothing").touch()
        draft.commit()
    assert retrain(config, folder / "1", show=False).version == 2
    return folder


@pytest.fixture
def place(poisoned, tmp_path):
    """A copy of its own for each test, which may change it."""
    shutil.copytree(poisoned, tmp_path / "copy")
    return tmp_path / "copy"


def forget(jobs, place, *words):
    (place / "job.yaml").write_text("{}")
    given = ["cloud", "forget", "--config", str(place / "job.yaml"), *words]
    for setting in jobs.settings(place, **QUICK):
        given += ["--set", setting]
    result = CliRunner().invoke(cli, given)
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def next_job(jobs, place, name="2"):
    return prepare(jobs.small_job(place, **QUICK), place / name, is_chief=True, show=False)


HOW = {
    "file": ("--file", f"{DAY}/forged.tfrecord"),
    "user": ("--user", None),
    "since": ("--since", "2023-11-14T22:13:21"),
}


@pytest.mark.parametrize("how", HOW)
def test_the_next_job_knows_nothing_of_it(how, jobs, place):
    stored = StoredCloud.of(Registry(place / "registry").promoted())
    assert stored.knowledge.rounds[FORGED] == 1
    option, value = HOW[how]
    output = forget(jobs, place, option, value or stored.vocabulary.users[FORGED])
    answers = 2 if how == "user" else 1
    assert f"Noted: {answers} answer" in output
    assert "of which 1 user had the newest in version 2" in output
    # An honest answer to the round that the forged one had taken.
    jobs.write_log(place, [FORGED], round_number=1, cloud_version=1, seed=1, name="late")
    prepared = next_job(jobs, place)
    assert (prepared.inputs.uplinks["read"], prepared.inputs.uplinks["rejected"]) == (1, {})
    np.testing.assert_array_equal(
        prepared.knowledge.rounds, [0] * FORGED + [1] + [0] * (19 - FORGED) + [-1] * 4
    )
    forged = stored.knowledge.embeddings[FORGED]
    assert (prepared.knowledge.embeddings[FORGED] != forged).any()
    others = np.arange(20) != FORGED
    np.testing.assert_array_equal(
        prepared.knowledge.embeddings[:20][others], stored.knowledge.embeddings[:20][others]
    )


def test_without_it_the_honest_answer_is_a_duplicate(jobs, place):
    jobs.write_log(place, [FORGED], round_number=1, cloud_version=1, seed=1, name="late")
    read = next_job(jobs, place).inputs.uplinks
    assert (read["read"], read["rejected"]) == (0, {"duplicate": 1})


def test_nothing_is_left_where_nothing_comes_after(jobs, place):
    forget(jobs, place, "--file", str(place / "log" / DAY / "forged.tfrecord"))
    prepared = next_job(jobs, place)
    knowledge = prepared.knowledge
    assert (knowledge.rounds[FORGED], knowledge.logit_rounds[FORGED]) == (-1, -1)
    for name in ("items", "embeddings", "logits"):
        assert not getattr(knowledge, name)[FORGED].any()
    # Its earlier, honest answer was seen all the same.
    assert prepared.window["newest"][FORGED] == 0


def test_it_is_dropped_once_and_what_comes_later_stays(jobs, place):
    user = StoredCloud.of(Registry(place / "registry").promoted()).vocabulary.users[FORGED]
    forget(jobs, place, "--user", user)
    jobs.write_log(place, [FORGED], round_number=1, cloud_version=1, seed=1, name="late")
    result = retrain(jobs.small_job(place, **QUICK), place / "2", show=False)
    version = Registry(place / "registry").version(result.version)
    assert (result.promoted, version.manifest.data["forgotten"]) == (True, 1)
    assert next_job(jobs, place, "3").knowledge.rounds[FORGED] == 1


def test_after_a_rollback_it_is_not_read_again(jobs, place):
    forget(jobs, place, "--file", f"{DAY}/forged.tfrecord")
    (place / "registry" / "promotions").rename(place / "undone")  # as if nothing was promoted yet
    prepared = next_job(jobs, place)
    read = prepared.inputs.uplinks
    assert (read["read"], read["rejected"]) == (20, {"forgotten": 1})
    assert prepared.knowledge.rounds.max() == 0
    # Nor is it kept once more.
    assert not list(Quarantine(place / "2" / "quarantine").entries())


def test_what_cannot_be_forgotten_is_told(jobs, place):
    with pytest.raises(ConfigError, match="expected users, files or a time"):
        forget(jobs, place)
    with pytest.raises(DataError, match="there is no user 'nobody'"):
        forget(jobs, place, "--user", "nobody")
    with pytest.raises(DataError, match="expected the file date=x/y to find out"):
        forget(jobs, place, "--file", "date=x/y")
    forget(jobs, place, "--since", "2023-11-14")
    note = place / "registry" / "forgotten" / "000001.json"
    note.write_text(note.read_text().replace("honest", "hornet"))
    with pytest.raises(DataError, match="must not learn what was to be forgotten"):
        next_job(jobs, place)


def note(*, users=(), answers=()):
    return ForgetNote(users, (), None, (), np.array(answers, np.int64).reshape(-1, 2))


def test_a_store_without_an_answer_by_hand():
    store = KnowledgeStore.empty(num_users=4, num_queries=1, embedding_dim=1)
    store = dataclasses.replace(
        store,
        items=np.ones((4, 1), np.int32),
        rounds=np.array([5, 5, 5, -1], np.int32),
        logit_rounds=np.array([5, -1, 5, -1], np.int32),
    )
    notes = [note(users=(0, 99)), note(answers=[(1, 4), (2, 2**31 - 1), (99, 5)])]
    left = forget_knowledge(store, notes, present=5)
    # A round beyond the present had been set back to it.
    assert left.rounds.tolist() == [-1, 5, -1, -1]
    assert left.logit_rounds.tolist() == [-1, -1, -1, -1]
    assert left.items[:, 0].tolist() == [0, 1, 0, 1]


def test_a_window_without_answers_by_hand():
    window = ReplayWindow(4)
    seen = [(0, 1), (0, 64), (1, 7), (2, 3), (2, 4), (3, 9)]
    window.admit(*np.array(seen).T)
    answers = np.array([(0, 64), (1, 7), (2, 3), (3, 8), (3, 900), (50, 1)], np.int64)
    left = window.without(users=np.array([50]), answers=answers)
    assert left.to_arrays()["newest"].tolist() == [1, -1, 4, 9]
    assert left.admit(*np.array([*seen, (2, 3)]).T).tolist() == [1, 0, 0, 0, 1, 1, 1]
    assert window.without(users=np.array([3]), answers=answers[:0]).admit(
        np.array([3, 2]), np.array([9, 4])
    ).tolist() == [0, 1]
