"""Methods and ablations: their names, what crosses in each, and campaigns over seeds."""

import dataclasses

import numpy as np
import pytest

from cloud import shared_spaces
from cloud.input_space import build_input_space
from ecct_tf.config import METHODS, RunConfig, load_config
from ecct_tf.data import Candidates
from ecct_tf.errors import ConfigError, DivergenceError, RunFolderError
from ecct_tf.evaluation import ranks
from ecct_tf.federated import federated_runtime
from ecct_tf.simulation import running
from ecct_tf.simulation.campaign import parse_seeds, plan_runs, run_all
from ecct_tf.simulation.catalog import rank_catalog
from ecct_tf.simulation.edge_state import table_digest
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.loop import Callback, run_rounds
from ecct_tf.simulation.methods import (
    ABLATIONS,
    build_algorithm,
    display_name,
    model_name,
    quick_references,
)
from ecct_tf.simulation.results import start_places
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.simulation.simulate import simulate


class Reports(Callback):
    def __init__(self):
        self.reports = []

    def on_round(self, result, state):
        del state
        self.reports.append(result.report)


@pytest.fixture(scope="module")
def runs(small_config):
    """Algorithm, final state and reports of two rounds, by the exchange's name."""
    config = small_config("rounds=2", "participation.devices_per_round=10")
    done = {}
    with federated_runtime():
        for name in ("ECCT", *ABLATIONS):
            chosen = ABLATIONS[name].of(config) if name in ABLATIONS else config
            experiment = build_experiment(chosen)
            algorithm = build_algorithm(experiment)
            watcher = Reports()
            state = run_rounds(algorithm, experiment, callbacks=[watcher], validate=False)
            done[name] = (algorithm, state, watcher.reports)
    return done


def test_ablations_are_named_by_what_is_on(runs):
    for name, (algorithm, _, _) in runs.items():
        assert display_name(algorithm.config) == name
        assert model_name(algorithm.config, "edge") == f"{name} edge"


@pytest.mark.parametrize("rounds", [1, 3, 5, 30])
def test_ecct_is_called_ecct_however_short_the_run(rounds):
    assert display_name(load_config(overrides=[f"rounds={rounds}"])) == "ECCT"


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["exchange.logits=false"], "embeddings only"),
        (["exchange.embeddings=false"], "logits only"),
        (["exchange.embeddings=false", "exchange.down=false"], "up only, no embeddings"),
        (["exchange.logits=false", "exchange.up=false"], "down only, no logits"),
        (["exchange.logits=false", "exchange.down=false"], "up only, no logits"),
        (["exchange.logits=false", "exchange.down=false", "exchange.up=false"], "no exchange"),
    ],
)
def test_a_run_without_logits_is_called_so(overrides, name):
    assert display_name(load_config(overrides=overrides)) == name


def test_averaging_with_a_buffer_is_called_fedbuff():
    buffered = ["method=fedavg", "federated_baseline.server.buffer=3"]
    assert display_name(load_config(overrides=buffered)) == "FedBuff"
    assert display_name(load_config(overrides=[*buffered, "method=fedprox"])) == "FedProx"


@pytest.mark.parametrize(
    ("name", "down", "queries", "up"),
    [
        ("ECCT", True, True, True),
        ("no exchange", False, False, False),
        ("down only", True, False, False),
        ("up only", False, True, True),
        ("embeddings only", True, True, True),
        ("logits only", True, True, True),
    ],
)
def test_bytes_are_those_of_what_crosses(runs, name, down, queries, up):
    algorithm, _, reports = runs[name]
    exchange = algorithm.process.cohorts[0].work.exchange
    # int8 values and one float16 scale; 4 bytes for each item asked about.
    known = exchange.cloud_dim + 2 if down else 0
    asked = 4 * exchange.num_queries if queries else 0
    assert [report.downlink_bytes for report in reports] == [10 * (known + asked)] * 2
    assert [report.uplink_bytes > 0 for report in reports] == [up, up]
    given = {"embeddings only": [1, 1], "no exchange": [0, 0], "logits only": [2, 2]}
    stages = given.get(name, [1, 2])
    assert [report.stage for report in reports] == stages


