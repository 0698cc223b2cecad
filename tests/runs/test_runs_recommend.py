"""The snippet of the page as printed, and what the run then recommends."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import ecct_tf as ecct
from ecct_tf.data import Candidates
from ecct_tf.errors import ConfigError, DataError, ExportError
from ecct_tf.evaluation import evaluate_scores
from ecct_tf.runs.recommendations import Recommendations, TouchedItem
from ecct_tf.runs.scoring import RunScores
from ecct_tf.simulation.run_folder import RunFolder

SIDES = ("edge", "cloud")


@pytest.fixture(scope="module")
def scores(run, snippet):
    return RunScores(RunFolder.open(run.path), dataset=snippet["data"])


def test_the_snippet_leaves_what_it_says(snippet, run):
    assert run.path.parent == snippet["folder"] / "runs"
    assert run.path.name.startswith("ecct-shop-seed0-")
    assert list(run.metrics["round"]) == list(range(1, 11))
    assert {"ECCT edge", "ECCT cloud"} <= set(run.results["model"])
    assert (run.path / "report.html").is_file()
    (file,) = (snippet["folder"] / "phone").glob("*.tflite")
    assert file.name == "edge-mlp-trainable-int4.tflite"


@pytest.mark.parametrize("side", SIDES)
def test_what_was_met_is_left_out_and_stands_beside(run, snippet, side):
    clicks = snippet["df"].query("user_id == 'u17'").sort_values("timestamp")
    # The last click is the tested one: at that moment it lay ahead.
    met = clicks["item_id"].tolist()[:-1]
    found = run.recommend("u17", k=ecct_items(snippet), side=side)
    assert [each.item for each in found.history] == met[::-1]
    assert [each.timestamp for each in found.history] == clicks["timestamp"].tolist()[-2::-1]
    assert set(found.items) == set(snippet["items"]["item_id"]) - set(met)
    assert len(set(found.items)) == len(found.items) == len(found.scores)
    assert found.titles[0] == "Thing " + found.items[0][1:]
    assert list(found.scores) == sorted(found.scores, reverse=True)


def ecct_items(snippet):
    return len(snippet["items"]) + 5


@pytest.mark.parametrize("side", SIDES)
def test_a_score_is_the_one_that_the_evaluation_gives(run, scores, side):
    test, tokens = scores.experiment.test, scores.experiment.dataset.item_tokens
    expected = scores.of(side, test)
    for row in (0, 7):
        user = scores.experiment.dataset.user_tokens[test.users[row]]
        found = dict(run.recommend(user, k=200, side=side))
        ours = [found[tokens[item - 1]] for item in test.items[row].tolist()]
        np.testing.assert_allclose(ours, expected[row], rtol=0, atol=1e-5)
    # And these are what the run wrote at its end.
    metrics = evaluate_scores(expected, k=10)
    (written,) = run.results.query("model == @name", local_dict={"name": f"ECCT {side}"}).index
    assert run.results.loc[written, "hr"] == pytest.approx(metrics.hr)
    assert run.results.loc[written, "mrr"] == pytest.approx(metrics.mrr)


def test_another_history_or_other_weights_would_show(scores):
    """The edge answers from the user's own device: moved to another, the scores are others."""
    test = scores.experiment.test
    rows = Candidates(test.users[:2], test.positions[:2], np.repeat(test.items[:1], 2, axis=0))
    first, second = scores.of("edge", rows)
    assert np.abs(first - second).max() > 1e-3


def test_blocks_of_items_change_nothing(run, monkeypatch):
    whole = run.recommend("u3", k=7)
    monkeypatch.setattr("ecct_tf.runs.recommender._ITEMS_AT_ONCE", 50)
    parts = run.recommend("u3", k=7)
    assert parts.items == whole.items
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("user", "options", "error", "words"),
    [
        ("u71", {}, DataError, "user 'u71'.* of the 20 users of data set 'shop'.*did you mean u"),
        (17, {}, DataError, "user '17'"),
        ("u17", {"k": 0}, ConfigError, "k: expected a list length of at least 1, received 0"),
        ("u17", {"side": "phone"}, ConfigError, "side: expected one of edge, cloud.*'phone'"),
    ],
)
def test_what_cannot_be_recommended_is_said(run, user, options, error, words):
    with pytest.raises(error, match=words):
        run.recommend(user, **options)


