"""What a log's folder may hold beside sound files, and what a Parquet file may expand to."""

import contextlib
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud.uplink_log import Reason, UplinkLogWriter, export_parquet, list_log, log_files
from cloud.uplink_log.framing import MAX_CONTENT_BYTES
from cloud.uplink_log.parquet_pages import Budget, check_pages

DAY = "date=1970-01-02"


@pytest.fixture
def log(tmp_path, uplinks):
    """A log with one sound file, `a.tfrecord` of user 0."""
    uplinks.write(tmp_path, [uplinks().to_bytes()])
    return tmp_path


@pytest.mark.parametrize(
    "name", ["x.tfrecords", "x.TFRECORD", "x.TfRecords", "x.PARQUET", "linked.tfrecord"]
)
def test_other_spellings_of_a_name_are_read(name, log, uplinks, tmp_path_factory):
    place = tmp_path_factory.mktemp("elsewhere")
    written = uplinks.write(place, [uplinks(1).to_bytes()])
    if name == "x.PARQUET":
        (written,) = export_parquet(uplinks.read(place)[0], place / "parquet")
    if name.startswith("linked"):
        (log / DAY / name).symlink_to(written)
    else:
        written.rename(log / DAY / name)
    assert sorted(uplinks.keys(uplinks.read(log)[0])) == [(0, 0), (1, 0)]


def _put(path, kind):
    path.parent.mkdir(exist_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "nowhere":
        path.symlink_to("gone")
    elif kind == "circle":
        path.symlink_to(path.name)
    else:
        path.write_bytes(b"x")


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        (f"{DAY}/x.tfrecord", "folder", "expected a file, it is a folder"),
        (f"{DAY}/x.tfrecord", "pipe", "expected a file, it is a named pipe"),
        (f"{DAY}/x.parquet", "nowhere", "expected a file, it is a link that leads nowhere"),
        (f"{DAY}/x.tfrecord", "circle", "expected a file, it is a link that leads nowhere"),
        (f"{DAY}/x.tfrecord.gz", "file", "compressed as a whole; decompress it"),
        (f"{DAY}/x.TFRECORDS.ZST", "file", "compressed as a whole; decompress it"),
        (f"{DAY}/notes.txt", "file", "its name ends in none of .tfrecord"),
        ("x.tfrecord", "file", "is not in a folder of a day"),
        ("2026-11-25/x.tfrecord", "file", "is not in a folder of a day"),
        ("date=2026-11-25", "pipe", "expected a folder of a day, it is a named pipe"),
        ("date=2026-11-25", "nowhere", "expected a folder of a day, it is a link that leads"),
    ],
)
def test_what_cannot_be_read_is_named_and_left_out(name, kind, why, log, uplinks, caplog):
    _put(log / name, kind)
    files, (left,) = list_log(log)
    assert [file.name for file in files] == [f"{DAY}/a.tfrecord"]
    assert left.name == (name if not name.startswith("2026") else "2026-11-25")
    assert why in left.why
    assert uplinks.keys(uplinks.read(log)[0]) == [(0, 0)]
    assert f"{log / left.name} is left out: " in caplog.text


def test_what_a_writer_and_a_quarantine_put_there_is_no_matter(log, uplinks, caplog):
    (log / DAY / ".b.tfrecord.part").write_bytes(b"half")
    (log / ".lock").touch()
    uplinks.read(log)
    assert (log / "quarantine").exists() is False
    (log / "quarantine").mkdir()
    assert list_log(log)[1] == ()
    for number in range(8):
        (log / f"{number}.txt").touch()
    log_files(log)
    assert len(caplog.records) == 6
    assert "3 more are left out" in caplog.text


def _parquet(log, rows, *, name="b", **options):
    path = log / DAY / f"{name}.parquet"
    pq.write_table(pa.table({"record": rows}), path, **options)
    return path


def _refused(log, uplinks):
    _, quarantine = uplinks.read(log)
    return list(quarantine.entries())


