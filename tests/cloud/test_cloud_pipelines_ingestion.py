"""An uplink log read by many workers: the same as by one process, bit for bit."""

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from cloud.retraining import ingestion_plan, uplinks
from cloud.retraining.ingestion_parts import FilesPart
from cloud.retraining.ingestion_plan import IngestionPlan
from cloud.retraining.preparation import prepare
from cloud.uplink_log import Quarantine, UplinkLogWriter, log_files
from cloud.uplink_log.framing import frame, read_frames
from ecct_tf.errors import WorkerError
from ecct_tf.wire import UplinkRecord

HERE = Path(__file__).parent
NOW = 1_700_100_000
needs_beam = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="Apache Beam is not installed: pip install 'ecct-tf[beam]'",
)
ENGINES = [
    pytest.param(["engine.ingest=shuffled_engine:ingest"], id="shuffled"),
    pytest.param(["engine.ingest=beam"], id="beam", marks=needs_beam),
]


@pytest.fixture(autouse=True)
def _engine(monkeypatch):
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture(scope="module")
def place(calm, jobs, tmp_path_factory):
    """A registry with a version in force, and a log that is new to it, of all that may go wrong."""
    folder = tmp_path_factory.mktemp("pipelines")
    shutil.copytree(calm, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "job")
    for number in range(1, 4):
        jobs.write_log(folder, range(5 * number, 24), round_number=number, seed=number)
    jobs.write_log(folder, range(12), round_number=2, name="late")
    records = [
        UplinkRecord.from_bytes(content)
        for file in log_files(folder / "log")
        for content in read_frames((folder / "log" / file.name).read_bytes(), final=True).contents
    ]
    one, other = records[30], records[40]
    UplinkLogWriter(folder / "log").append([one, other, one], name="again")
    wrong = [
        dataclasses.replace(one, user=999, payload=(999).to_bytes(4, "little") + one.payload[4:]),
        dataclasses.replace(one, round_number=77),
        dataclasses.replace(one, created_at_seconds=NOW + 10**6),
    ]
    UplinkLogWriter(folder / "log").append(wrong, name="wrong")
    day = folder / "log" / "date=2023-11-14"
    whole = frame(records[50].to_bytes())
    (day / "torn.tfrecord").write_bytes(whole + whole[:-9] + frame(b"none of ours") + whole)
    (day / "x.parquet").write_bytes(b"PAR1 and nothing else")
    return folder


def begun(place, folder, jobs, *settings, job=None):
    """Inputs of a job, its files, and its quarantine, by an engine; `job` is an earlier attempt."""
    shutil.copytree(place, folder)
    if job is not None:
        shutil.move(job, folder / "job")
    config = jobs.small_job(folder, uplink_log__max_refused=1)
    found = dict(item.split("=", 1) for item in settings)
    engine = dataclasses.replace(
        config.engine,
        ingest=found.get("engine.ingest", "local"),
        beam=tuple(found.get("engine.beam", "").split()),
    )
    config = dataclasses.replace(config, engine=engine)
    prepared = prepare(config, folder / "job", is_chief=True, show=False, now_seconds=NOW)
    files = {
        name: (folder / "job" / name).read_bytes()
        for name in ("knowledge.npz", "replay_window.npz")
    }
    return prepared.inputs.uplinks, files, list(Quarantine(folder / "job" / "quarantine").entries())


@pytest.fixture(scope="module")
def expected(place, jobs, tmp_path_factory):
    return begun(place, tmp_path_factory.mktemp("expected") / "place", jobs)


def test_the_log_has_what_may_go_wrong(expected):
    read, _, entries = expected
    assert read["read"] > read["kept"] > 0 < read["superseded"]
    assert {*read["rejected"]} >= {
        "damaged_frame", "duplicate", "future_round", "future_time", "not_a_record",
        "unknown_user", "unreadable_file",
    }  # fmt: skip
    assert sum(read["rejected"].values()) == len(entries)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_every_engine_reads_the_same(engine, size, place, expected, jobs, tmp_path, monkeypatch):
    """Whether each file is a task and each user almost a shard, or there is one of each.

    What was known before is in files of the job in the first case, and written for it in the other.
    """
    monkeypatch.setattr(uplinks, "_LARGE_BYTES", size)
    monkeypatch.setattr(ingestion_plan, "_TASK_BYTES", size)
    monkeypatch.setattr(ingestion_plan, "_SHARD_BYTES", 60 * size)
    read, files, entries = begun(place, tmp_path / "place", jobs, *engine)
    assert json.dumps(read) == json.dumps(expected[0])
    assert files == expected[1]
    assert entries == expected[2]
    assert not (tmp_path / "place" / "job" / ".work").exists()


@needs_beam
@pytest.mark.slow
def test_two_processes_read_the_same(place, expected, jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(ingestion_plan, "_TASK_BYTES", 1)
    monkeypatch.setattr(ingestion_plan, "_SHARD_BYTES", 500)
    options = "--direct_num_workers=2 --direct_running_mode=multi_processing"
    settings = ["engine.ingest=beam", f"engine.beam={options}"]
    read, files, entries = begun(place, tmp_path / "place", jobs, *settings)
    assert json.dumps(read) == json.dumps(expected[0])
    assert files == expected[1]
    assert entries == expected[2]


@needs_beam
def test_a_pipeline_that_fails_leaves_nothing_read(place, expected, jobs, tmp_path, monkeypatch):
    """The same command then reads everything, whatever the first one left."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(IngestionPlan, "keep", fail)
        with pytest.raises(WorkerError, match=r"reading the uplink log failed: .*No space left"):
            begun(place, tmp_path / "place", jobs, "engine.ingest=beam")
    job = tmp_path / "place" / "job"
    assert not (job / "inputs.json").exists()
    assert not (job / "quarantine").exists()
    shutil.move(job, tmp_path / "job")
    shutil.rmtree(tmp_path / "place")
    read, files, entries = begun(
        place, tmp_path / "place", jobs, "engine.ingest=beam", job=tmp_path / "job"
    )
    assert json.dumps(read) == json.dumps(expected[0])
    assert files == expected[1]
    assert entries == expected[2]


def test_a_part_that_is_missing_is_named(place, jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(FilesPart, "close", lambda *_: None)
    with pytest.raises(WorkerError, match=r"expected the part read-000000 .* the job's folder"):
        begun(place, tmp_path / "place", jobs, "engine.ingest=shuffled_engine:ingest")


def test_records_that_are_lost_are_noticed(place, jobs, tmp_path, monkeypatch):
    real = ingestion_plan.newest_of_users
    monkeypatch.setattr(
        ingestion_plan, "newest_of_users", lambda blocks, **rest: real(list(blocks)[1:], **rest)
    )
    with pytest.raises(WorkerError, match=r"of \d+ records that were found in the log, \d+ came"):
        begun(place, tmp_path / "place", jobs, "engine.ingest=shuffled_engine:ingest")
