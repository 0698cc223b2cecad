"""Each kind of file that can hold something of a user, planted by hand and looked through after."""

import bz2
import dataclasses
import gzip
import hashlib
import lzma
import os
import shutil
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from module_files import load_file

from cloud.array_files import write_arrays
from cloud.erasing import Places, erase, find_users, plan
from cloud.service import TokenStore
from cloud.uplink_log import (
    AskedItems,
    AskedNotes,
    ForgetNotes,
    Quarantine,
    UplinkLogWriter,
    log_files,
    note_of,
)
from cloud.uplink_log.asked import Note
from cloud.uplink_log.framing import frame, read_frames
from cloud.uplink_log.reasons import Reason, Rejected
from ecct_tf.errors import DataError
from ecct_tf.wire.record import TOMBSTONE

pieces = load_file("tests/cloud/service_pieces.py")
every_byte = load_file("tests/cloud/every_byte.py")
# Numbers and payloads that stand nowhere by chance.
GONE, OTHER = 1_589_718_650, 1_324_567_891
DAY = "date=2026-09-21"


def payload_of(user):
    return hashlib.shake_128(str(user).encode()).digest(pieces.FORM.payload_bytes - 4)


def record(user, round_number=1):
    payload = user.to_bytes(4, "little") + payload_of(user)
    return dataclasses.replace(pieces.record(user, round_number), payload=payload)


def needles(user):
    return [*every_byte.number_forms(user), payload_of(user)]


def framed(*users):
    return b"".join(frame(record(user).to_bytes()) for user in users)


def in_day(folder, name, content):
    path = folder / "log" / DAY / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def plant_log(folder):
    UplinkLogWriter(folder / "log").append([record(GONE), record(OTHER), record(GONE, 2)])


def plant_torn(folder):
    in_day(folder, "torn.tfrecord", framed(OTHER) + framed(GONE)[:-20])


def plant_compressed(folder, *, end, compress):
    in_day(folder, f"old.tfrecord{end}", compress(framed(OTHER, GONE)))


def zstd(content):
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as opened:
        opened.write(content)
    return out.getvalue().to_pybytes()


def parquet(*users):
    out = pa.BufferOutputStream()
    names = {"user": pa.array(users, pa.int32())}
    names["record"] = pa.array([record(user).to_bytes() for user in users], pa.binary())
    pq.write_table(pa.table(names), out, compression="none", use_dictionary=False)
    return out.getvalue().to_pybytes()


def plant_parquet(folder):
    in_day(folder, "rows.parquet", parquet(*[OTHER] * 9, GONE))


def plant_compressed_parquet(folder):
    in_day(folder, "rows.parquet.gz", gzip.compress(parquet(*[OTHER] * 9, GONE)))


def plant_half_written(folder):
    in_day(folder, ".new.tfrecord.part", framed(OTHER, GONE)[:-3])
    in_day(folder, ".new.parquet.part", parquet(GONE)[:-3])


def refused(user):
    return Rejected("a.tfrecord", 0, Reason.WRONG_FORM, "of another form", record(user).to_bytes())


def plant_quarantine(folder):
    with Quarantine(folder / "log" / "quarantine").session() as session:
        session.replace("a.tfrecord", 0, 1, [refused(GONE)])
        other = dataclasses.replace(refused(OTHER), offset=1)
        session.replace("a.tfrecord", 1, 2, [other])


def deleted_without_overwriting(path, statement):
    """As SQLite does it where it is not built to overwrite what it deletes."""
    database = sqlite3.connect(path)
    with database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute(statement)
        database.execute("PRAGMA user_version = 0")
    database.close()


def plant_replaced_entry(folder):
    """Another reading of the file had nothing to say of it: no row, but its bytes."""
    plant_quarantine(folder)
    path = folder / "log" / "quarantine" / "rejected.sqlite"
    deleted_without_overwriting(path, "DELETE FROM rejected WHERE offset = 0")


