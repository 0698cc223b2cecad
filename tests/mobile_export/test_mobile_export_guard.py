"""A device in Python judges its training as the simulation's devices do, and keeps its start."""

import dataclasses
import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.data.profile import device_profile
from ecct_tf.edge.start_files import start_file
from ecct_tf.errors import DeviceError
from ecct_tf.federated import Cohort, CohortState
from ecct_tf.runs import training as runs_training
from ecct_tf.simulation.evaluation import EdgeEvaluator
from mobile_export.checking.behaviour import check_served
from mobile_export.checking.reference import Reference, SimulatedTraining
from mobile_export.device import Device, DeviceModel, DeviceState, ReceivedDownlink, TrainingPlan
from mobile_export.device.guard import held_back
from mobile_export.device.training import train_round
from mobile_export.making.export import export_edge_model
from mobile_export.making.items import exact_encoding
from mobile_export.runtime.interpreter import Interpreter

RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") is not None else "tensorflow"


@pytest.fixture(scope="module")
def work(clocked_parts):
    """Devices that read a clock and hold two positions back."""
    work = clocked_parts.work
    return work.changed(samples=dataclasses.replace(work.task.samples, guard_positions=2))


@pytest.fixture(scope="module")
def start(work, weights_of):
    return weights_of(work)


@pytest.fixture(scope="module")
def path(work, start, clocked_parts, tmp_path_factory):
    table = clocked_parts.table
    (file,) = export_edge_model(
        work.model,
        start,
        table,
        task=work.task,
        out=tmp_path_factory.mktemp("guarded"),
        variants=[f"trainable-{exact_encoding(table)}"],
    )
    return file.path


@pytest.fixture(scope="module")
def model(path):
    return DeviceModel(path, runtime=RUNTIME)


@pytest.fixture(scope="module")
def cohort(algorithm, work, start):
    (found,) = (each for each in algorithm.process.cohorts if each.work.model.tier == "mlp")
    return Cohort(work, found.devices, 0, start)


@pytest.fixture(scope="module")
def views(experiment, cohort):
    by_user = {view.user: view for group in experiment.groups for view in group}
    return [by_user[int(device.users[0])] for device in cohort.devices.devices]


def begun(model, view):
    return model.begin(
        user=view.user,
        history=view.history,
        profile=device_profile(view),
        num_older=view.num_older,
        times=view.times,
    )


class Source:
    """Downlinks of any cloud."""

    def __init__(self, width, users):
        self.known = np.random.default_rng(2).normal(size=(users, width)).astype(np.float32)

    def downlinks(self, users, *, round_number):
        del round_number
        return self.known[users]


def test_simulation_and_device_serve_with_the_same_weights(
    algorithm, experiment, clocked_parts, cohort, views, work, start, model
):
    process = dataclasses.replace(algorithm.process, cohorts=(cohort,))
    evaluator = EdgeEvaluator(
        process,
        experiment.split,
        table=clocked_parts.table,
        features=work.task.features,
    )
    requests = experiment.validation
    rows = [int(np.flatnonzero(requests.users == view.user)[0]) for view in views]
    source = Source(work.exchange.cloud_dim, int(requests.users.max()) + 1)
    state, split = algorithm.initialize().edge, work.shared_size
    drawn = np.random.default_rng(5).normal(size=(len(views), len(start) - split))
    private = (start[split:] + drawn).astype(np.float32)
    server = state.cohorts[0].server._replace(shared=start[:split])
    state = dataclasses.replace(state, cohorts=(CohortState(server, private),), round_number=9)
    scores = evaluator.scores(state, source, requests)
    verdicts = []
    for row, view, own in zip(rows, views, private, strict=True):
        codes, scale = work.exchange.coder.encode(tf.constant(source.known[view.user]))
        downlink = ReceivedDownlink(
            codes.numpy(), np.zeros(0, np.int32), scale=float(scale.numpy()[0])
        )
        kept = model.receive(begun(model, view), downlink)
        kept = model.with_weights(kept, np.concatenate([start[:split], own]))
        served = model.served(kept)
        verdicts.append(served is not kept)
        expected = start if verdicts[-1] else model.weights(kept)
        np.testing.assert_array_equal(model.weights(served), expected)
        now = experiment.split.time_of(view.user, int(requests.positions[row]))
        np.testing.assert_allclose(
            model.score(kept, requests.items[row], now=now), scores[row], atol=2e-5
        )
    assert 0 < sum(verdicts) < len(verdicts)
    mine = requests.users[np.sort(rows)]
    asked = type(requests)(mine, requests.positions[np.sort(rows)], requests.items[np.sort(rows)])
    assert evaluator.at_start(state, source, asked) == pytest.approx(np.mean(verdicts))


