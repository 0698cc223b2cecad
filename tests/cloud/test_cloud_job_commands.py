"""`ecct cloud retrain` and `ecct cloud log`, as an operator gives them."""

import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cloud.registry import Registry
from ecct_tf import cli as command_line
from ecct_tf.cli import cli
from ecct_tf.errors import ConfigError, DataError

USERS = 24


def run(*arguments, code=0):
    result = CliRunner().invoke(cli, ["cloud", *map(str, arguments)])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def place(jobs, tmp_path_factory):
    """A log of all users with one flipped bit, a copy of an uplink, and the job of it."""
    folder = tmp_path_factory.mktemp("operator")
    assert jobs.USERS == USERS
    (first,) = jobs.write_log(folder, range(USERS), name="a")
    damaged = bytearray(first.read_bytes())
    first.with_name("b.tfrecord").write_bytes(damaged[: len(damaged) // USERS])
    damaged[40] ^= 1
    first.write_bytes(damaged)
    values = {}
    for line in jobs.SMALL:
        name, _, value = line.partition("=")
        *parents, last = name.split(".")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = json.loads(value) if value[0].isdigit() else value
    (folder / "job.yaml").write_text(json.dumps({**values, "uplinks": "log"}))
    return folder


@pytest.fixture(scope="module")
def told(place):
    """The output of the first job."""
    return run("retrain", "--config", place / "job.yaml", "--out", place / "jobs" / "1")


def test_a_log_is_checked_and_exported_without_consuming_it(place):
    config = ("--config", place / "job.yaml")
    for _ in range(2):
        output = run("log", "check", *config, code=1)
        assert f"Sound: {USERS} uplinks, {USERS} with logits, rounds 0 to 0" in output
        assert "Refused: 1\n" in output
        assert "damaged_frame" in output
    kept = place / "kept"
    run("log", "check", place / "log", *config, "--quarantine", kept, code=1)
    assert (kept / "rejected.sqlite").is_file()
    one, many = place / "x.parquet", place / "many"
    assert f"{USERS} uplinks of 2 files" in run("log", "export", *config, "--out", one)
    run("log", "export", *config, "--out", many)
    users = sorted(pq.read_table(one).column("user").to_pylist())
    assert users == list(range(USERS))
    assert len(list(many.glob("date=*/*.parquet"))) == 2
    with pytest.raises(DataError, match=r"expected a folder at .*nolog"):
        run("log", "check", place / "nolog", *config)


def test_the_summary_tells_what_an_operator_asks(place, told):
    lines = dict(line.split(maxsplit=1) for line in told.splitlines() if line[0] != " ")
    assert lines["Version"] == f"1 in {place / 'registry'} (the first one)"
    assert lines["Verdict"] == "promoted: it is the first version"
    assert lines["Quality"].startswith("MRR of held-out interactions 0.")
    assert lines["Uplinks"].startswith(f"{USERS} read from 2 new files; ")
    assert f"{USERS} users heard of" in lines["Uplinks"]
    assert lines["Refused"] == "1: damaged_frame 1"
    assert str(place / "jobs" / "1" / "quarantine" / "rejected.sqlite") in told
    assert "Took" in lines
    again = run("retrain", "--config", place / "job.yaml", "--out", place / "jobs" / "1")
    assert "had ended before" in again


@pytest.mark.usefixtures("told")
def test_a_refused_version_is_no_failure_unless_asked(place):
    arguments = ("retrain", "--config", place / "job.yaml", "--set", "gate.minimum_gain=1")
    arguments += ("--set", "cloud.update_epochs=0", "--out", place / "jobs" / "2")
    output = run(*arguments)
    assert "stored, not promoted" in output
    assert "Uplinks   none: there is no new file" in output
    run(*arguments, "--must-promote", code=3)
    with pytest.raises(DataError, match="valid uplink"):
        run("log", "export", "--config", place / "job.yaml", "--out", place / "none.parquet")
    assert not (place / "none.parquet").exists()


@pytest.mark.usefixtures("told")
def test_a_log_of_another_form_stops_the_job_and_can_be_mended(place):
    out = place / "jobs" / "3"
    job = ("retrain", "--config", place / "job.yaml", "--set", f"registry={place / 'other'}")
    job += ("--set", "cloud.update_epochs=0", "--set", "cloud.fit_epochs=0", "--out", out)
    path = place / "log" / "date=2023-11-14" / "a.tfrecord"
    damaged = path.with_name("b.tfrecord")
    content, rest = path.read_bytes(), damaged.read_bytes()
    path.unlink()
    try:
        with pytest.raises(ConfigError, match=r"expected codec int8, 7 queries .* got int8, 6"):
            run(*job, "--set", "exchange.queries=7")
        assert not Registry(place / "other").versions()
        assert "1 read from 1 new file;" in run(*job)
    finally:
        path.write_bytes(content)
        damaged.write_bytes(rest)


def test_what_the_system_refuses_is_told_without_a_traceback(place, monkeypatch, capsys):
    (place / "file").touch()
    words = ["ecct", "cloud", "retrain", "--config", str(place / "job.yaml")]
    monkeypatch.setattr("sys.argv", [*words, "--out", str(place / "file" / "job")])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
    assert "file/job: expected to read or write here, the system says: Not a" in (
        capsys.readouterr().err
    )


def test_a_folder_that_is_no_jobs_is_left_as_it_is(place, tmp_path):
    (tmp_path / "letters").touch()
    with pytest.raises(ConfigError, match="not the folder of a job"):
        run("retrain", "--config", place / "job.yaml", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]
