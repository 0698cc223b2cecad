"""Cycles from version to version through files, killed and resumed, on synthetic data."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from module_files import load_file

from cloud.publishing import publish
from cloud.registry import Registry
from cloud.retraining import retrain
from cloud.retraining.history import load_history
from cloud.retraining.starts import edge_models
from cloud.uplink_log import log_files
from ecct_tf.config import ServerConfig
from ecct_tf.cycle import load_cycle_config, loop, run_cycles
from ecct_tf.cycle.edge import EdgeSide, fetch
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.cycle.quality import edge_scores
from ecct_tf.cycle.rounds import local_round
from ecct_tf.data.guard import trained_positions
from ecct_tf.edge.start_files import start_file
from ecct_tf.errors import CodecError, ConfigError, DeviceError, ExportError, RunFolderError
from ecct_tf.simulation.experiment import build_experiment
from mobile_export.device import DeviceFleet, DeviceModel, ReceivedDownlink, TrainingPlan

pieces = load_file("tests/cycle/cycle_pieces.py")
RUNTIME, SMALL = pieces.RUNTIME, pieces.SMALL
USERS, ROUNDS, QUERIES, EDGE_DIM = pieces.USERS, pieces.ROUNDS, pieces.QUERIES, pieces.EDGE_DIM


@pytest.fixture(scope="module")
def config():
    return load_cycle_config(None, overrides=SMALL)


@pytest.fixture(scope="module")
def chain(config, tmp_path_factory):
    """Two cycles that nothing disturbed."""
    return run_cycles(config, tmp_path_factory.mktemp("cycle") / "chain", cycles=2, show=False)


def content(folder):
    """What devices, log and measurements hold, by name."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "edge").rglob("*.*")
        if path.is_file()
    }
    files |= {
        file.name: (folder / "uplinks" / file.name).read_bytes()
        for file in log_files(folder / "uplinks")
    }
    return {**files, "metrics.csv": (folder / "metrics.csv").read_bytes()}


def test_each_cycle_makes_a_version_from_what_devices_answered(chain):
    assert [row["version"] for row in chain.rows] == ["1", "2", "3"]
    assert [row["uplinks_read"] for row in chain.rows] == ["0", str(USERS), str(USERS)]
    assert {row["uplinks_rejected"] for row in chain.rows} == {"0"}
    assert [row["edge_test_hr"] != "" for row in chain.rows] == [True, False, True]
    first, _, last = (float(row["edge_validation_ndcg"]) for row in chain.rows)
    assert last > first
    data = [version.manifest.data for version in Registry(chain.path / "registry").versions()]
    assert [each["start"] for each in data] == ["scratch", "warm", "warm"]
    assert [each["round_number"] for each in data] == [0, 0, 1]
    # One file a tier and day, each day after the newest interaction.
    names = [file.name.split("/") for file in log_files(chain.path / "uplinks")]
    assert [name for _, name in names] == [
        f"cycle-00000{cycle}-{tier}.tfrecord" for cycle in (1, 2) for tier in ("linear", "mlp")
    ]
    assert len({day for day, _ in names}) == 2


def test_what_crosses_is_counted(chain):
    folder = CycleFolder(chain.path)
    shared = [len(folder.shared(tier, 2).shared) for tier in ("linear", "mlp")]
    each = USERS // 2
    # int8 with one float16 scale for each row; float16 weights, both ways, in each round.
    record = 44 + 4 + 4 + QUERIES * (EDGE_DIM + 2) + QUERIES + 2
    for row in chain.rows[1:]:
        assert int(row["uplink_bytes"]) == USERS * record
        assert int(row["weights_bytes"]) == sum(each * 2 * ROUNDS * 2 * size for size in shared)
        assert int(row["downlink_bytes"]) % USERS == 0
        assert row["file_bytes"] == "0"
    files = [path.stat().st_size for path in folder.export.glob("*/*.tflite")]
    assert int(chain.rows[0]["file_bytes"]) == each * sum(files)


