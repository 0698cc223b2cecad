"""A job of whose log too much is refused stops; one device alone cannot stop it."""

import dataclasses
import shutil

import pytest

from cloud.registry import Registry
from cloud.retraining.preparation import prepare
from cloud.uplink_log import ASKED_FOLDER, UplinkLogWriter, log_files
from cloud.uplink_log.framing import read_frames
from ecct_tf import cli as command_line
from ecct_tf.errors import ConfigError, DataError, UplinkRefusalError
from ecct_tf.wire import UplinkRecord


def begun(jobs, folder, **changes):
    """What was read of the log by a job that trains nothing."""
    config = jobs.small_job(folder, **changes)
    job = folder / "job"
    return prepare(config, job, is_chief=True, show=False).inputs.uplinks


def records(folder):
    (file,) = log_files(folder / "log")
    block = (folder / "log" / file.name).read_bytes()
    return list(map(UplinkRecord.from_bytes, read_frames(block, final=True).contents))


def with_user(record, user):
    payload = user.to_bytes(4, "little") + record.payload[4:]
    return dataclasses.replace(record, user=user, payload=payload)


def append(folder, *more):
    UplinkLogWriter(folder / "log").append(more, name="more")


def test_a_wrong_bound_stops_the_job_and_costs_nothing(jobs, tmp_path, monkeypatch, capsys):
    jobs.write_log(tmp_path, range(20))
    words = ["ecct", "cloud", "retrain", "--out", str(tmp_path / "job")]
    for setting in jobs.settings(tmp_path, exchange__clip_logit=2):
        words += ["--set", setting]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == UplinkRefusalError.exit_code == 4
    told = capsys.readouterr().err
    assert "20 of 20 devices refused as absurd_logit, expected at most 5.0%" in told
    assert "expected logits of at most 2.004 in size, got 3" in told
    assert not Registry(tmp_path / "registry").versions()
    # The same folder, once the bound is right.
    assert begun(jobs, tmp_path)["read"] == 20


def test_one_device_stops_nothing_however_much_it_sends(jobs, tmp_path):
    jobs.write_log(tmp_path, range(3))
    forged = records(tmp_path)[0]
    append(tmp_path, *(dataclasses.replace(forged, round_number=n) for n in range(1, 300)))
    read = begun(jobs, tmp_path)
    assert (read["read"], read["rejected"]) == (3, {"future_round": 299})


def test_the_share_is_of_devices(jobs, tmp_path):
    jobs.write_log(tmp_path, range(20))
    bad = [dataclasses.replace(each, cloud_version=9) for each in records(tmp_path)[:2]]
    append(tmp_path, *bad * 30)
    with pytest.raises(UplinkRefusalError, match="2 of 20 devices refused as future_version"):
        begun(jobs, tmp_path, uplink_log__max_refused=0.09)
    assert begun(jobs, tmp_path, uplink_log__max_refused=0.1)["read"] == 20


def test_without_noted_rounds_the_setting_that_opens_them_is_named(jobs, tmp_path):
    jobs.write_log(tmp_path, range(20), round_number=7)
    shutil.rmtree(tmp_path / "log" / ASKED_FOLDER)
    with pytest.raises(UplinkRefusalError) as refused:
        begun(jobs, tmp_path)
    told = str(refused.value)
    assert "20 of 20 devices refused as future_round" in told
    assert "at most 0, got 7; no round is noted, and uplink_log.newest_round is not set" in told
    assert "--set uplink_log.newest_round=N" in told
    assert begun(jobs, tmp_path, uplink_log__newest_round=7)["read"] == 20


def test_a_round_that_is_noted_and_too_small_says_nothing_of_missing_notes(jobs, tmp_path):
    jobs.write_log(tmp_path, range(20), round_number=1)
    append(tmp_path, *(dataclasses.replace(each, round_number=9) for each in records(tmp_path)))
    with pytest.raises(UplinkRefusalError, match=r"at most 1, got 9 \("):
        begun(jobs, tmp_path)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"exchange__clip_logit": 2}, "(exchange.clip_logit and exchange.noise_multiplier)"),
        ({"exchange__clip_norm": 0.1}, "(exchange.clip_norm and exchange.noise_multiplier)"),
    ],
)
def test_the_setting_that_a_reason_follows_from_is_named(changes, setting, jobs, tmp_path):
    jobs.write_log(tmp_path, range(20))
    with pytest.raises(UplinkRefusalError) as refused:
        begun(jobs, tmp_path, **changes)
    assert f"that refuses valid records {setting}, or" in str(refused.value)


def test_a_vocabulary_that_is_not_the_devices_stops_the_job(jobs, tmp_path):
    jobs.write_log(tmp_path, range(20))
    beyond = [with_user(each, each.user + jobs.USERS) for each in records(tmp_path)[:5]]
    append(tmp_path, *beyond)
    with pytest.raises(UplinkRefusalError, match="5 of 25 devices refused as unknown_user"):
        begun(jobs, tmp_path)


def test_what_names_no_device_counts_by_records_and_files(jobs, tmp_path):
    (path,) = jobs.write_log(tmp_path, range(20))
    content = path.read_bytes()
    size = len(content) // 20
    torn = bytearray(content)
    torn[size - 10] ^= 1
    path.write_bytes(torn)
    assert begun(jobs, tmp_path)["rejected"] == {"damaged_frame": 1}
    (tmp_path / "job" / "inputs.json").unlink()
    torn[2 * size - 10] ^= 1
    path.write_bytes(torn)
    with pytest.raises(UplinkRefusalError, match="2 of 20 records refused as damaged_frame"):
        begun(jobs, tmp_path)
    path.write_bytes(content)
    path.with_name("b.parquet").write_bytes(b"no Parquet")
    with pytest.raises(UplinkRefusalError, match="1 of 2 files refused as unreadable_file"):
        begun(jobs, tmp_path)


def test_second_copies_do_not_count(jobs, tmp_path):
    jobs.write_log(tmp_path, range(20))
    append(tmp_path, *records(tmp_path))
    read = begun(jobs, tmp_path, uplink_log__max_refused=0.0)
    assert (read["read"], read["rejected"]) == (20, {"duplicate": 20})


def test_none_allowed_is_none(jobs, tmp_path):
    jobs.write_log(tmp_path, range(20))
    append(tmp_path, dataclasses.replace(records(tmp_path)[0], cloud_version=9))
    with pytest.raises(DataError, match="1 of 20 devices"):
        begun(jobs, tmp_path, uplink_log__max_refused=0.0)
    for value in ("-0.1", "1.1", ".nan"):
        with pytest.raises(ConfigError, match=r"max_refused"):
            jobs.small_job(tmp_path, uplink_log__max_refused=value)
