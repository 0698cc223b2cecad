"""A user who was erased is nowhere: every byte that the cloud keeps is looked through, decoded."""

import dataclasses
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from module_files import load_file

from cloud.erasing import Places, erase, find_users, plan
from cloud.publishing import publish
from cloud.registry import ErasedMarks, Registry, sharing
from cloud.retraining import history, retrain
from cloud.retraining.preparation import prepare
from cloud.service.tokens import TokenStore
from cloud.uplink_log import (
    ForgetNotes,
    LogContract,
    Quarantine,
    ReplayWindow,
    export_one_parquet,
    log_files,
    note_of,
    read_uplinks,
)
from cloud.uplink_log.framing import frame, read_frames
from cloud.version_files import StoredCloud
from ecct_tf.cli import cli
from ecct_tf.cycle.edge import fetch
from ecct_tf.errors import DataError, RegistryError, RunFolderError, SignatureError
from ecct_tf.wire import CURRENT_NAME, DownlinkFile, Publication, UplinkRecord
from ecct_tf.wire.signed_files import check_publication
from ecct_tf.wire.signing import SigningKey, sign

every_byte = load_file("tests/cloud/every_byte.py")
QUICK = {"cloud__update_epochs": 0, "cloud__fit_epochs": 0, "gate__minimum_gain": -1}
GONE, OTHER, STRANGER = 3, 4, 777
DAY = "date=2023-11-14"
LATE = "Ωquux-25"


def token_of(number):
    return f"Ωquux-{number + 1}"


@pytest.fixture(scope="module", autouse=True)
def unusual_ids():
    """Ids that stand nowhere by chance."""
    load = history.load_dataset

    def loaded(*given, **options):
        dataset = load(*given, **options)
        tokens = tuple(f"Ωquux-{token}" for token in dataset.user_tokens)
        return dataclasses.replace(dataset, user_tokens=tokens)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "load_dataset", loaded)
        # However small, what versions have in common is on the disk once.
        patch.setattr(sharing, "_LEAST_BYTES", 1)
        yield


@pytest.fixture(scope="module")
def built(jobs, tmp_path_factory):
    """Three versions, 2 in force; a log in both kinds of files, damage, a publication, tokens."""
    folder = tmp_path_factory.mktemp("built")
    jobs.write_log(folder, range(20), name="all")
    jobs.write_log(folder, [GONE, OTHER], round_number=1, seed=9, name="more")
    jobs.write_log(folder, [STRANGER], seed=5, name="stranger")
    day = folder / "log" / DAY
    content = read_frames((day / "all.tfrecord").read_bytes(), final=True).contents
    torn = frame(content[GONE])
    (day / "torn.tfrecord").write_bytes(torn[:-20])
    job = jobs.small_job(folder, **QUICK)
    contract = dataclasses.replace(contract_of(jobs), newest_round=1)
    export(folder / "log", contract, day / "again.parquet")
    assert retrain(job, folder / "jobs" / "1", show=False).version == 1
    registry = Registry(folder / "registry")
    note = note_of(folder / "log", log_files(folder / "log"), users=[GONE, 9])
    ForgetNotes(registry.forgotten_path).add(note)
    publish(registry, folder / "public", one_file_each=True)
    assert retrain(job, folder / "jobs" / "2", show=False).version == 2
    publish(registry, folder / "public", one_file_each=True)
    more = jobs.small_job(folder, **QUICK, data__synthetic_users=25)
    assert retrain(more, folder / "jobs" / "3", show=False).version == 3
    registry.rollback()
    store = TokenStore(folder / "tokens.sqlite")
    secrets = {user: store.issue(user) for user in (GONE, OTHER)}
    store.issue(None)
    (folder / "job.yaml").write_text("{}")
    (folder / "secrets.json").write_text(json.dumps(secrets[OTHER]))
    return folder, secrets


def contract_of(jobs):
    return LogContract(
        num_users=24,
        num_items=jobs.ITEMS,
        queries=jobs.QUERIES,
        embedding_dim=jobs.EDGE_DIM,
        codec="int8",
        clip_norm=8.0,
        clip_logit=12.0,
        newest_round=1,
        newest_version=1,
    )


def export(log, contract, out):
    files = [file for file in log_files(log) if "stranger" not in file.name]
    batches = read_uplinks(
        log,
        files,
        contract=contract,
        window=ReplayWindow(24),
        quarantine=Quarantine(log.parent / "check"),
    )
    export_one_parquet(batches, out)


@pytest.fixture
def place(built, tmp_path):
    # With its hard links.
    subprocess.run(["cp", "-a", built[0], tmp_path / "copy"], check=True)
    return tmp_path / "copy"


