"""A phase leaves one line in the log, and nothing on a pipe."""

import logging

import pytest

from ecct_tf.phases import phase


def test_a_phase_leaves_one_line_in_the_log_and_none_on_a_pipe(caplog, capsys):
    caplog.set_level(logging.INFO, logger="ecct_tf")
    with phase("item similarity, 24,000 items"):
        assert not caplog.records
    (record,) = caplog.records
    assert record.getMessage().startswith("item similarity, 24,000 items: ")
    assert record.levelno == logging.INFO
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "")


def test_a_phase_that_fails_says_nothing_of_having_ended(caplog):
    caplog.set_level(logging.INFO, logger="ecct_tf")
    with pytest.raises(ValueError, match="broken"), phase("devices"):
        raise ValueError("broken")
    assert not caplog.records