def test_devices_keep_times_and_rank_as_of_the_request(chain, config):
    folder = CycleFolder(chain.path)
    experiment = build_experiment(config.run(), progress=False)
    edge, fetched = EdgeSide(experiment, folder, runtime=RUNTIME), fetch(folder.public)
    fleets = edge.fleets(fetched, cycle=2)
    for tier, views in edge.views.items():
        for view in views:
            assert np.array_equal(fleets[tier][view.user].state.times, view.times)
    measured = {
        "servers": {tier: folder.shared(tier, 2) for tier in edge.views},
        "downlinks": fetched.downlinks,
        "codec": config.exchange.weights_codec,
    }

    def changed(split, candidates):
        before, after = (
            edge_scores(fleets, candidates=candidates, split=each, **measured)
            for each in (experiment.split, split)
        )
        return (before != after).any(axis=1).tolist()

    # A later request for the newest interaction, the test's, changes its own list and no other.
    split = experiment.split
    times = split.timestamps.copy()
    times[split.offsets[1:] - 1] += 30 * 86_400
    later = dataclasses.replace(split, timestamps=times)
    few = slice(0, 3)
    for candidates, expected in ((experiment.test, True), (experiment.validation, False)):
        some = dataclasses.replace(
            candidates,
            **{
                field.name: getattr(candidates, field.name)[few]
                for field in dataclasses.fields(candidates)
            },
        )
        assert changed(later, some) == [expected] * 3


class Killed(BaseException):
    """As a signal would end it."""


@pytest.mark.slow
def test_a_killed_chain_goes_on_and_ends_alike(chain, config, tmp_path, monkeypatch):
    out = tmp_path / "chain"

    def kill(name, *, call, after):
        """Ends the loop at the given call of a function, before or after it is done."""
        real, calls = getattr(loop, name), []

        def stopped(*args, **kwargs):
            calls.append(name)
            if len(calls) == call and not after:
                raise Killed
            found = real(*args, **kwargs)
            if len(calls) == call:
                raise Killed
            return found

        with monkeypatch.context() as patch:
            patch.setattr(loop, name, stopped)
            with pytest.raises(Killed):
                run_cycles(config, out, cycles=2, show=False)
        assert len(calls) == call

    kill("publish", call=1, after=False)  # The first version is promoted, not published.
    kill("local_round", call=ROUNDS + 1, after=True)  # In the second tier of cycle 1.
    kill("answers", call=2, after=False)  # One tier's answers are in the log.
    kill("retrain", call=1, after=False)  # All answers are.
    kill("publish", call=1, after=True)  # Version 2 is published, its cycle has not ended.
    run_cycles(config, out, cycles=1, show=False)
    result = run_cycles(config, out, cycles=2, show=False)
    assert [row["edge_test_hr"] != "" for row in result.rows] == [True, True, True]
    untested = [
        {name: value for name, value in row.items() if "_test_" not in name} for row in result.rows
    ]
    expected, found = content(chain.path), content(out)
    assert [
        {name: value for name, value in row.items() if "_test_" not in name} for row in chain.rows
    ] == untested
    del expected["metrics.csv"], found["metrics.csv"]
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name] != found[name]] == []


def test_a_finished_chain_does_nothing_again(chain, config, monkeypatch):
    monkeypatch.setattr(loop, "build_experiment", None)
    assert run_cycles(config, chain.path, cycles=2, show=False).rows == chain.rows
    other = dataclasses.replace(config, seed=1)
    with pytest.raises(ConfigError, match=r"another configuration .*: seed was 0, now 1;"):
        run_cycles(other, chain.path, cycles=2, show=False)
    fewer = dataclasses.replace(config, devices=3)
    with pytest.raises(ConfigError, match="devices was null, now 3;"):
        run_cycles(fewer, chain.path, cycles=2, show=False)
    with (
        CycleFolder(chain.path).claimed(config),
        pytest.raises(RunFolderError, match="another process"),
    ):
        run_cycles(config, chain.path, cycles=3, show=False)


def test_a_sum_that_a_simulation_would_collect_is_missed_aloud(caplog):
    short = ("data.dataset=synthetic", "data.synthetic_users=120", "data.keep_first=8")
    for settings, warned in ((short, True), (short[:2], False), ((*short, "devices=99"), False)):
        config = load_cycle_config(None, overrides=settings)
        experiment = build_experiment(config.run(), progress=False)
        caplog.clear()
        loop._warn_of_pairs(experiment, devices=config.devices)
        assert ("item_increments.positions=4" in caplog.text) is warned
    with pytest.raises(ConfigError, match=r"unknown key exchange\.item_increments"):
        load_cycle_config(None, overrides=["exchange.item_increments.positions=4"])


@pytest.mark.parametrize("made", [(), ("uplinks",)])
def test_a_chain_that_made_nothing_leaves_no_folder(config, tmp_path, made):
    folder = CycleFolder(tmp_path / "deep" / "chain")

    def stop():
        for name in made:
            (folder.path / name).mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), folder.claimed(config):
        stop()
    assert folder.path.exists() == folder.path.parent.exists() == bool(made)
    # One that was begun before stays, whatever happens.
    with folder.claimed(config):
        pass
    with pytest.raises(KeyboardInterrupt), folder.claimed(config):
        raise KeyboardInterrupt
    assert (folder.path / "config.yaml").is_file()