def places(place):
    return Places(
        registry=place / "registry",
        logs=(place / "log",),
        jobs=(place / "jobs",),
        publications=(place / "public",),
        tokens=(place / "tokens.sqlite",),
        quarantines=(place / "check",),
    )


def needles(folder, user, secret):
    """What of a user lies about: id, token, records, rows of versions, downlinks."""
    found = {"id": token_of(user).encode() + b'"', "secret": secret.encode()}
    found["token"] = secret.split(".")[1].encode()
    found["hash"] = hashlib.sha256(secret.encode()).digest()
    for path in sorted((folder / "log" / DAY).glob("*.tfrecord")):
        for content in read_frames(path.read_bytes(), final=True).contents:
            record = UplinkRecord.from_bytes(content)
            if record.user == user:
                found[f"payload {record.round_number}"] = record.payload[30:70]
    registry = Registry(folder / "registry")
    for version in registry.versions():
        stored = StoredCloud.of(version)
        number = version.number
        found[f"history {number}"] = stored.older.of(user)[:12].tobytes()
        found[f"times {number}"] = stored.older.times_of(user)[:12].tobytes()
        found[f"state {number}"] = stored.states[user].tobytes()
        if stored.knowledge.rounds[user] >= 0:
            found[f"known {number}"] = stored.knowledge.embeddings[user].tobytes()
        variables = tf.train.load_checkpoint(str(version.saved_model / "variables" / "variables"))
        name = next(n for n in variables.get_variable_to_shape_map() if n.startswith("_users/"))
        found[f"served {number}"] = variables.get_tensor(name)[user].tobytes()
    for path in sorted((folder / "public").glob("downlinks-*.ecdn")):
        downlinks = DownlinkFile.from_bytes(path.read_bytes())
        found[f"downlink {path.name}"] = downlinks.records[downlinks._place(user)].tobytes()
    for path in sorted((folder / "registry" / "publications").glob("*.npz")):
        with np.load(path) as arrays:
            found[f"asked {path.name}"] = arrays["users"][user].tobytes()
    return found


def held(folder, found):
    """Which needles lie in which files."""
    return {
        name: [path.relative_to(folder).as_posix() for path, data in all_of if needle in data]
        for all_of in [list(every_byte.contents(folder))]
        for name, needle in found.items()
    }


def clean(folder, found):
    assert {name: where for name, where in held(folder, found).items() if where} == {}
    for path in folder.rglob("*"):
        assert not path.name.endswith((".part", ".rewritten"))


def test_nothing_of_the_user_is_left_and_all_of_the_others(built, place):
    secrets = built[1]
    gone, other = (needles(place, user, secrets[user]) for user in (GONE, OTHER))
    del gone["secret"]
    before = held(place, gone)
    assert all(before.values()), before
    others = held(place, other)
    lengths = {file.name: file.size_bytes for file in log_files(place / "log")}
    registry = Registry(place / "registry")
    assert (registry.version(2).path / "history.npz").stat().st_nlink > 1
    known = {v.number: StoredCloud.of(v).knowledge for v in registry.versions()}
    found = find_users(place / "registry", tokens=[token_of(GONE)])
    listed = plan(places(place), found)
    assert held(place, gone) == before
    done = erase(places(place), found)
    assert [step.where for step in done.steps] == [step.where for step in listed.steps]
    clean(place, gone)
    assert lengths == {file.name: file.size_bytes for file in log_files(place / "log")}
    after = held(place, other)
    for name, where in others.items():
        # Names of files change with their content, and old publications' downlinks leave.
        assert after[name] or name.startswith("downlink"), name
        assert len(after[name]) >= len(
            [w for w in where if not w.startswith(("public/", "registry/trash/", "check/"))]
        ), name
    rest = np.arange(20) != GONE
    for version in registry.versions():
        version.verify()
        stored = StoredCloud.of(version)
        assert stored.vocabulary.users[GONE].startswith("erased-")
        assert stored.knowledge.rounds[GONE] == -1
        np.testing.assert_array_equal(
            stored.knowledge.embeddings[:20][rest], known[version.number].embeddings[:20][rest]
        )
        assert not len(stored.older.of(GONE))
    current = Publication.from_json((place / "public" / CURRENT_NAME).read_text())
    downlinks = DownlinkFile.from_bytes((place / "public" / current.downlinks.path).read_bytes())
    assert downlinks.keys.tolist() == [user for user in range(24) if user != GONE]
    assert sorted(int(p.stem) for p in (place / "public" / current.devices).iterdir()) == (
        downlinks.keys.tolist()
    )
    store = TokenStore(place / "tokens.sqlite")
    assert store.find(secrets[GONE]) is None
    assert store.find(secrets[OTHER]).user == OTHER
    # What TF Serving reads is the version's.
    served = registry.serving_path / "2" / "saved_model.pb"
    assert served.read_bytes() == (registry.version(2).saved_model / served.name).read_bytes()
    again = erase(places(place), find_users(place / "registry", tokens=[token_of(GONE)]))
    assert again.steps == ()


