"""A run on somebody's own CSV, with nothing but users, items and times, and other splits."""

import numpy as np
import pytest

from ecct_tf.config import load_config
from ecct_tf.data import Candidates
from ecct_tf.federated import federated_runtime
from ecct_tf.simulation.ecct import build_ecct
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.loop import run_rounds
from ecct_tf.simulation.simulate import simulate

SETTINGS = [
    "rounds=2",
    "baselines=false",
    "data.dataset=files",
    "evaluation.negatives=12",
    "exchange.stage_1_rounds=1",
    "cloud.rank=4",
    "edge.start=random",
]


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    """Twenty users with 12 of 60 items each; the last users come late."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    lines = ["who,what,stars,when"]
    for user in range(20):
        items = rng.choice(60, size=12, replace=False)
        for step, item in enumerate(items):
            lines.append(f"user {user},item {item},{rng.integers(1, 6)},{50 * user + 100 * step}")
    (folder / "ratings.csv").write_text("\n".join(lines))
    (folder / "schema.yaml").write_text(
        "name: own\ninteractions: {path: ratings.csv, user: who, item: what, timestamp: when}\n"
    )
    return folder / "schema.yaml"


def _config(schema, *more):
    return load_config(overrides=[*SETTINGS, f"data.schema={schema}", *more])


def test_a_csv_without_any_column_trains(schema):
    result = simulate(_config(schema))
    assert {row.side for row in result.rows} == {"edge", "cloud"}
    for row in result.rows:
        assert row.metrics.num_users == 20
        assert np.isfinite(list(row.metrics.as_dict().values())).all()


def test_a_run_tells_what_is_left_out(schema, caplog):
    text = schema.read_text().replace("when}", "when, rating: stars, min_rating: 4}")
    (schema.parent / "high.yaml").write_text(text)
    experiment = build_experiment(_config(schema.parent / "high.yaml"))
    dropped = 240 - experiment.dataset.num_interactions
    assert f"rating below 4: {dropped} interactions left out" in caplog.text
    excluded = experiment.split.excluded_users
    assert 0 < excluded < 20
    assert f"{excluded} of 20 users have too few interactions" in caplog.text


@pytest.mark.slow
def test_under_the_temporal_split_every_row_has_its_own_history(schema):
    config = _config(schema, "data.split=temporal", "data.test_fraction=0.3")
    experiment = build_experiment(config)
    test = experiment.test
    assert len(test.users) > len(np.unique(test.users))  # a user has several rows
    assert set(experiment.split.users.tolist()) - set(test.users.tolist())  # another has none
    algorithm = build_ecct(experiment)
    with federated_runtime():
        state = run_rounds(algorithm, experiment)
    together = algorithm.scores(state, test)
    for row in (0, 1, len(test.users) - 1):
        one = slice(row, row + 1)
        alone = Candidates(test.users[one], test.positions[one], test.items[one])
        for side, scores in algorithm.scores(state, alone).items():
            np.testing.assert_allclose(scores[0], together[side][row], rtol=1e-4, atol=1e-5)
    # The same candidates after a longer history are another question.
    first, second = np.flatnonzero(test.users == test.users[0])[:2]
    moved = Candidates(test.users[[first]], test.positions[[second]], test.items[[first]])
    assert not np.allclose(algorithm.scores(state, moved)["edge"][0], together["edge"][first])
