"""`ecct audit` on a whole run: the table, the files, the page, and what is refused."""

import csv
import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from ecct_tf.audit import run as audit_module
from ecct_tf.audit.log import received_of_log
from ecct_tf.audit.received import Received, answers_of
from ecct_tf.commands.root import cli
from ecct_tf.config import load_config
from ecct_tf.errors import AuditError, RunFolderError
from ecct_tf.knowledge import KnowledgeStore, UplinkRows
from ecct_tf.reporting import read_runs, write_report
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.touched_rows import with_rows


@pytest.fixture(scope="module")
def audited(audited_run):
    """The folder of the audited run, and what the command printed."""
    result = CliRunner().invoke(cli, ["audit", str(audited_run)], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return audited_run, result.output


def test_the_table_fits_a_terminal_and_names_what_was_guessed(audited):
    _, printed = audited
    assert max(map(len, printed.splitlines()[:30])) <= 80
    for words in (
        "gender",
        "age",
        "recent: regression",
        "newest: regression",
        "sent",
        "uplinks add",
    ):
        assert words in printed
    assert "out of the uplink log" in printed


def test_files_hold_aggregates_alone(audited):
    folder, _ = audited
    values = json.loads((folder / "audit.json").read_text())
    assert [values[name] for name in ("format", "rounds", "users")] == [1, 2, 40]
    # Two uplinks of each user are in the log.
    assert [values[name] for name in ("uplinks", "source")] == [80, "uplink log"]
    assert values["not_measured"].keys() == {"shared weights"}
    rows = list(csv.DictReader((folder / "audit.csv").open(newline="")))
    assert len(rows) == len(values["findings"])
    attacks = {(row["attack"], row["measure"]) for row in rows}
    assert {("private column", "AUC"), ("reconstruction", "HR@10")} <= attacks
    for finding in values["findings"]:
        for name in ("known", "received", "both", "added"):
            # A figure and its two ends; nothing of a single user.
            assert finding[name] is None or finding[name].keys() == {"value", "low", "high"}


def test_a_sum_that_devices_told_is_named(audited_run):
    config, received = RunFolder.open(audited_run).config, SimpleNamespace(source="uplink log")
    stored = ("item_increments", "recent_popularity", "knowledge/rounds")
    assert audit_module._never_measured(config, received, stored=stored).keys() == {
        "shared weights",
        "pairs of items",
        "items met lately",
    }


def test_the_log_holds_what_the_checkpoint_keeps(audited_run):
    folder = RunFolder.open(audited_run)
    arrays = folder.checkpoints.newest().arrays
    names = [name for name in arrays if name.startswith("knowledge/")]
    store = KnowledgeStore.from_arrays({name.split("/")[1]: arrays[name] for name in names})
    kept, log = Received.from_store(store), audited_run / "uplinks"
    logged = received_of_log(log, folder.config, store, rounds=2, num_items=120)
    newest = np.flatnonzero(logged.rounds == 1)
    order = newest[np.argsort(logged.users[newest])]
    assert np.array_equal(logged.items[order], kept.items[:40])
    assert np.array_equal(logged.embeddings[order], kept.embeddings[:40])
    assert np.array_equal(logged.logits[order], kept.logits[:40])
    # Stage 1 sends none.
    assert np.isnan(logged.logits[logged.rounds == 0]).all()
    # A log without the newest round, or of another run, is none of this one's.
    assert received_of_log(log, folder.config, store, rounds=1, num_items=120) is None
    changed = with_rows(store.items, np.array([3]), store.items[[3]] + 1)
    store = dataclasses.replace(store, items=changed)
    assert received_of_log(log, folder.config, store, rounds=2, num_items=120) is None


def test_the_store_gives_earlier_logits_without_embeddings():
    store = KnowledgeStore.empty(num_users=3, num_queries=2, embedding_dim=1, num_earlier=1)
    for number, logit in enumerate((1.0, 3.0)):
        rows = UplinkRows(
            users=np.array([1], np.int32),
            items=np.array([[4, 5 + number]], np.int32),
            embeddings=np.full((1, 2, 1), logit, np.float32),
            logits=np.full((1, 2), logit, np.float32),
        )
        store = store.updated(rows, round_number=number)
    silent = UplinkRows(
        users=np.array([2], np.int32),
        items=np.array([[7, 8]], np.int32),
        embeddings=np.zeros((1, 2, 1), np.float32),
        logits=None,
    )
    bare = answers_of(Received.from_store(store.updated(silent, round_number=2)))
    assert bare.with_logit.tolist() == [True] * 3 + [False] * 2
    answers = answers_of(Received.from_store(store))
    assert answers.items.tolist() == [4, 5, 6]
    assert answers.times.tolist() == [2.0, 1.0, 1.0]
    assert answers.logit.tolist() == [2.0, 1.0, 3.0]
    assert answers.newest_logit.tolist() == [3.0, 1.0, 3.0]
    assert answers.with_embedding.tolist() == [True, False, True]
    assert answers.embedding[:, 0].tolist() == [3.0, 0.0, 3.0]


def test_the_page_shows_the_audit_or_the_command_for_it(audited, tmp_path):
    folder, _ = audited
    page = write_report(read_runs([folder]), tmp_path / "with.html").read_text()
    assert "likelihood ratio, offline" in page
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("audit.*"))
    page = write_report(read_runs([bare]), tmp_path / "without.html").read_text()
    assert f"ecct audit {bare}" in page


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[:-9], "cannot read it"),
        (lambda text: text.replace('"format": 1', '"format": 7'), "expected format 1, got 7"),
        (lambda text: text.replace('"prior": 0.5', '"prior": "<b>"'), "expected numbers"),
    ],
)
def test_a_damaged_audit_is_named(audited, tmp_path, damage, words):
    copied = tmp_path / "run"
    shutil.copytree(audited[0], copied)
    file = copied / "audit.json"
    file.write_text(damage(file.read_text()))
    with pytest.raises(RunFolderError, match=words):
        write_report(read_runs([copied]), tmp_path / "page.html")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["method=popularity"], "method popularity"),
        (["method=fedavg"], "method fedavg"),
        (["exchange.up=false"], "exchange.up=false"),
    ],
)
def test_a_run_without_received_uplinks_is_refused(tmp_path, overrides, words):
    RunFolder.create(tmp_path / "run", load_config(overrides=overrides))
    result = CliRunner().invoke(cli, ["audit", str(tmp_path / "run")])
    assert isinstance(result.exception, AuditError)
    assert words in str(result.exception)
    assert str(tmp_path / "run") in str(result.exception)


