"""A warning of a run stands on a line of its own, also while a bar is open."""

import io
import logging

from tqdm import tqdm

from ecct_tf.commands.logs import LogHandler


def test_a_line_is_not_glued_to_an_open_bar():
    stream = io.StringIO()
    record = logging.LogRecord("cloud", logging.WARNING, "x.py", 1, "fell by %d", (3,), None)
    with tqdm(total=2, file=stream, bar_format="ECCT {n_fmt}/{total_fmt}", ncols=40) as bar:
        LogHandler(stream).emit(record)
        assert bar in tqdm._instances
    drawn = stream.getvalue().replace("\n", "\r").split("\r")
    assert "fell by 3" in drawn