def test_the_folder_of_something_else_stays_as_it_is(config, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty and has no config\.yaml of cycles"):
        run_cycles(config, tmp_path, cycles=1, show=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_shared_weights_are_the_mean_of_the_changes_by_samples(chain, config):
    folder = CycleFolder(chain.path)
    (path,) = folder.export.glob("*/edge-mlp-*.tflite")
    model = DeviceModel(path, runtime=RUNTIME)
    states = [device.state for device in DeviceFleet(folder.edge("mlp", 2) / "states", model)][:3]
    before = folder.shared("mlp", 2)
    after, server = local_round(
        model,
        states,
        before,
        plan=TrainingPlan(seed=0, samples=config.samples),
        config=ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0),
        codec="float16",
    )
    received = before.shared.astype(np.float16).astype(np.float32)
    changes = np.stack(
        [
            (model.weights(state)[: model.shared_size] - received).astype(np.float16)
            for state in after
        ]
    )
    # One positive and three negatives of each position that is not kept to judge by.
    counts = [
        4
        * len(
            trained_positions(len(state.history), num_older=state.num_older, samples=config.samples)
        )
        for state in states
    ]
    assert len(set(counts)) > 1
    mean = np.average(changes.astype(np.float64), axis=0, weights=counts)
    assert np.abs(mean).max() > 1e-4
    np.testing.assert_allclose(server.shared, before.shared + mean, atol=1e-6)
    assert int(server.round_number) == int(before.round_number) + 1


def test_rounds_in_which_nothing_crosses_add_up_to_the_change_that_does(chain, config):
    folder = CycleFolder(chain.path)
    (path,) = folder.export.glob("*/edge-linear-*.tflite")
    model = DeviceModel(path, runtime=RUNTIME)
    states = [device.state for device in DeviceFleet(folder.edge("linear", 2) / "states", model)]
    before, size = folder.shared("linear", 2), model.shared_size
    how = {
        "plan": TrainingPlan(seed=0, samples=config.samples),
        "config": ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.0),
        "codec": "float32",
    }
    first, server = local_round(model, states[:1], before, sends=False, **how)
    assert server is before
    last, server = local_round(model, first, server, receives=False, **how)
    steps = [model.weights(each[0])[:size] - before.shared for each in (first, last)]
    assert np.abs(steps[1] - steps[0]).max() > 1e-4
    # Of one device the mean is its change, that of both rounds.
    np.testing.assert_allclose(server.shared, before.shared + steps[1], atol=1e-6)