@pytest.mark.slow
def test_the_next_job_is_that_of_a_registry_without_the_user(jobs, place, tmp_path):
    twin = tmp_path / "twin"
    jobs.write_log(twin, [user for user in range(20) if user != GONE], name="all")
    erase(places(place), find_users(place / "registry", tokens=[token_of(GONE)]))
    # The twin's registry never heard of the user, whom its data do not have.
    shutil.copytree(place / "registry" / "erased", twin / "registry" / "erased")
    # Files whose answers the twin has not.
    shutil.rmtree(place / "registry" / "promotions")
    for name in ("more.tfrecord", "stranger.tfrecord", "torn.tfrecord", "again.parquet"):
        (place / "log" / DAY / name).unlink()
    shutil.rmtree(place / "registry" / "publications")
    shutil.rmtree(place / "registry" / "forgotten")
    all_of = place / "log" / DAY / "all.tfrecord"
    twin_of = twin / "log" / DAY / "all.tfrecord"
    frames = read_frames(all_of.read_bytes(), final=True).contents
    twin_of.write_bytes(b"".join(frame(c) for c in frames if not c.startswith(b"ECTB")))
    scratch = {"start": "scratch", "cloud__update_epochs": 1, "gate__minimum_gain": -1}
    stored = []
    for folder in (place, twin):
        result = retrain(jobs.small_job(folder, **scratch), folder / "jobs" / "new", show=False)
        stored.append(StoredCloud.of(Registry(folder / "registry").version(result.version)))
    one, two = stored
    assert one.vocabulary == two.vocabulary
    for name, value in one.snapshot.items():
        np.testing.assert_array_equal(value, two.snapshot[name], err_msg=name)
    for field in dataclasses.fields(one.knowledge):
        np.testing.assert_array_equal(
            getattr(one.knowledge, field.name), getattr(two.knowledge, field.name)
        )
    np.testing.assert_array_equal(one.table.cloud, two.table.cloud)


def test_a_warm_job_goes_on_and_takes_no_late_answer_of_the_user(jobs, place):
    erase(places(place), find_users(place / "registry", tokens=[token_of(GONE)]))
    jobs.write_log(place, [GONE, 5], round_number=1, cloud_version=0, seed=2, name="late")
    found = prepare(jobs.small_job(place, **QUICK), place / "jobs" / "4", is_chief=True, show=False)
    assert found.inputs.uplinks["rejected"] == {"forgotten": 1}
    assert (found.knowledge.rounds[GONE], found.knowledge.rounds[5]) == (-1, 1)
    assert found.inputs.uplinks["read"] == 1
    assert not list(Quarantine(place / "jobs" / "4" / "quarantine").entries())
    # A job that began before cannot go on.
    began = jobs.small_job(place, **QUICK)
    with pytest.raises(RunFolderError, match="a user was erased"):
        prepare(began, place / "jobs" / "1", is_chief=True, show=False)