def plant_log_of_writes(folder):
    """What a reader that was killed leaves beside its database."""
    quarantine = Quarantine(folder / "checked")
    with quarantine.session() as session:
        session.replace("a.tfrecord", 0, 1, [refused(GONE)])
        shutil.copytree(folder / "checked", folder / "quarantine")
    shutil.rmtree(folder / "checked")
    assert (folder / "quarantine" / "rejected.sqlite-wal").stat().st_size


def plant_tokens(folder):
    store = TokenStore(folder / "tokens.sqlite")
    for user in (GONE, OTHER):
        store.issue(user)
    store.rotate(GONE, keep_seconds=100)


def plant_removed_tokens(folder):
    """An earlier release was killed between its two steps, and overwrote nothing."""
    plant_tokens(folder)
    path = folder / "tokens.sqlite"
    deleted_without_overwriting(path, f"DELETE FROM tokens WHERE user = {GONE}")


def plant_job(folder):
    """Killed before its inputs were fixed."""
    job = folder / "jobs" / "1"
    job.mkdir(parents=True)
    (job / "config.yaml").write_text("{}")
    row = np.frombuffer(payload_of(GONE), np.int8)
    for name in ("knowledge.npz", ".knowledge.npz.part", "replay_window.npz"):
        write_arrays(job / name, {"users": np.array([GONE, 4], np.int64), "embeddings": row})


def plant_notes(folder):
    """Asked items and answers to forget: noted, half noted, and drafted."""
    publications = folder / "registry" / "publications"
    items = AskedItems(np.full((5, 2), GONE, np.int32), np.ones((1, 2), np.int32))
    AskedNotes(publications).add(Note(3, 1, 0), items)
    (publications / "0000000003-000001.json").unlink()
    shutil.copy(publications / "0000000003-000001.npz", publications / ".x.npz.part")
    plant_log(folder)
    note = note_of(folder / "log", log_files(folder / "log"), users=[GONE, OTHER])
    ForgetNotes(folder / "registry" / "forgotten").add(note)
    forgotten = folder / "registry" / "forgotten"
    shutil.copy(forgotten / "000001.npz", forgotten / "000002.npz")
    shutil.copy(forgotten / "000001.json", forgotten / ".000002.json.part")


def plant_publication(folder):
    public = folder / "public"
    publication = pieces.published(public, users=(4, OTHER, GONE))
    whole = public / publication.downlinks.path
    shutil.copy(whole, public / f".{whole.name}.part")
    for name in (whole.stem, f".{whole.stem}.part"):
        (public / name).mkdir()
        for user in (OTHER, GONE):
            (public / name / f"{user}.ecdn").write_bytes(b"one")
    current = public / "current.json"
    current.write_text(dataclasses.replace(publication, devices=whole.stem).to_json())


PLANTED = {
    "log": plant_log,
    "torn record": plant_torn,
    "gz": lambda folder: plant_compressed(folder, end=".gz", compress=gzip.compress),
    "bz2": lambda folder: plant_compressed(folder, end=".bz2", compress=bz2.compress),
    "xz": lambda folder: plant_compressed(folder, end=".xz", compress=lzma.compress),
    "zst": lambda folder: plant_compressed(folder, end=".zst", compress=zstd),
    "parquet": plant_parquet,
    "compressed parquet": plant_compressed_parquet,
    "half-written files": plant_half_written,
    "quarantine": plant_quarantine,
    "replaced entry": plant_replaced_entry,
    "log of writes": plant_log_of_writes,
    "tokens": plant_tokens,
    "removed tokens": plant_removed_tokens,
    "job": plant_job,
    "notes": plant_notes,
    "publication": plant_publication,
}
# Of these nothing may stay: they count for nobody, and begin anew.
WHOLLY_REMOVED = ("half-written files", "log of writes", "job")


def places(folder):
    def there(*names):
        return tuple(folder / name for name in names if (folder / name).exists())

    return Places(
        registry=folder / "registry",
        logs=there("log"),
        jobs=there("jobs"),
        publications=there("public"),
        tokens=there("tokens.sqlite"),
        quarantines=there("quarantine"),
    )