@pytest.mark.slow
def test_a_chain_counts_the_rounds_in_which_weights_cross(config, tmp_path):
    edge = dataclasses.replace(config.edge, share_every=ROUNDS + 1)
    rare = dataclasses.replace(config, edge=edge)
    chain = run_cycles(rare, tmp_path / "rare", cycles=2, show=False)
    folder = CycleFolder(chain.path)
    sizes = [2 * len(folder.shared(tier, 2).shared) for tier in ("linear", "mlp")]
    # Received in the first round of all, sent in the first of the second cycle, received again in
    # its second round.
    crossings = [int(row["weights_bytes"]) / (USERS // 2 * sum(sizes)) for row in chain.rows]
    assert crossings == [0, 1, 1 + (ROUNDS > 1)]
    assert int(folder.shared("mlp", 2).round_number) == 1


@pytest.mark.slow
def test_a_new_item_table_reaches_devices_as_a_new_file(chain, config):
    folder = CycleFolder(chain.path)
    old = fetch(folder.public)
    experiment = build_experiment(config.run(), progress=False)
    edge = EdgeSide(experiment, folder, runtime=RUNTIME)
    before = edge.fleets(old, cycle=2)["mlp"]
    device = before[before.users[0]]
    # Another seed learns another block of the table.
    job = dataclasses.replace(
        config.job(registry=folder.registry, uplinks=None), start="scratch", seed=9
    )
    public = chain.path / "other_public"
    version = retrain(job, folder.path / "other_job", promote_anyway=True, show=False).version
    publish(Registry(folder.registry), public, version=version)
    new = fetch(public)
    user = device.state.user
    with pytest.raises(DeviceError, match=r"belongs to item table .* fetch the file"):
        device.receive(ReceivedDownlink.read(new.downlinks, user))
    other = CycleFolder(chain.path)
    other.public = public
    moved = EdgeSide(experiment, other, runtime=RUNTIME).fleets(new, cycle=2)["mlp"]
    assert moved.model.file.sha256 != before.model.file.sha256
    found = moved[user]
    assert np.array_equal(found.weights, device.weights)
    assert found.state.downlink is None
    found.receive(ReceivedDownlink.read(new.downlinks, user))
    with pytest.raises(DeviceError, match="belongs to item table"):
        found.receive(ReceivedDownlink.read(old.downlinks, user))


@pytest.fixture(scope="module")
def starting(config):
    """The same cycles with starting weights from the cloud, for devices of one tier."""
    edge = dataclasses.replace(config.edge, start="cloud", tiers={"linear": 1.0, "mlp": 0.0})
    return dataclasses.replace(config, edge=edge)


@pytest.fixture(scope="module")
def published_start(chain, starting, tmp_path_factory):
    """What the chain published with a start beside it, as a job of `starting` would train one."""
    folder = CycleFolder(chain.path)
    job = starting.job(registry=folder.registry, uplinks=None)
    fetched = fetch(folder.public)
    experiment = build_experiment(starting.run(), progress=False)
    table = EdgeSide(experiment, folder, runtime=RUNTIME).table(fetched)
    sizes = load_history(job, known=None, progress=False).profile_sizes
    (model,) = edge_models(job, table, profile_sizes=sizes)
    file, _ = start_file(model, model.layout.initial(5), starting.exchange.weights_codec)
    other = CycleFolder(tmp_path_factory.mktemp("starting"))
    other.public = folder.public
    return other, experiment, dataclasses.replace(fetched, starts={"linear": file})


def test_a_job_of_cycles_trains_what_their_devices_start_with(starting):
    job = starting.job(registry=Path("registry"), uplinks=None)
    assert (job.edge.start, job.edge.tiers) == ("cloud", ("linear",))
    assert (job.edge.hidden_dim, job.exchange.embedding_dim) == (8, EDGE_DIM)
    assert dataclasses.asdict(job.edge_start) == dataclasses.asdict(starting.start)


def test_new_devices_begin_with_the_published_start(published_start):
    folder, experiment, fetched = published_start
    edge = EdgeSide(experiment, folder, runtime=RUNTIME)
    edge.begin(fetched)
    start = fetched.starts["linear"].weights
    assert start.astype(np.float16).astype(np.float32).tobytes() == start.tobytes()
    fleet = edge.fleets(fetched, cycle=0)["linear"]
    assert len(fleet.users) == USERS
    for device in fleet:
        np.testing.assert_array_equal(device.weights, start)
    size = fleet.model.shared_size
    np.testing.assert_array_equal(folder.shared("linear", 0).shared, start[:size])
    # Who comes later finds it in the file, whatever others learned meanwhile.
    late = fleet.model.begin(user=99, profile=np.zeros(2, np.int32))
    np.testing.assert_array_equal(fleet.model.weights(late), start)


def test_a_version_without_a_start_and_one_of_another_model_are_refused(published_start):
    folder, experiment, fetched = published_start
    other = CycleFolder(folder.path / "other")
    other.public = folder.public
    edge = EdgeSide(experiment, other, runtime=RUNTIME)
    with pytest.raises(ConfigError, match="which has none"):
        edge.files(dataclasses.replace(fetched, starts={}))
    file = dataclasses.replace(fetched.starts["linear"], fingerprint="ab" * 32)
    with pytest.raises(CodecError, match="abababababababab"):
        edge.files(dataclasses.replace(fetched, starts={"linear": file}))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.nodes=4", "serves one user"),
        ("edge.embedding_dim=4", "as in exchange.embedding_dim"),
        ("evaluation.every=2", "each cycle is evaluated"),
        ("evaluation.catalog=own", "a cycle ranks among sampled candidates only"),
        ("gate.promote=false", "devices need a version in force"),
        ("rounds_per_cycle=0", "expected at least 1"),
        ("exchange.weights_codec=int8", "erases the small ones"),
        ("registry=elsewhere", "registry"),
    ],
)
def test_what_a_cycle_cannot_do_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        load_cycle_config(None, overrides=[*SMALL, override])


def test_a_missing_runtime_is_told_before_any_work_and_leaves_no_folder(
    config, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ExportError, match="litert is not installed here"):
        run_cycles(dataclasses.replace(config, runtime="litert"), tmp_path / "cycles", cycles=1)
    # A folder would remember the runtime, and refuse the one that the message names.
    assert not (tmp_path / "cycles").exists()