def test_the_data_is_asked_for_and_no_other_taken(run, snippet):
    with pytest.raises(DataError, match=r"ecct_tf\.open_run\(path, data=\.\.\.\)"):
        ecct.open_run(run.path).recommend("u17")
    other = ecct.from_frames(snippet["df"], name="shop")
    with pytest.raises(ExportError, match=r"not what the run .* was trained on"):
        ecct.open_run(run.path, data=other).recommend("u17")
    # Figures need no data.
    assert len(ecct.open_run(run.path).metrics) == 10


def test_a_run_shows_its_table_in_a_notebook(run):
    assert repr(run).startswith(f"ecct on shop, seed 0, complete: {run.path}\n")
    assert "ECCT edge" in repr(run)
    assert "<table" in run._repr_html_()
    assert "NaN" not in repr(run) + run._repr_html_()


def test_files_of_a_user_are_of_that_user(run, tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(
        "ecct_tf.runs.exporting.export_models",
        lambda _, out, **options: asked.update(options, out=out) or iter(()),
    )
    run.export(tmp_path, user="u17", tier="mlp")
    assert run.data.user_tokens[asked["user"]] == "u17"
    assert (asked["tier"], asked["out"]) == ("mlp", tmp_path)
    with pytest.raises(DataError, match="user 'u1717'"):
        run.export(tmp_path, user="u1717")


FOUND = Recommendations(
    user="u<1>",
    side="edge",
    model="ECCT edge",
    rounds=1,
    items=("b", "cc"),
    scores=(1.5, -0.25),
    titles=("Tea & milk", ""),
    history=(TouchedItem("a", "Cup", 9), TouchedItem("d", "", 5)),
)


def test_recommendations_as_text_frames_and_json():
    assert repr(FOUND).splitlines() == [
        "ECCT edge, 1 round, for 'u<1>':",
        " 1. b   1.500  Tea & milk",
        " 2. cc -0.250",
        "after a (Cup), d",
    ]
    assert FOUND.frame.reset_index().to_dict("list") == {
        "rank": [1, 2],
        "item": ["b", "cc"],
        "title": ["Tea & milk", ""],
        "score": [1.5, -0.25],
    }
    assert FOUND.history_frame["item"].tolist() == ["a", "d"]
    values = json.loads(json.dumps(FOUND.as_dict()))
    assert values["items"][0] == {"item": "b", "title": "Tea & milk", "score": 1.5}
    assert values["history"][1] == {"item": "d", "title": "", "timestamp": 5}
    html = FOUND._repr_html_()
    assert "u&lt;1&gt;" in html
    assert "Tea &amp; milk" in html


@pytest.mark.parametrize("k", [2.0, "3", True, None])
def test_a_list_length_is_a_whole_number(run, k):
    with pytest.raises(ConfigError, match=rf"k: expected a list length .* received {k!r}"):
        run.recommend("u17", k)


def test_ids_are_taken_as_a_frame_has_them(run):
    by_name = run.recommend("u17", 2)
    assert run.recommend(b"u17", np.int64(2)) == by_name
    # Of whole numbers that a frame holds as floats; there is no user 17.
    with pytest.raises(DataError, match="user '17': expected"):
        run.recommend(np.float64(17.0))


def test_data_that_is_no_data_set_is_refused(run, snippet):
    with pytest.raises(ConfigError, match="data: expected a Dataset or None, got DataFrame"):
        ecct.open_run(run.path, data=snippet["df"])


def test_nothing_left_to_recommend_is_no_error():
    empty = dataclasses.replace(FOUND, items=(), scores=(), titles=(), history=())
    assert isinstance(empty.frame, pd.DataFrame)
    assert len(empty) == 0
    assert repr(empty).endswith("after nothing")