def gone(folder):
    return find_users(folder / "registry", numbers=[GONE])


@pytest.mark.parametrize("kind", PLANTED)
def test_no_byte_of_the_user_is_left(kind, tmp_path):
    PLANTED[kind](tmp_path)
    others = every_byte.holding(tmp_path, needles(OTHER))
    assert every_byte.holding(tmp_path, needles(GONE)), "nothing was planted"
    assert bool(others) or kind in WHOLLY_REMOVED
    done = erase(places(tmp_path), gone(tmp_path))
    assert (len(done.steps) > 0, done.unknown) == (True, ())
    assert every_byte.holding(tmp_path, needles(GONE)) == []
    if kind not in WHOLLY_REMOVED:
        assert every_byte.holding(tmp_path, needles(OTHER))
    assert plan(places(tmp_path), gone(tmp_path)).steps == ()


def test_a_compressed_file_keeps_the_other_records_and_gets_a_tombstone(tmp_path):
    PLANTED["gz"](tmp_path)
    erase(places(tmp_path), gone(tmp_path))
    content = gzip.decompress((tmp_path / "log" / DAY / "old.tfrecord.gz").read_bytes())
    first, second = read_frames(content, final=True).contents
    assert first == record(OTHER).to_bytes()
    assert second == TOMBSTONE + bytes(len(first) - len(TOMBSTONE))


def test_what_cannot_be_decompressed_is_named(tmp_path):
    PLANTED["gz"](tmp_path)
    path = tmp_path / "log" / DAY / "old.tfrecord.gz"
    path.write_bytes(path.read_bytes()[:-12])
    in_day(tmp_path, "copy.bak", framed(GONE))
    found = plan(places(tmp_path), gone(tmp_path))
    assert found.steps == ()
    log = tmp_path / "log" / DAY
    assert found.unknown == (str(log / "copy.bak"), str(path))


def test_a_replaced_entry_is_known_to_leave_remains(tmp_path):
    quarantine = Quarantine(tmp_path)
    assert not quarantine.holds_remains()
    with quarantine.session() as session:
        session.replace("a.tfrecord", 0, 1, [refused(GONE)])
        assert not quarantine.holds_remains()
        session.replace("a.tfrecord", 0, 1, [])
    assert quarantine.holds_remains()
    assert quarantine.erase([GONE]) == 0
    assert not quarantine.holds_remains()


def test_a_reader_that_keeps_the_log_of_writes_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("cloud.uplink_log.quarantine._WAIT_SECONDS", 0.01)
    plant_quarantine(tmp_path)
    reader = sqlite3.connect(tmp_path / "log" / "quarantine" / "rejected.sqlite")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM rejected").fetchone()
    with pytest.raises(DataError, match="nothing else has open"):
        erase(places(tmp_path), gone(tmp_path))
    reader.close()
    erase(places(tmp_path), gone(tmp_path))
    assert every_byte.holding(tmp_path, needles(GONE)) == []


class StoppedError(Exception):
    """As if the process had been killed."""


@pytest.mark.parametrize("calls", [1, 3, 6, 10, 15, 21, 28, 34])
def test_killed_at_any_moment_the_same_command_ends_it(calls, tmp_path, monkeypatch):
    planted = ("torn record", "gz", "parquet", "quarantine", "tokens", "job", "notes")
    for kind in (*planted, "publication"):
        PLANTED[kind](tmp_path)
    made = 0

    def counted(real):
        def wrapped(*given, **options):
            nonlocal made
            made += 1
            if made >= calls:
                raise StoppedError
            return real(*given, **options)

        return wrapped

    for name in ("rename", "replace", "unlink", "link", "fsync"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    with pytest.raises(StoppedError):
        erase(places(tmp_path), gone(tmp_path))
    monkeypatch.undo()
    erase(places(tmp_path), gone(tmp_path))
    assert every_byte.holding(tmp_path, needles(GONE)) == []
