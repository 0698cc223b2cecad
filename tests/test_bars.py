"""Bars show the quality whole, at any width."""

import io

import pytest

from cloud.retraining.progress import Progress
from ecct_tf import bars
from ecct_tf.bars import bar_format, count_from_here, open_bar, say, show_figures

QUALITY = "val HR@10 edge 0.7500 cloud 0.5000"


class Terminal(io.StringIO):
    """Of a width."""

    def isatty(self):
        return True


def _shown(width, name="ECCT", *, figures=(QUALITY,), more=("stage 2", "786 devices/s")):
    terminal = Terminal()
    bar = open_bar(name, total=30, file=terminal, mininterval=0)
    bar.dynamic_ncols, bar.ncols = None, width
    show_figures(bar, name, figures, more=more)
    bar.update()
    bar.close()
    return [line.strip() for line in terminal.getvalue().split("\r")][-1]


@pytest.mark.parametrize("width", [35, 50, 60, 70, 80, 119])
@pytest.mark.parametrize("name", ["ECCT", "EASE, recency-weighted", "x" * 90, "{braces} [all]"])
def test_the_quality_is_whole_at_every_width(width, name):
    line = _shown(width, name)
    assert QUALITY in line
    assert len(line) <= width


def test_what_there_is_no_room_for_is_left_out_whole():
    # 4 + 1 + 5 columns of name and count (30/30), 2 + 34 of the quality; 2 + 10 of the time left.
    lines = [_shown(width) for width in (46, 58, 67)]
    assert lines[0] == f"ECCT 1/30, {QUALITY}"
    assert lines[1].startswith(f"{lines[0]}, ")
    assert lines[1].endswith(" left")
    assert lines[2].endswith(" left, stage 2")
    assert _shown(45) == f"1/30, {QUALITY}"
    # Words are lost from the end of the name, and none is cut.
    assert _shown(53, "no exchange edge") == f"no exchange 1/30, {QUALITY}"


def test_a_bar_of_blocks_comes_last():
    wide = {"count": "1/30", "left": "00:10 left", "more": ["stage 2"]}
    assert "{bar}" not in bar_format("ECCT", [QUALITY], width=78, **wide)
    assert "{bar}" in bar_format("ECCT", [QUALITY], width=79, **wide)
    assert "{bar}" in bar_format("ECCT", [QUALITY], width=None, **wide)


def test_a_terminal_without_a_width_gets_whole_figures(monkeypatch):
    monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda _file: (-1, 24))
    terminal = Terminal()
    bar = open_bar("ECCT", total=30, file=terminal, mininterval=0)
    show_figures(bar, "ECCT", [QUALITY])
    bar.update()
    assert f", {QUALITY}, 00:00 left" in terminal.getvalue().split("\r")[-1]
    bar.close()


def test_the_bar_of_a_cloud_job_shows_the_quality_of_the_last_epoch(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        "cloud.retraining.progress.show_figures",
        lambda _bar, _name, figures: said.append(list(figures)),
    )
    progress = Progress(tmp_path, show=False, quality="cloud_ndcg", title="NDCG@10")
    progress.begin("fit", epochs=3, done=-1)
    progress.end_epoch({"phase": "fit", "epoch": 0, "cloud_ndcg": 0.25})
    progress.start_epoch(1, epochs=3, steps=5, done=0)
    progress.end()
    # One that goes on has it from the rows; another phase has none of its own yet.
    again = Progress(tmp_path, show=False, quality="cloud_ndcg", title="NDCG@10")
    again.begin("fit", epochs=3, done=0)
    again.begin("fuse", epochs=3, done=-1)
    again.end()
    assert said == [
        ["epoch 0/3"],
        ["epoch 1/3", "val NDCG@10 cloud 0.2500"],
        ["epoch 0/3", "val NDCG@10 cloud 0.2500"],
        ["epoch 0/3"],
    ]


def test_without_a_terminal_a_cloud_job_has_lines(tmp_path, capsys):
    progress = Progress(tmp_path, quality="cloud_ndcg", title="NDCG@10")
    progress.begin("fit", epochs=20, done=-1)
    for epoch in range(5):
        row = {"loss": 0.5 if epoch else "", "seconds": 0.25 * epoch, "cloud_ndcg": 0.125}
        progress.start_epoch(epoch, epochs=20, steps=1, done=0)
        progress.end_epoch({"phase": "fit", "epoch": epoch, **row})
    progress.end()
    progress.keep(3, last=4)
    progress.keep(0, last=4)
    quality = "val NDCG@10 cloud 0.1250"
    assert capsys.readouterr().err.splitlines() == [
        f"fit: before training, {quality}",
        f"fit: epoch 1 of 20, 0.2 s, loss 0.5000, {quality}",
        f"fit: epoch 2 of 20, 0.5 s, loss 0.5000, {quality}",
        f"fit: epoch 4 of 20, 1.0 s, loss 0.5000, {quality}",
        "fit: epoch 3 of 4 is kept",
        "fit: the state before training is kept",
    ]
    for silent in (Progress(tmp_path, show=False), Progress(None)):
        silent.begin("fit", epochs=1, done=-1)
        silent.end_epoch({"phase": "fit", "epoch": 0})
        silent.keep(0, last=0)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_bars_and_no_lines(monkeypatch, capsys):
    say("a line")
    say("another", show=False)
    assert capsys.readouterr().err == "a line\n"
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    say("a line")
    assert terminal.getvalue() == ""


def test_without_a_terminal_there_is_no_bar(capsys):
    bar = open_bar("ECCT", total=3)
    show_figures(bar, "ECCT", [QUALITY])
    bar.update()
    bar.close()
    assert capsys.readouterr().err == ""
    assert bars.validation_text("MRR", {"cloud": 0.1}) == "val MRR cloud 0.1000"


def test_the_first_step_does_not_count_for_the_time_left(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr("ecct_tf.bars.time.time", lambda: now[0])
    screen = Terminal()
    bar = open_bar("ECCT", total=30, smoothing=0.0, file=screen, mininterval=0)
    bar._time = lambda: now[0]
    bar.start_t = bar.last_print_t = now[0]
    shown = []
    for number, seconds in enumerate((93.0, 2.0, 2.0), start=1):
        now[0] += seconds
        show_figures(bar, "ECCT", [])
        if number == 1:
            count_from_here(bar)
        bar.update()
        shown.append(str(bar).rpartition(", ")[2].split(" left")[0])
    bar.close()
    assert shown == ["?", "00:56", "00:54"]