@pytest.mark.parametrize("name", ["no exchange", "down only"])
def test_without_uplinks_the_cloud_stays_as_it_was(runs, name):
    algorithm, state, _ = runs[name]
    start = algorithm.initialize().cloud
    for variable, value in state.cloud.items():
        np.testing.assert_array_equal(value, start[variable], err_msg=variable)
    assert (state.edge.knowledge.rounds == -1).all()


@pytest.mark.parametrize("name", ["ECCT", "up only", "embeddings only", "logits only"])
def test_with_uplinks_the_cloud_learns(runs, name):
    algorithm, state, _ = runs[name]
    start = algorithm.initialize().cloud
    assert any(not np.array_equal(value, start[key]) for key, value in state.cloud.items())
    assert (state.edge.knowledge.rounds >= 0).sum() >= 10


def test_with_logits_alone_no_embedding_is_sent_read_or_fused(runs):
    algorithm, state, reports = runs["logits only"]
    exchange = algorithm.process.cohorts[0].work.exchange
    # Id, fingerprint of the questions, logits and their scale.
    row = 4 + 4 + exchange.num_queries + 2
    assert [report.uplink_bytes for report in reports] == [10 * row] * 2
    assert state.edge.knowledge.embeddings.shape[2] == 0
    start = algorithm.initialize()
    fusion = [name for name in state.cloud if "fusion" in name]
    assert fusion
    for name in fusion:
        np.testing.assert_array_equal(state.cloud[name], start.cloud[name], err_msg=name)


def test_a_state_of_logits_alone_comes_back_from_its_arrays(runs):
    algorithm, state, _ = runs["logits only"]
    arrays = algorithm.to_arrays(state)
    again = algorithm.to_arrays(algorithm.from_arrays(arrays))
    for name, value in arrays.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_without_downlinks_the_cloud_does_not_matter_to_the_edge(runs):
    (_, one, _), (_, other, _) = runs["no exchange"], runs["up only"]
    np.testing.assert_array_equal(one.edge.cohorts[0].weights(), other.edge.cohorts[0].weights())
    changed = runs["ECCT"][1].edge.cohorts[0].weights()
    assert not np.array_equal(changed, one.edge.cohorts[0].weights())


def test_ecct_ranks_the_whole_catalog_in_blocks_as_at_once(runs, small_config):
    """Each pair has one score, whatever it is scored with; what users met before is left out."""
    algorithm, state, _ = runs["ECCT"]
    experiment = build_experiment(small_config())
    test, num_items = experiment.test, experiment.split.num_items
    everything = np.tile(np.arange(1, num_items + 1, dtype=np.int32), (len(test.users), 1))
    asked = np.concatenate([test.items[:, :1], everything], axis=1)
    scores = algorithm.scores(state, Candidates(test.users, test.positions, asked))
    found = rank_catalog(experiment, algorithm, state)
    assert set(found) == {"edge", "cloud"}
    for side, ranking in found.items():
        for row, (user, position) in enumerate(zip(test.users, test.positions, strict=True)):
            met = experiment.split.before(int(user), int(position))
            scores[side][row, [*met, test.items[row, 0]]] = -np.inf
        expected = (scores[side][:, 1:] >= scores[side][:, :1]).sum(axis=1)
        np.testing.assert_array_equal(ranking.places, expected, err_msg=side)


