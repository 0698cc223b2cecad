"""Users with too few interactions for a device of a run: what serves them, and what is said."""

import dataclasses
import logging

import numpy as np
import pytest

import ecct_tf as ecct
from cloud.segments import mean_of_everybody
from ecct_tf.data import Candidates
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.knowledge import CloudRows
from ecct_tf.runs.newcomers import Newcomers
from ecct_tf.runs.scoring import RunScores
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.run_folder import RunFolder

SETTINGS = {
    "baselines": False,
    "rounds": 1,
    "exchange.stage_1_rounds": 0,
    "evaluation.catalog": "none",
    "cloud.next_item.epochs": 0,
    "edge.start": "random",
}


@pytest.fixture(scope="module")
def data(frames):
    """The shop, and two customers who came lately."""
    new = [("new2", "i3", 1_700_000_000), ("new2", "i5", 1_700_000_100)]
    new += [("new3", f"i{item}", 1_700_000_200 + item) for item in (7, 1, 9)]
    clicks = frames["df"].copy()
    for row in new:
        clicks.loc[len(clicks)] = row
    people = frames["users"].copy()
    people.loc[len(people)] = ("new2", "Oslo")
    people.loc[len(people)] = ("new3", "Rome")
    return ecct.from_frames(clicks, users=people, items=frames["items"], schema=frames["schema"])


@pytest.fixture(scope="module")
def new_run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("newcomers") / "run"
    return ecct.simulate(data, out=folder, settings=SETTINGS)


@pytest.fixture(scope="module")
def scores(new_run, data):
    return RunScores(RunFolder.open(new_run.path), dataset=data)


def test_a_newcomer_gets_items_after_the_whole_history(new_run):
    found = new_run.recommend("new3", k=200)
    assert [each.item for each in found.history] == ["i9", "i7", "i1"]
    assert len(found) == 120 - 3
    assert not {"i9", "i7", "i1"} & set(found.items)
    assert found.note == (
        "User 'new3' has no device in the run: of 3 interactions the split leaves too few to train "
        "on. A new device of tier mlp serves with starting weights, the downlink of the mean user "
        "(segment 'all') and their history."
    )
    assert repr(found).endswith(found.note)
    assert f"<p>{found.note}</p>".replace("'", "&#x27;") in found._repr_html_()
    assert found.as_dict()["note"] == found.note
    assert new_run.recommend("u17", k=1).note == ""


def test_the_history_of_a_newcomer_counts(new_run):
    first, second = (dict(new_run.recommend(user, k=200)) for user in ("new2", "new3"))
    both = sorted(first.keys() & second.keys())
    assert max(abs(first[item] - second[item]) for item in both) > 1e-4


def test_the_cloud_answers_with_its_mean_user(new_run, scores, data):
    found = new_run.recommend("new2", k=200, side="cloud")
    models = scores._models
    told = models.known[[token.startswith("u") for token in data.user_tokens]].mean(axis=0)
    expected = models.table.cloud @ told + models.table.bias
    numbers = {token: number for number, token in enumerate(data.item_tokens, start=1)}
    for item, score in found:
        assert score == pytest.approx(expected[numbers[item]], abs=1e-5)
    assert found.note.endswith(
        "The cloud serves with the downlink of the mean user (segment 'all')."
    )


def test_a_device_with_these_weights_and_this_downlink_says_the_same(scores):
    """The edge's way is the evaluation's, but for where weights and downlink come from."""
    models, test = scores._models, scores.experiment.test
    user = int(test.users[0])
    rows = Candidates(test.users[:1], test.positions[:1], test.items[:1])
    as_user = dataclasses.replace(
        models,
        starts={"mlp": models.weights("mlp", user=user)},
        known=np.tile(models.known[user], (len(models.known), 1)),
    )
    expected = scores.of("edge", rows)
    served = Newcomers(as_user).scores("edge", rows)
    np.testing.assert_allclose(served, expected, rtol=0, atol=1e-5)
    assert np.abs(scores.newcomers.scores("edge", rows) - expected).max() > 1e-4


def test_whoever_the_cloud_knows_nothing_of_is_not_in_the_mean():
    users = np.array([[1, 2], [3, 6], [9, 9]], np.float32)
    assert mean_of_everybody(users, np.array([1, 4, 0])).tolist() == [2, 4]
    nobody = mean_of_everybody(users[:2], np.zeros(2, np.int64))
    assert nobody.tolist() == [2, 4]


def test_a_cloud_of_rows_has_no_mean_user(scores):
    models = scores._models
    rows = CloudRows(np.zeros((22, 1), np.int32), np.zeros((22, 1, 2)), np.zeros((22, 1)))
    newcomers = Newcomers(dataclasses.replace(models, known=rows))
    asked = Candidates(np.array([20]), np.array([2]), np.array([[1, 2]]))
    with pytest.raises(ConfigError, match=r"side: expected 'edge' for a user without a device"):
        newcomers.scores("cloud", asked)
    assert newcomers.scores("edge", asked).shape == (1, 2)
    assert "nothing of the cloud" in newcomers.served_by("edge")


def test_devices_that_hold_chosen_rows_serve_nobody_new(scores):
    models, config = scores._models, scores.experiment.config
    exchange = dataclasses.replace(config.exchange, items="candidates")
    held = dataclasses.replace(config, exchange=exchange)
    experiment = dataclasses.replace(models.experiment, config=held)
    newcomers = Newcomers(dataclasses.replace(models, experiment=experiment))
    asked = Candidates(np.array([20]), np.array([2]), np.array([[1, 2]]))
    with pytest.raises(ConfigError, match=r"expected 'cloud' .* exchange.items=candidates"):
        newcomers.scores("edge", asked)
    assert newcomers.scores("cloud", asked).shape == (1, 2)


def test_only_edge_models_serve_newcomers(data, tmp_path):
    run = ecct.simulate(data, method="popularity", out=tmp_path / "run", settings=SETTINGS)
    with pytest.raises(DataError, match=r"user 'new2' takes no part in the run: of 2 interactions"):
        run.recommend("new2")


def test_files_of_a_newcomer_are_not_exported(new_run, tmp_path):
    with pytest.raises(DataError, match=r"user 'new2' takes no part in the run"):
        new_run.export(tmp_path, user="new2")


def test_only_the_making_of_a_run_warns_of_users_who_are_left_out(new_run, data, caplog):
    config, words = new_run.config, "2 of 22 users have too few interactions"
    build_experiment(config, dataset=data)
    assert [r.levelname for r in caplog.records if words in r.getMessage()] == ["WARNING"]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="ecct_tf"):
        RunScores(RunFolder.open(new_run.path), dataset=data)
    assert [r.levelname for r in caplog.records if words in r.getMessage()] == ["INFO"]
