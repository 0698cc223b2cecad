"""The log is written whole, read in one order, and resumed where one stopped."""

import datetime
import hashlib
import subprocess
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from cloud.uplink_log import (
    ConsumedFile,
    LogPosition,
    Reason,
    ReplayWindow,
    UplinkLogWriter,
    export_parquet,
    log_files,
)
from cloud.uplink_log.framing import frame
from ecct_tf.errors import DataError

BLOCK = 1 << 21


def test_tensorflow_reads_what_the_writer_wrote(tmp_path, uplinks):
    records = [uplinks(user, 3) for user in range(4)]
    (path,) = UplinkLogWriter(tmp_path).append(records)
    assert path.parent == tmp_path / "date=1970-01-02"
    read = [content.numpy() for content in tf.data.TFRecordDataset(str(path))]
    assert read == [record.to_bytes() for record in records]


def test_a_frame_is_tensorflows(tmp_path):
    contents = [b"x", b"", bytes(range(256)) * 9]
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        for content in contents:
            writer.write(content)
    assert (tmp_path / "a").read_bytes() == b"".join(map(frame, contents))


def test_rows_come_back_decoded_in_order(tmp_path, uplinks):
    records = [uplinks(user, 7, stage=1 + user % 2, version=user % 5) for user in range(9)]
    UplinkLogWriter(tmp_path).append(records)
    (batch,), quarantine = uplinks.read(tmp_path)
    assert uplinks.keys([batch]) == [record.key for record in records]
    assert list(batch.records) == [record.to_bytes() for record in records]
    assert batch.cloud_versions.tolist() == [user % 5 for user in range(9)]
    assert batch.created_at_seconds.tolist() == [uplinks.day] * 9
    assert batch.with_logits.tolist() == [bool(user % 2) for user in range(9)]
    payload = np.frombuffer(records[3].payload, records[3].form.dtype)[0]
    np.testing.assert_array_equal(batch.items[3], payload["items"])
    np.testing.assert_array_equal(batch.embeddings[3], payload["embeddings"] / np.float32(32))
    np.testing.assert_array_equal(batch.logits[3], payload["logits"] * np.float32(0.09375))
    assert not batch.logits[2].any()
    assert quarantine.counts() == {}
    assert not quarantine.path.exists()


def test_files_are_by_day_and_read_by_name(tmp_path, uplinks):
    writer = UplinkLogWriter(tmp_path, records_per_file=2)
    late, early = [uplinks(9, 1, at=3 * uplinks.day)], [uplinks(u, 1) for u in range(5)]
    assert len(writer.append([*late, *early])) == 4
    days = [file.name.split("/")[0] for file in log_files(tmp_path)]
    assert days == ["date=1970-01-02"] * 3 + ["date=1970-01-04"]
    batches, _ = uplinks.read(tmp_path)
    assert sorted(uplinks.keys(batches)[:5]) == [(user, 1) for user in range(5)]
    assert uplinks.keys(batches)[5] == (9, 1)


def test_a_named_file_is_replaced(tmp_path, uplinks):
    writer = UplinkLogWriter(tmp_path, records_per_file=2)
    for _ in range(2):
        written = writer.append([uplinks(user) for user in range(3)], name="round-7")
        assert [path.name for path in written] == [
            "round-7-00000.tfrecord",
            "round-7-00001.tfrecord",
        ]
    assert len(log_files(tmp_path)) == 2
    with pytest.raises(DataError, match="expected a file name of letters"):
        writer.append([uplinks()], name="../up")