def test_verify_judges_by_what_a_device_holds_back(path, model, views, start, work, clocked_parts):
    scale = np.full(1, 0.01, np.float32)
    held = []
    for view in views:
        own = {"learning_rate": scale, "profile": device_profile(view)}
        own["user_embedding"] = np.arange(work.exchange.cloud_dim, dtype=np.int8)
        own["user_embedding_scale"] = scale
        num_items = clocked_parts.table.num_items
        found = list(runs_training._held_back(view, task=work.task, num_items=num_items, own=own))
        expected = held_back(
            begun(model, view),
            num_items=num_items,
            samples=work.task.samples,
            features=work.task.features,
        )
        assert len(found) == len(expected.candidates)
        for row, given in enumerate(found):
            np.testing.assert_array_equal(given["history"], expected.histories[row])
            np.testing.assert_array_equal(given["candidates"], expected.candidates[row])
            np.testing.assert_array_equal(given["clock"], expected.clocks[row])
            assert "learning_rate" not in given
        held += found
    assert held
    table = clocked_parts.table
    reference = Reference(work.model, start, table, work.task, ())
    trained = start + np.random.default_rng(3).normal(size=len(start)).astype(np.float32) / 50
    file = model.file
    with Interpreter(RUNTIME) as interpreter:
        simulated = SimulatedTraining([], start, trained, held[:4])
        told = check_served(interpreter, path, file.metadata, file.contract, reference, simulated)
    assert told.startswith("4 held-back positions: serves with ")


def test_the_start_is_what_the_first_change_found(model, views, start, work):
    state = begun(model, views[0])
    untouched = state.as_bytes()
    assert not len(state.start)
    assert b'"start"' not in untouched
    assert model.served(state) is state
    shared = start[: work.shared_size] * 2
    received = model.with_weights(state, shared)
    trained, _ = train_round(model, received, TrainingPlan())
    assert not np.array_equal(model.weights(trained), model.weights(received))
    again, _ = train_round(model, trained, TrainingPlan())
    for changed in (received, trained, again):
        np.testing.assert_array_equal(changed.start, start)
        read = DeviceState.from_bytes(changed.as_bytes(), name="a state")
        assert read.as_bytes() == changed.as_bytes()
        np.testing.assert_array_equal(read.start, start)
    # A state that an earlier release trained has lost its start; the next change finds another.
    forgot = dataclasses.replace(trained, start=np.zeros(0, np.float32))
    assert model.served(forgot) is forgot
    after, _ = train_round(model, forgot, TrainingPlan())
    np.testing.assert_array_equal(after.start, model.weights(forgot))


def test_starting_weights_of_the_cloud_are_the_start(model, views, start, work, tmp_path):
    view = views[0]
    device = Device.create(
        tmp_path / "1.state", model, user=view.user, profile=device_profile(view)
    )
    device.receive(
        ReceivedDownlink(np.zeros(work.exchange.cloud_dim, np.int8), []),
        shared_weights=start[: work.shared_size] * 2,
    )
    newer, _ = start_file(work.model, start * np.float32(0.5), "float32")
    device.adopt_start(newer)
    assert not len(device.state.start)
    assert not device.serves_start
    np.testing.assert_array_equal(device.weights, newer.weights)


def test_the_held_back_positions_are_not_trained_on(model, views):
    view = max(views, key=lambda view: len(view.history) - view.num_older)
    positions = len(view.history) - max(view.num_older, 1)
    assert positions > 1
    _, report = train_round(model, begun(model, view), TrainingPlan())
    held = min(2, positions // 2)
    assert report.samples == (positions - held) * (1 + model.file.samples.negatives)


def test_a_start_of_another_file_is_refused(model, views):
    state = dataclasses.replace(begun(model, views[0]), start=np.zeros(3, np.float32))
    with pytest.raises(DeviceError, match=r"starting weights, as .* has, got 3"):
        model.score(state, [1])
    with pytest.raises(DeviceError, match="starting weights of at most"):
        dataclasses.replace(state, start=np.zeros(len(state.values) + 1, np.float32))