@pytest.mark.slow
def test_interrupted_anywhere_the_next_call_ends_it(built, place, monkeypatch):
    gone = needles(place, GONE, built[1][GONE])
    del gone["secret"]
    calls = limit = 0

    class StoppedError(Exception):
        pass

    def counted(real):
        def wrapped(*given, **options):
            nonlocal calls
            calls += 1
            if calls == limit:
                raise StoppedError
            return real(*given, **options)

        return wrapped

    for name in ("rename", "replace", "unlink", "link", "fsync"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    interrupted = 0
    for each in (1, 2, 5, 8, 13, 21, 34, 55, 90, 150, 250, 10_000):
        calls, limit = 0, each
        try:
            erase(places(place), find_users(place / "registry", tokens=[token_of(GONE)]))
            break
        except StoppedError:
            interrupted += 1
    monkeypatch.undo()
    assert interrupted >= 8
    clean(place, gone)
    for version in Registry(place / "registry").versions():
        version.verify()
    assert Registry(place / "registry").promoted().number == 2


def test_who_is_only_in_a_quarantine_and_who_is_only_in_a_version(place):
    quarantine = Quarantine(place / "jobs" / "1" / "quarantine")
    assert quarantine.count_of({STRANGER}) == 1
    found = find_users(place / "registry", numbers=[STRANGER])
    assert [user.token for user in found] == [None]
    done = erase(places(place), found)
    assert quarantine.path in [step.where for step in done.steps]
    assert quarantine.count_of({STRANGER}) == 0
    # Somebody else may get the number one day.
    assert not (place / "registry" / "erased").exists()
    found = find_users(place / "registry", tokens=[LATE])
    assert [user.number for user in found] == [24]
    done = erase(places(place), found)
    assert [step.where.name for step in done.steps] == ["000003"]
    clean(place, {"id": LATE.encode()})
    assert Registry(place / "registry").promoted().number == 2


def test_what_cannot_be_erased_is_refused(place):
    with pytest.raises(DataError, match="there is no user 'nobody'"):
        find_users(place / "registry", tokens=["nobody"])
    found = find_users(place / "registry", tokens=[token_of(GONE)])
    registry = Registry(place / "registry")
    with registry.draft(name="at-work"), pytest.raises(RegistryError, match="no job at work"):
        erase(places(place), found)
    parquet = place / "log" / DAY / "again.parquet"
    parquet.write_bytes(parquet.read_bytes()[:-3])
    with pytest.raises(DataError, match="cannot be known"):
        plan(places(place), found)


def test_a_signed_publication_is_signed_anew(place):
    key = SigningKey.new()
    current = place / "public" / CURRENT_NAME
    current.write_text(sign(current.read_text(), key, now=time.time()))
    found = find_users(place / "registry", tokens=[token_of(GONE)])
    with pytest.raises(SignatureError, match="give --sign"):
        plan(places(place), found)
    only = Places(place / "registry", publications=(place / "public",), key=key)
    for step in plan(only, found).steps[:1]:
        step.run()
    checked = check_publication(place / "public", [key.public]).publication
    downlinks = DownlinkFile.from_bytes((place / "public" / checked.downlinks.path).read_bytes())
    assert GONE not in downlinks.keys


def test_downlinks_of_a_user_leave_the_shard_that_has_them(place):
    current = place / "public" / CURRENT_NAME
    publish(Registry(place / "registry"), place / "public", users_in_file=7, one_file_each=True)
    before = Publication.from_json(current.read_text())
    only = Places(place / "registry", publications=(place / "public",))
    for step in plan(only, find_users(place / "registry", tokens=[token_of(GONE)])).steps[:1]:
        step.run()
    after = Publication.from_json(current.read_text())
    changed = [a.first_user for b, a in zip(before.shards, after.shards, strict=True) if a != b]
    assert changed == [GONE // 7 * 7]
    left = fetch(place / "public").downlinks.keys.tolist()
    assert left == [user for user in range(24) if user != GONE]
    assert not (place / "public" / after.devices / f"{GONE}.ecdn").exists()
    assert not (place / "public" / before.downlinks_of(GONE).path).exists()


def test_the_command(jobs, place):
    given = ["cloud", "erase", "--config", str(place / "job.yaml"), "--user", token_of(GONE)]
    for setting in jobs.settings(place, **QUICK):
        given += ["--set", setting]
    (place / "log" / DAY / "old.tfrecord.gz").write_bytes(gzip.compress(b"whatever")[:-4])
    listed = CliRunner().invoke(cli, [*given, "--dry-run"])
    assert listed.exit_code == 1
    assert "nothing was changed" in listed.output
    assert "old.tfrecord.gz: could not be looked into" in listed.output
    assert "Not looked at, since not named: --jobs, --public, --tokens" in listed.output
    (place / "log" / DAY / "old.tfrecord.gz").unlink()
    done = CliRunner().invoke(cli, given)
    assert (done.exit_code, "Erased." in done.output) == (0, True), done.output
    again = CliRunner().invoke(cli, given)
    assert "Nothing of them is left." in again.output


def test_ids_are_recognised_and_not_kept(tmp_path):
    marks = ErasedMarks(tmp_path / "erased")
    assert marks.read().places(["a"]) == {}
    first = marks.add("a-very-long-id", 7)
    assert marks.add("a-very-long-id", 7) == first
    second = marks.add("another", 9)
    found = marks.read()
    assert found.places(["x", "another", "a-very-long-id"]) == {
        1: second.tombstone,
        2: first.tombstone,
    }
    assert found.numbers == (7, 9)
    for path in Path(tmp_path / "erased").iterdir():
        assert b"a-very-long-id" not in path.read_bytes()
