"""What a wrong bound refused is taken back once, whatever stops the command."""

import dataclasses

import pytest
from click.testing import CliRunner

from cloud.uplink_log import (
    Quarantine,
    Reason,
    ReplayWindow,
    UplinkLogWriter,
    log_files,
    reingest,
)
from cloud.uplink_log import reingesting as module
from ecct_tf.cli import cli
from ecct_tf.errors import DataError

NARROW = 1.0


class Log:
    """A log of which a job with a bound that was too narrow has read the first file."""

    def __init__(self, folder, uplinks):
        self.folder, self.uplinks = folder, uplinks
        self.records = [uplinks(user, 5) for user in range(6)]
        quiet = [uplinks(user, 5, logit_scale=0.001) for user in (6, 7)]
        UplinkLogWriter(folder).append([*self.records, *quiet, uplinks(50)], name="first")
        self.window = ReplayWindow(50)
        narrow = dataclasses.replace(uplinks.contract, clip_logit=NARROW)
        batches, self.quarantine = uplinks.read(folder, contract=narrow, window=self.window)
        self.consumed = {batches[-1].finished.name}
        assert uplinks.keys(batches) == [(6, 5), (7, 5)]

    def take_back(self, *, consumed=None):
        return reingest(
            self.quarantine,
            self.folder,
            contract=self.uplinks.contract,
            window=ReplayWindow.from_arrays(self.window.to_arrays()),
            consumed=self.consumed if consumed is None else consumed,
        )

    def read_next(self):
        """What the next job reads."""
        files = [file for file in log_files(self.folder) if file.name not in self.consumed]
        batches, _ = self.uplinks.read(self.folder, files, window=self.window)
        self.consumed |= {file.name for file in files}
        return self.uplinks.keys(batches)


@pytest.fixture
def log(tmp_path, uplinks):
    return Log(tmp_path, uplinks)


EXPECTED = [(user, 5) for user in range(6)]


def test_what_is_sound_by_now_is_read_by_the_next_job(log):
    done = log.take_back()
    assert (done.taken, done.before, done.unread) == (6, 0, 0)
    assert done.refused == {Reason.UNKNOWN_USER: 1}
    assert [path.name[:11] for path in done.files] == ["reingested-"]
    assert log.read_next() == EXPECTED


def test_a_second_time_takes_nothing(log):
    log.take_back()
    again = log.take_back()
    assert (again.taken, again.before, again.files) == (0, 6, ())
    assert log.read_next() == EXPECTED
    again = log.take_back()
    assert (again.taken, again.before) == (0, 6)
    assert log.read_next() == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_in_the_middle_is_made_good_once(moment, log, monkeypatch):
    append = module._append

    def killed(folder, contents, *, name):
        if moment == "after":
            append(folder, contents, name=name)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_append", killed)
    with pytest.raises(KeyboardInterrupt):
        log.take_back()
    monkeypatch.undo()
    if moment == "after":
        # A job may read the file before the command is given again.
        assert log.read_next() == EXPECTED
    done = log.take_back()
    assert (done.taken, done.before) == (6, 0)
    assert log.read_next() == ([] if moment == "after" else EXPECTED)
    assert log.take_back().taken == 0


def test_only_files_that_were_read_are_taken_from(log):
    done = log.take_back(consumed=set())
    assert (done.taken, done.unread, done.refused) == (0, 7, {})


def test_an_answer_that_counted_meanwhile_is_not_taken_twice(log):
    UplinkLogWriter(log.folder).append([log.records[0]], name="again")
    assert log.read_next() == [(0, 5)]
    done = log.take_back()
    assert done.taken == 5
    assert done.refused[Reason.DUPLICATE] == 1


def test_another_copy_of_the_quarantine_gives_the_same_file(log, tmp_path):
    copy = Quarantine(tmp_path / "copy")
    copy.path.parent.mkdir()
    copy.path.write_bytes(b"")
    with copy.session() as session:
        session.replace("date=1970-01-02/first.tfrecord", 0, 1 << 40, [*log.quarantine.entries()])
    one = log.take_back().files
    log.quarantine = copy
    assert log.take_back().files == one
    assert log.read_next() == EXPECTED


def test_a_quarantine_that_is_missing_is_told(log, tmp_path):
    log.quarantine = Quarantine(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected the quarantine of a job"):
        log.take_back()


def test_the_command_takes_back_what_a_job_refused(jobs, tmp_path):
    """One tier of devices was given another bound than the job."""
    from cloud.registry import Registry
    from cloud.retraining import retrain

    jobs.write_log(tmp_path, range(20))
    quick = {"cloud__update_epochs": 0, "cloud__fit_epochs": 0}
    config = jobs.small_job(tmp_path, exchange__clip_logit=1, uplink_log__max_refused=1, **quick)
    assert retrain(config, tmp_path / "1", show=False).promoted
    words = ["cloud", "log", "reingest", str(tmp_path / "1")]
    (tmp_path / "job.yaml").write_text("{}")
    words += ["--config", str(tmp_path / "job.yaml")]
    for setting in jobs.settings(tmp_path, **quick):
        words += ["--set", setting]
    for expected in ("Taken back: 20 records", "Taken back: 0 records"):
        result = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert (result.exit_code, expected in result.output) == (0, True), result.output
    assert "Taken back before: 20" in result.output
    assert retrain(jobs.small_job(tmp_path, gate__minimum_gain=-1, **quick), tmp_path / "2")
    data = Registry(tmp_path / "registry").promoted().manifest.data
    assert (data["uplinks"]["read"], data["users_heard_of"]) == (20, 20)
