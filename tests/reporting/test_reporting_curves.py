"""Curves: means over seeds, bytes until then, and the start of stage 2."""

import numpy as np
import pytest

from ecct_tf.reporting import compare_runs, read_runs
from ecct_tf.reporting.curves import Curve, curves_of
from ecct_tf.reporting.figures import apart, course_figure
from ecct_tf.reporting.theme import PAPER, drawing


def test_a_curve_is_the_mean_over_seeds_by_round_and_by_bytes(make_run, course, result) -> None:
    results = [result("ECCT edge", "edge", 0.7)]
    sizes = {"downlink_bytes": 40, "weights_bytes": 360, "item_table_bytes": 4000}
    paths = [
        make_run("a", seed=0, results=results, metrics=course(0.2, 0.4, 0.6, **sizes)),
        make_run("b", seed=1, results=results, metrics=course(0.4, 0.4, 0.8, **sizes)),
    ]
    (curve,) = curves_of(compare_runs(read_runs(paths)), "hr")
    np.testing.assert_allclose(curve.rounds, [1, 2, 3])
    np.testing.assert_allclose(curve.mean, [0.3, 0.4, 0.7])
    np.testing.assert_allclose(curve.deviation, [0.02**0.5, 0.0, 0.02**0.5])
    # 400 bytes of four devices a round, and a table of 1,000 in the first.
    np.testing.assert_allclose(curve.transmitted_bytes, [1100, 1200, 1300])
    assert curve.stage_2 == 2


def test_rounds_that_were_not_measured_are_left_out(make_run, course) -> None:
    metrics = course(0.2, 0.4, 0.6)
    metrics[1]["edge_hr"] = ""
    (curve,) = curves_of(compare_runs(read_runs([make_run(metrics=metrics)])), "hr")
    np.testing.assert_allclose(curve.rounds, [1, 3])
    assert curve.deviation is None


def test_many_rounds_are_thinned_to_what_a_screen_shows(make_run, course) -> None:
    metrics = course(*np.linspace(0, 1, 1001))
    (curve,) = curves_of(compare_runs(read_runs([make_run(metrics=metrics)])), "hr")
    assert len(curve.rounds) == 240
    assert (curve.rounds[0], curve.rounds[-1]) == (1, 1001)


def test_names_move_apart_as_little_as_they_can() -> None:
    # 10 and 12 are pushed apart around their middle; 100 stays.
    assert apart([10.0, 12.0, 100.0], gap=6) == pytest.approx([8.0, 14.0, 100.0])
    assert apart([5.0, 5.0, 5.0], gap=2) == pytest.approx([3.0, 5.0, 7.0])


@pytest.mark.parametrize("by_bytes", [False, True], ids=["by rounds", "by bytes"])
def test_names_of_curves_that_end_early_stand_apart(by_bytes) -> None:
    """Ten rounds of ECCT beside forty of another method: two names end where two curves meet."""

    def curve(name: str, rounds: int, end: float, *, shift: float = 0.0) -> Curve:
        steps = np.arange(1.0, rounds + 1)
        quality = np.linspace(0.4, end, rounds)
        return Curve(name, "edge", steps, quality, None, (steps + shift) * 2**20, None)

    curves = [
        curve("ECCT edge", 10, 0.780),
        curve("no exchange edge", 10, 0.779, shift=-0.02),
        curve("short", 3, 0.778),
        curve("FedAvg", 40, 0.74),
    ]
    places = {each.name: number for number, each in enumerate(curves)}
    with drawing():
        figure = course_figure(curves, theme=PAPER, places=places, label="HR@10", by_bytes=by_bytes)
        (axes,) = figure.axes
        heights = {
            text.get_text(): text.get_window_extent().y0
            for text in axes.texts
            if text.get_text() in places
        }
    assert set(heights) == set(places)
    assert heights["ECCT edge"] - heights["no exchange edge"] > 12
