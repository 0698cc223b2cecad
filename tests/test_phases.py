"""A phase leaves one line in the log, and nothing on a pipe."""

import logging
import re
import time

import pytest

from ecct_tf.phases import phase


def test_a_phase_leaves_one_line_in_the_log_and_none_on_a_pipe(caplog, capsys):
    caplog.set_level(logging.INFO, logger="ecct_tf")
    with phase("item similarity, 24,000 items"):
        assert not caplog.records
    (record,) = caplog.records
    number = r"\d+\.\d s"
    said = rf"item similarity, 24,000 items: {number}, processors {number}"
    assert re.fullmatch(said, record.getMessage())
    assert record.levelno == logging.INFO
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "")


def test_a_phase_that_fails_says_nothing_of_having_ended(caplog):
    caplog.set_level(logging.INFO, logger="ecct_tf")
    with pytest.raises(ValueError, match="broken"), phase("devices"):
        raise ValueError("broken")
    assert not caplog.records


def test_durations_and_processor_time_are_told_apart(caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="ecct_tf")
    monkeypatch.setattr(time, "monotonic", iter([100.0, 107.25]).__next__)
    monkeypatch.setattr(time, "process_time", iter([3.0, 12.0]).__next__)
    with phase("fitting the cloud"):
        pass
    assert caplog.messages == ["fitting the cloud: 7.2 s, processors 9.0 s"]