@pytest.fixture
def little_memory():
    """A gigabyte beyond what is mapped now: an expanded bomb does not fit."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("length", "rows", "why"),
    [
        # 4.2 GB out of 22 KB: one entry of a dictionary, 4,096 times.
        (MAX_CONTENT_BYTES, 4096, "expands to more than 100 times"),
        # One record that is beyond what a frame may hold.
        (MAX_CONTENT_BYTES + 1, 3, "expected a record of at most 1,048,576 bytes"),
        # A run of nothing, as long as it likes.
        (0, 5_000_000, "expands to more than 100 times"),
        # One page that is long once it is decompressed.
        (64 << 20, 1, "once it is decompressed"),
    ],
)
def test_a_small_parquet_file_does_not_become_a_large_one(length, rows, why, log, uplinks):
    value = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([b"x" * length]))
    path = _parquet(log, value, compression="zstd")
    assert path.stat().st_size < 200_000
    entries = _refused(log, uplinks)
    assert why in entries[-1].message
    assert {entry.reason for entry in entries} <= {
        Reason.UNREADABLE_FILE, Reason.WRONG_LENGTH, Reason.NOT_A_RECORD,
    }  # fmt: skip
    assert sum(len(entry.content) for entry in entries) <= 32 << 20


def test_repeated_prefixes_are_refused(log, uplinks):
    _parquet(
        log,
        pa.array([b"x" * 1000 + bytes([i]) for i in range(9)], pa.binary()),
        use_dictionary=False,
        column_encoding={"record": "DELTA_BYTE_ARRAY"},
    )
    (entry,) = _refused(log, uplinks)
    assert "a page has encoding 7, expected one of" in entry.message


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_sound_files_of_every_writer_pass(codec, version, log, uplinks):
    rows = [uplinks(user % 50, user // 50).to_bytes() for user in range(1500)]
    for name, options in {
        "b": {"use_dictionary": False},
        "c": {"use_dictionary": True, "data_page_size": 4000},
        "d": {"write_statistics": False, "row_group_size": 400},
    }.items():
        _parquet(
            log, pa.array(rows, pa.binary()), name=name, compression=codec,
            data_page_version=version, **options,
        )  # fmt: skip
    batches, quarantine = uplinks.read(log)
    # The first is in the other file too; the files b, c and d are one another's duplicates.
    assert len(uplinks.keys(batches)) == 1500
    assert set(quarantine.counts()) == {Reason.DUPLICATE}
    assert {entry.file for entry in quarantine.entries()} == {
        f"{DAY}/{name}.parquet" for name in "bcd"
    }


def test_a_column_of_one_width_is_read_and_bounded(log, uplinks):
    record = uplinks(1).to_bytes()
    _parquet(log, pa.array([record], pa.binary(len(record))), name="b")
    assert sorted(uplinks.keys(uplinks.read(log)[0])) == [(0, 0), (1, 0)]
    _parquet(log, pa.array([bytes(1 << 24)] * 9, pa.binary(1 << 24)), name="c", compression="zstd")
    assert "expands to more than" in _refused(log, uplinks)[-1].message


def test_every_flipped_bit_of_a_page_header_is_borne(log, uplinks):
    rows = pa.array([uplinks(user).to_bytes() for user in range(1, 4)], pa.binary())
    path = _parquet(log, rows, compression="zstd")
    chunk = pq.read_metadata(path).row_group(0).column(0)
    content = path.read_bytes()
    for begin in (chunk.dictionary_page_offset, chunk.data_page_offset):
        for place in range(begin, begin + 24):
            for bit in range(8):
                damaged = bytearray(content)
                damaged[place] ^= 1 << bit
                path.write_bytes(damaged)
                # Anything but a refusal by name would be raised here.
                with contextlib.suppress(ValueError):
                    check_pages(path, chunk)


def test_a_budget_by_hand():
    small, large = Budget(10), Budget(1 << 20)
    small.take(16 << 20)
    with pytest.raises(ValueError, match="100 times"):
        small.take(1)
    large.take(100 << 20)
    with pytest.raises(ValueError, match="100 times"):
        large.take(1)


def _modes(folder):
    return {
        path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


def test_uplinks_and_quarantine_are_their_owners_alone(tmp_path, uplinks):
    before = os.umask(0)
    try:
        log = tmp_path / "log"
        UplinkLogWriter(log).append([uplinks(), uplinks(99)], name="a")
        batches, quarantine = uplinks.read(log)
        export_parquet(batches, tmp_path / "parquet")
        with quarantine.session() as session:
            # While it is open there are files beside the database.
            session.replace("x", 0, 1, [])
            modes = _modes(log)
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.stat().st_mode) == 0o700
    assert modes.pop(DAY) == modes.pop("quarantine") == 0o700
    assert set(modes) >= {f"{DAY}/a.tfrecord", "quarantine/rejected.sqlite"}
    assert set(modes.values()) == {0o600}
    assert _modes(tmp_path / "parquet")[f"{DAY}/a.parquet"] == 0o600


def test_a_pipe_does_not_hold_up_the_command(log):
    """With a deadline of its own, since a reader of a pipe waits for ever."""
    os.mkfifo(log / DAY / "pipe.tfrecord")
    done = subprocess.run(
        [sys.executable, "-c",
         "import pathlib, sys; from cloud.uplink_log import list_log; "
         "print(list_log(pathlib.Path(sys.argv[1]))[1])", str(log)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "named pipe" in done.stdout