def test_too_few_users_are_refused():
    with pytest.raises(AuditError, match=r"at least 20 users.*got 3"):
        audit_module._audited(np.arange(3), None, where="runs/mine")


def test_ablations_of_the_exchange_can_be_audited():
    for override in ("exchange.down=false", "exchange.logits=false"):
        audit_module.check_auditable(load_config(overrides=[override]), where="runs/mine")


def test_a_cloud_of_labels_learns_and_hears_nothing(audited_run):
    folder = RunFolder.open(audited_run)
    checkpoint = folder.checkpoints.newest()
    experiment = audit_module.run_experiment(folder, checkpoint)
    names = [name for name in checkpoint.arrays if name.startswith("knowledge/")]
    arrays = {name.split("/")[1]: np.asarray(checkpoint.arrays[name]) for name in names}
    store = KnowledgeStore.from_arrays(arrays)

    def learned(knowledge, rounds=2):
        cloud = audit_module.build_cloud(experiment)
        before = cloud.snapshot()
        audit_module._learn_labels(cloud, knowledge, rounds=rounds)
        after = cloud.snapshot()
        return sum(np.abs(after[name] - before[name]).sum() for name in before), after

    moved, after = learned(store)
    assert moved > 0
    # What devices said decides nothing, who took part alone.
    said = dataclasses.replace(
        store, embeddings=store.embeddings + 1.0, logits=-store.logits, items=store.items * 0 + 1
    )
    again = learned(said)[1]
    for name, values in after.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)
    nobody = dataclasses.replace(store, rounds=np.full_like(store.rounds, -1))
    assert learned(nobody)[0] == 0