def test_many_writers_never_meet(tmp_path, uplinks):
    def write(user):
        for round_number in range(20):
            UplinkLogWriter(tmp_path).append([uplinks(user, round_number)])

    threads = [threading.Thread(target=write, args=(user,)) for user in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batches, quarantine = uplinks.read(tmp_path)
    assert sorted(uplinks.keys(batches)) == [(u, r) for u in range(4) for r in range(20)]
    assert quarantine.counts() == {}
    assert not list(tmp_path.rglob("*.part"))


def test_a_half_written_file_is_not_seen(tmp_path, uplinks):
    path = uplinks.write(tmp_path, [uplinks().to_bytes()])
    path.rename(path.with_name(".a.tfrecord.part"))
    (path.parent / "notes.txt").write_text("of no concern")
    assert log_files(tmp_path) == ()
    with pytest.raises(DataError, match="expected a folder"):
        log_files(tmp_path / "other")


def test_what_was_consumed_is_left_out_and_must_not_change(tmp_path, uplinks):
    path = uplinks.write(tmp_path, [uplinks(1).to_bytes()])
    (batch,), _ = uplinks.read(tmp_path)
    assert batch.finished == ConsumedFile(
        "date=1970-01-02/a.tfrecord",
        path.stat().st_size,
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    # A file that is newer may sort before.
    UplinkLogWriter(tmp_path).append([uplinks(2)], name="Z")
    fresh = log_files(tmp_path, consumed=[batch.finished])
    assert [file.name for file in fresh] == ["date=1970-01-02/Z.tfrecord"]
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="files of the log must never change"):
        log_files(tmp_path, consumed=[batch.finished])


@pytest.fixture(scope="module")
def long_log(tmp_path_factory, uplinks):
    """Two files, one of more than a block, with bad records in all places."""
    folder = tmp_path_factory.mktemp("long")
    contents = [uplinks(user, number).to_bytes() for number in range(100) for user in range(50)]
    bad = [content[:40] + b"?" + content[41:] for content in contents[:300]]
    filler = [bytes(3000)] * 700
    uplinks.write(folder, [*contents[:2000], *bad, *filler, *contents[2000:4000]], name="a")
    uplinks.write(folder, [*contents[4000:], *bad], name="b")
    return folder


def test_a_job_goes_on_after_any_batch(long_log, uplinks):
    files = log_files(long_log)
    whole, quarantine = uplinks.read(long_log, block_bytes=BLOCK)
    expected = list(quarantine.entries())
    assert len(whole) >= 3
    assert len(expected) == 1300
    for cut in range(len(whole)):
        window = ReplayWindow(50)
        for batch in whole[: cut + 1]:
            window.admit(batch.users, batch.rounds)
        kept = ReplayWindow.from_arrays(window.to_arrays())
        rest, quarantine = uplinks.read(
            long_log, files, window=kept, block_bytes=BLOCK, position=whole[cut].position
        )
        rest = [batch for batch in rest if len(batch)]
        following = [batch for batch in whole[cut + 1 :] if len(batch)]
        assert uplinks.keys(rest) == uplinks.keys(following)
        assert [batch.position for batch in rest] == [batch.position for batch in following]
        # What another reading found is neither lost nor there twice.
        assert list(quarantine.entries()) == expected
    assert whole[-1].finished.sha256 == rest_digest(long_log, uplinks, whole[-2].position)


def rest_digest(folder, uplinks, position):
    batches, _ = uplinks.read(folder, position=position, block_bytes=BLOCK)
    return batches[-1].finished.sha256


def test_an_unknown_position_and_small_blocks_are_refused(tmp_path, uplinks):
    path = uplinks.write(tmp_path, [uplinks(1).to_bytes()])
    files = log_files(tmp_path)
    with pytest.raises(DataError, match="give the list that the reading began with"):
        uplinks.read(tmp_path, files, position=LogPosition("date=1970-01-02/x.tfrecord", 0))
    with pytest.raises(DataError, match="expected blocks of at least"):
        uplinks.read(tmp_path, files, block_bytes=1000)
    path.unlink()
    with pytest.raises(DataError, match="must stay while a job reads them"):
        uplinks.read(tmp_path, files)


def test_parquet_has_the_fields_and_comes_back(tmp_path, uplinks):
    records = [uplinks(user, 7, stage=1 + user % 2) for user in range(5)]
    UplinkLogWriter(tmp_path).append(records, name="a")
    UplinkLogWriter(tmp_path).append([uplinks(99, 7)], name="b")
    batches, _ = uplinks.read(tmp_path)
    (path,) = export_parquet(batches, tmp_path / "parquet")
    assert path == tmp_path / "parquet" / "date=1970-01-02" / "a.parquet"
    table = pq.read_table(path)
    assert table.schema.metadata[b"ecct_schema"] == b"ecct-uplink-log/1"
    row = table.to_pylist()[3]
    assert (row["user"], row["round"], row["cloud_version"], row["stage"]) == (3, 7, 1, 2)
    assert row["created_at"] == datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC)
    assert row["items"] == batches[0].items[3].tolist()
    assert row["embeddings"] == batches[0].embeddings[3].tolist()
    assert row["logits"] == batches[0].logits[3].tolist()
    assert table["logits"][2].as_py() is None
    back, _ = uplinks.read(tmp_path / "parquet")
    assert uplinks.keys(back) == uplinks.keys(batches)
    assert [list(batch.records) for batch in back if len(batch)] == [list(batches[0].records)]
    again, _ = uplinks.read(tmp_path / "parquet", position=LogPosition(back[-1].position.file, 3))
    assert uplinks.keys(again) == [(3, 7), (4, 7)]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_parquet_of_other_writers_may_have_nulls(kind, tmp_path, uplinks):
    good = [uplinks(user, 7, stage=1 + user % 2).to_bytes() for user in range(4)]
    rows = pa.array([good[0], None, good[1], b"", good[2], good[3][:-1]], kind)
    (tmp_path / "date=1970-01-02").mkdir()
    pq.write_table(pa.table({"record": rows}), tmp_path / "date=1970-01-02" / "a.parquet")
    batches, quarantine = uplinks.read(tmp_path)
    assert uplinks.keys(batches) == [(0, 7), (1, 7), (2, 7)]
    assert list(batches[0].records) == good[:3]
    refused = [(entry.offset, entry.content) for entry in quarantine.entries()]
    assert refused == [(1, b""), (3, b""), (5, good[3][:-1])]
    again, _ = uplinks.read(tmp_path, position=LogPosition("date=1970-01-02/a.parquet", 2))
    assert uplinks.keys(again) == [(1, 7), (2, 7)]


def test_a_broken_parquet_file_is_told(tmp_path, uplinks):
    folder = tmp_path / "date=1970-01-02"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(b"PAR1 and no more")
    pq.write_table(pa.table({"user": [1]}), folder / "b.parquet")
    batches, quarantine = uplinks.read(tmp_path)
    assert uplinks.keys(batches) == []
    assert [batch.finished is not None for batch in batches] == [True, True]
    first, second = quarantine.entries()
    assert (first.reason, first.offset) == (Reason.UNREADABLE_FILE, 0)
    assert "expected a Parquet file that can be read, from row 0 on" in first.message
    assert "expected a column `record`, got user" in second.message


def test_the_log_needs_no_tensorflow():
    script = """
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_federated"] = None
import cloud.uplink_log
"""
    subprocess.run([sys.executable, "-c", script], check=True)