def test_a_start_is_scored_with_logits_where_they_cross_in_the_end(runs, small_config):
    algorithm, _, _ = runs["ECCT"]
    experiment = build_experiment(small_config())
    begin, untrained = algorithm.initialize(), algorithm.untrained()
    for ours, theirs in zip(untrained.edge.cohorts, begin.edge.cohorts, strict=True):
        np.testing.assert_array_equal(ours.weights(), theirs.weights())
    first, start = (algorithm.scores(each, experiment.test)["edge"] for each in (begin, untrained))
    assert not np.array_equal(first, start)
    np.testing.assert_array_equal(start_places(experiment, algorithm)["edge"], ranks(start))


def test_a_state_comes_back_from_its_arrays(runs):
    algorithm, state, _ = runs["ECCT"]
    arrays = algorithm.to_arrays(state)
    again = algorithm.to_arrays(algorithm.from_arrays(arrays))
    assert set(again) == set(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_an_algorithm_can_be_run_twice(runs):
    """Nothing of the first run stays behind in the cloud's Keras model."""
    algorithm, state, _ = runs["up only"]
    fresh = algorithm.initialize()
    everybody = np.arange(algorithm.num_devices)
    with federated_runtime():
        firsts = [
            algorithm.next(fresh, round_number=0, participants=everybody, answering=everybody)[0]
            for _ in range(2)
        ]
    for name, value in firsts[0].cloud.items():
        np.testing.assert_array_equal(firsts[1].cloud[name], value, err_msg=name)
    assert state is not firsts[0]


@pytest.mark.parametrize(
    "settings",
    [
        ["exchange.speak_above=0.5"],
        ["cloud.buffer=3"],
        ["exchange.rows=item", "exchange.stage_1_rounds=0", "privacy.max_epsilon=5"],
    ],
)
def test_settings_of_the_exchange_do_not_refuse_the_references(settings):
    config = load_config(overrides=settings)
    names = [display_name(found) for found in quick_references(config)]
    assert names == [display_name(found) for found in quick_references(RunConfig())]


def test_ablations_keep_what_their_exchange_has_a_use_for():
    config = load_config(overrides=["exchange.speak_above=0.5", "cloud.buffer=3"])
    kept = {name: ablation.of(config) for name, ablation in ABLATIONS.items()}
    assert {name for name, found in kept.items() if found.exchange.speak_above} == {"logits only"}
    assert {name for name, found in kept.items() if not found.cloud.buffer} == {
        "no exchange",
        "down only",
    }


def test_quick_references_leave_out_the_run_itself():
    names = [display_name(config) for config in quick_references(RunConfig())]
    assert names == [
        "popularity",
        "EASE",
        "EASE, recency-weighted",
        "edge only",
        "no exchange",
        "cloud only",
    ]
    ease = dataclasses.replace(RunConfig(), method="ease")
    assert "EASE" not in [display_name(config) for config in quick_references(ease)]


def test_a_plan_has_a_run_for_each_method_and_seed():
    planned = plan_runs(RunConfig(), methods=["fedavg", "ablations"], seeds=[3, 5])
    assert list(planned)[:3] == ["fedavg-seed3", "fedavg-seed5", "no-exchange-seed3"]
    assert len(planned) == 2 * 6
    assert planned["fedavg-seed5"].seed == 5
    assert not any(config.baselines for config in planned.values())
    assert len(plan_runs(RunConfig(), methods=["all", "ecct"], seeds=[0])) == len(METHODS) + 5


def test_mistakes_in_a_plan_are_told():
    with pytest.raises(
        ConfigError, match=r"--methods: unknown fedavgg; did you mean fedavg\? \(known: .*"
    ):
        plan_runs(RunConfig(), methods=["fedavgg"], seeds=[0])
    for text in ("", "1,x", "-1", "1,1"):
        with pytest.raises(ConfigError, match="--seeds: expected different whole numbers"):
            parse_seeds(text)
    assert parse_seeds("0, 2") == [0, 2]


def test_a_campaign_leaves_alone_what_is_complete_and_goes_on_with_the_rest(small_config, tmp_path):
    planned = plan_runs(small_config(), methods=["popularity"], seeds=[0, 1])
    said = []
    folders = run_all(planned, out=tmp_path, say=said.append)
    assert [folder.name for folder in folders] == ["popularity-seed0", "popularity-seed1"]
    before = (folders[0] / "results.csv").stat().st_mtime_ns
    RunFolder.open(folders[1]).set_status("running", round_number=0)
    said.clear()
    run_all(planned, out=tmp_path, say=said.append)
    assert "complete" in said[0]
    assert "going on" in said[1]
    assert (folders[0] / "results.csv").stat().st_mtime_ns == before
    assert RunFolder.open(folders[1]).status == "complete"
    other = plan_runs(small_config("evaluation.k=5"), methods=["popularity"], seeds=[0])
    with pytest.raises(RunFolderError, match=r"evaluation.k was .*, now 5"):
        run_all(other, out=tmp_path, say=said.append)


@pytest.fixture
def computed(monkeypatch):
    """One entry for each input space that is computed."""
    spaces = []

    def counted(*args, **kwargs):
        spaces.append(build_input_space(*args, **kwargs))
        return spaces[-1]

    monkeypatch.setattr(shared_spaces, "build_input_space", counted)
    return spaces


def test_methods_that_share_an_input_space_come_out_the_same(small_config, computed):
    experiment = build_experiment(small_config("cloud.next_item.epochs=1"))
    spaces = shared_spaces.InputSpaces()
    for config in quick_references(experiment.config)[3:]:
        reference = dataclasses.replace(experiment, config=config)
        shared = build_algorithm(reference, spaces=spaces)
        alone = build_algorithm(reference)
        if config.method == "cloud-only":
            np.testing.assert_array_equal(
                shared.score(experiment.test), alone.score(experiment.test)
            )
        else:
            assert table_digest(shared.table).tolist() == table_digest(alone.table).tolist()
    assert len(spaces) == 1
    assert len(computed) == 1 + 3


def test_methods_that_share_starting_samples_and_devices_come_out_the_same(small_config):
    quick = ("edge.start=cloud", "start.epochs=1", "cloud.next_item.epochs=0")
    experiment = build_experiment(small_config(*quick))
    spaces, starts = shared_spaces.InputSpaces(), []
    for ablation in ("down only", "no exchange"):
        config = ABLATIONS[ablation].of(experiment.config)
        reference = dataclasses.replace(experiment, config=config)
        shared = build_algorithm(reference, spaces=spaces)
        apart = dataclasses.replace(reference, shared={})
        alone = build_algorithm(apart)
        states = [found.initialize() for found in (shared, alone)]
        own, other = (state.edge.cohorts[0].weights() for state in states)
        np.testing.assert_array_equal(own, other)
        starts.append(own)
        for one, two in zip(
            shared.process.cohorts[0].devices.devices,
            alone.process.cohorts[0].devices.devices,
            strict=True,
        ):
            for name in one._fields:
                np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    # Where no logit crosses, weights do not lean on one.
    assert not np.array_equal(*starts)
    assert len(experiment.prepared) == 1


def test_a_run_and_its_quick_references_compute_one_input_space(
    small_config, computed, monkeypatch
):
    quick = ("cloud.next_item.epochs=0", "evaluation.catalog=none")
    config = small_config("method=cloud-only", "baselines=true", *quick)
    monkeypatch.setattr(running, "quick_references", lambda config: [config])
    reference, own = simulate(config).rows
    assert reference == own
    assert len(computed) == 1


def test_an_edge_alone_that_diverges_names_the_settings_that_it_has(small_config):
    config = small_config("method=edge-only", "edge_only.learning_rate=1e30", "edge_only.rounds=1")
    with pytest.raises(DivergenceError) as caught:
        simulate(config)
    for words in ("edge_only.learning_rate=1e+30", "edge_only.server.learning_rate=0.01"):
        assert words in str(caught.value)
    assert "training.learning_rate" not in str(caught.value)
