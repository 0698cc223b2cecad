"""A model that reads the time, in a file and on a device in Python."""

import dataclasses
import importlib.util
import math

import numpy as np
import pytest

from ecct_tf.data.clock import EARLIEST, clock_reading
from ecct_tf.data.profile import device_profile
from ecct_tf.edge import item_tensors
from ecct_tf.errors import DeviceError
from mobile_export.checking.behaviour import check_outputs
from mobile_export.checking.reference import Reference
from mobile_export.checking.synthetic import synthetic_examples
from mobile_export.contract.signatures import contract_of
from mobile_export.device import Device, DeviceFleet, DeviceModel, ReceivedDownlink, TrainingPlan
from mobile_export.device.state import DeviceState, write_state
from mobile_export.device.times import interaction_times, latest_time
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.card import model_card
from mobile_export.making.examples import example_inputs
from mobile_export.runtime.interpreter import CallRefusedError, Interpreter

RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") else "tensorflow"
NOW = 1_790_000_000
HOUR = 3_600


@pytest.fixture(scope="module")
def model(clocked):
    return DeviceModel(clocked.path, runtime=RUNTIME)


@pytest.fixture(scope="module")
def metadata(clocked):
    return read_metadata(clocked.path.read_bytes())


@pytest.fixture(scope="module")
def views(experiment):
    return [view for group in experiment.groups for view in group]


@pytest.fixture(scope="module")
def downlink(clocked):
    rng = np.random.default_rng(0)
    embedding = rng.integers(-127, 128, clocked.work.exchange.cloud_dim).astype(np.int8)
    return ReceivedDownlink(embedding, np.array([5, 1, 40, 7]), scale=2.0**-6)


@pytest.fixture
def device(model, tmp_path):
    """Three interactions, an hour apart; the device's clock says that it is an hour later."""
    return Device.create(
        tmp_path / "device.state",
        model,
        user=3,
        profile=[1, 1],
        history=[3, 1, 4],
        times=[NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - HOUR],
        clock=lambda: NOW,
    )


def test_what_ranks_and_trains_takes_a_reading_and_what_answers_takes_none(clocked, metadata):
    width = 6 + clocked.config.features.history_length
    contract = contract_of(metadata)
    shapes = {
        name: {port.name: port.shape for port in signature.inputs}.get("clock")
        for name, signature in contract.items()
    }
    assert shapes.pop("score") == (width,)
    assert shapes.pop("infer") == shapes.pop("train") == (None, width)
    assert set(shapes.values()) == {None}
    assert metadata["clock"]["width"] == width
    assert metadata["clock"]["session_gap_seconds"] == 1800
    manifest = {"files": {clocked.path.name: {"bytes": 1, "operators": {}}}}
    assert f"input `clock`, {width} values" in model_card(manifest, clocked.path.parent)


def test_it_answers_as_its_source_does_and_survives_hostile_readings(
    clocked, metadata, task_of, weights_of
):
    contract, examples = contract_of(metadata), synthetic_examples(clocked.path)
    assert all(example.clock[0] == 1.0 for example in examples)
    work = clocked.work
    reference = Reference(work.model, weights_of(work), clocked.table, task_of(work), examples)
    with Interpreter(RUNTIME) as interpreter:
        interpreter.load(clocked.path)
        check_outputs(interpreter, metadata, contract, reference)
        good = example_inputs(examples[0], contract["score"])
        said = interpreter.run("score", good)["logit"]
        silent = interpreter.run("score", {**good, "clock": np.zeros_like(good["clock"])})["logit"]
        assert np.abs(said - silent).max() > 1e-3
        for place, value in [
            (0, np.nan),
            (1, -1.0),
            (2, 1.5),
            (-1, -1 / 60),
            (-1, np.inf),
            (7, 1e8),
        ]:
            spoilt = good["clock"].copy()
            spoilt[place] = value
            found = interpreter.run("score", {**good, "clock": spoilt})["logit"]
            assert np.array_equal(found, silent), (place, value)
        for spoilt in (good["clock"][:-1], good["clock"][None], good["clock"].astype("f8")):
            with pytest.raises(CallRefusedError):
                interpreter.run("score", {**good, "clock": spoilt})
        rows = example_inputs(examples[0], contract["train"])
        with pytest.raises(CallRefusedError):
            interpreter.run("train", {**rows, "clock": rows["clock"][:-1]})
        assert np.array_equal(interpreter.run("score", good)["logit"], said)


def test_a_positions_history_and_time_are_read_from_its_first_row(clocked, metadata):
    (example,) = synthetic_examples(clocked.path, count=1, candidates=8)
    rows = example_inputs(example, contract_of(metadata)["train"], group_size=4)

    def loss(**changed):
        return interpreter.run("train", {**rows, "learning_rate": 0 * rate, **changed})["loss"]

    with Interpreter(RUNTIME) as interpreter:
        interpreter.load(clocked.path)
        rate = rows["learning_rate"]
        rows["private_learning_rate"] = 0 * rate
        expected = loss()
        for name in ("history", "clock"):
            others, firsts = rows[name].copy(), rows[name].copy()
            others[1:4], firsts[4] = 0, 0
            assert np.array_equal(loss(**{name: others}), expected)
            assert not np.array_equal(loss(**{name: firsts}), expected)


def test_it_trains_on_what_the_clock_said_at_each_position(
    clocked, model, views, downlink, weights_of, tmp_path, simulated, wire
):
    plan = TrainingPlan(seed=clocked.config.seed, samples=clocked.config.samples)
    arrays = item_tensors(clocked.table)
    items = type(arrays)(*(np.asarray(array) for array in arrays))
    start = weights_of(clocked.work)
    fleet = DeviceFleet(tmp_path, model)
    for view in views[:3]:
        held = {
            "user": view.user,
            "history": view.history,
            "profile": device_profile(view),
            "num_older": view.num_older,
        }
        device = fleet.add(**held, times=view.times)
        _, uplink = device.take_part(downlink, plan)
        expected, result = simulated(
            clocked.work, view, items=items, config=clocked.config, weights=start, downlink=downlink
        )
        assert np.abs(device.weights - start).max() > 1e-4
        # A file pools a history by all weights in one product, the simulation by one after another.
        assert np.abs(device.weights - expected).max() <= 3e-5
        assert uplink == wire(result.uplink)
        # Without its times it learns something else: the readings did take part.
        other = model.receive(model.begin(**held), downlink)
        write_state(tmp_path / "other.state", other)
        timeless = Device(tmp_path / "other.state", model)
        timeless.train(plan)
        assert np.abs(timeless.weights - expected).max() > 1e-2


def test_an_item_without_a_row_takes_its_time_with_it(model, clocked):
    known = model.begin(user=1, profile=[0, 0], history=[3, 1, 4], times=[NOW, NOW + 60, NOW + 99])
    odd = dataclasses.replace(known, history=[3, 999, 1, 4], times=[NOW, 7, NOW + 60, NOW + 99])
    plan = TrainingPlan(samples=clocked.config.samples)
    trained = [model_round(model, state, plan) for state in (known, odd)]
    assert np.array_equal(trained[0], trained[1])


def model_round(model, state, plan):
    from mobile_export.device.training import train_round

    return model.weights(train_round(model, state, plan)[0])


def test_a_request_is_made_now_by_the_devices_clock_or_when_it_says(device, model):
    candidates = [9, 2, 6]
    now = device.score(candidates)
    assert np.array_equal(device.score(candidates, now=NOW), now)
    assert np.array_equal(model.score(device.state, candidates, now=NOW), now)
    assert np.abs(device.score(candidates, now=NOW + 20 * HOUR) - now).max() > 1e-4
    # What the file was given is the reading of the simulation.
    reading = clock_reading(device.state.times, now=NOW, config=model.file.features)
    given = model._now(device.state) | {"clock": reading, "candidates": np.array(candidates, "i4")}
    assert np.array_equal(model.file.call("score", given)["logit"], now)
    again = Device(device.path, model, clock=lambda: NOW)
    assert np.array_equal(again.score(candidates), now)


def test_an_unknown_time_silences_the_clock_until_newer_ones_take_its_place(device, model):
    candidates, length = [9, 2, 6], model.file.features.history_length
    device.interact([5])
    silent = model.score(device.state, candidates)
    assert np.array_equal(device.score(candidates), silent)
    for place in range(length):
        assert np.array_equal(device.score(candidates), model.score(device.state, candidates))
        device.interact([6 + place], times=[NOW - 60 + place])
    assert not np.array_equal(device.score(candidates), model.score(device.state, candidates))
    # A phone whose clock was never set.
    lost = Device(device.path, model, clock=lambda: EARLIEST - 1)
    assert np.array_equal(lost.score(candidates), model.score(device.state, candidates))


def test_a_state_from_before_there_were_times_is_read_with_a_silent_clock(device, model):
    old = DeviceState(**{**vars(device.state), "times": np.zeros(0, np.int64)})
    write_state(device.path, old)
    assert device.path.read_bytes()[4] == 1
    again = Device(device.path, model, clock=lambda: NOW)
    assert np.array_equal(again.score([9, 2]), model.score(device.state, [9, 2]))
    again.interact([5], times=[NOW])
    assert device.path.read_bytes()[4] == 2
    assert Device(device.path, model).state.times.tolist() == [0, 0, 0, NOW]


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (math.nan, "expected seconds from 0, got nan"),
        (math.inf, "expected seconds from 0, got inf"),
        (-1, "expected seconds from 0, got -1"),
        (NOW + 25 * HOUR, "a day from now by this device's clock"),
        (1000 * NOW, "are these milliseconds"),
        ("noon", "expected a time, got 'noon'"),
    ],
)
def test_times_that_cannot_be_are_refused_and_change_nothing(device, model, moment, message):
    before = device.path.read_bytes()
    with pytest.raises(DeviceError, match=f"times: interaction 1: {message}|{message}"):
        device.interact([5, 6], times=[NOW, moment])
    with pytest.raises(DeviceError, match=f"score: now: {message}|{message}"):
        device.score([5], now=moment)
    with pytest.raises(DeviceError, match=message):
        Device.create(
            device.path.with_name("new.state"), model, user=1, profile=[0, 0], history=[3],
            times=[moment], clock=lambda: NOW,
        )  # fmt: skip
    assert device.path.read_bytes() == before
    assert not device.path.with_name("new.state").exists()


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (NOW, "expected a list of 2, one for each interaction, got 1790000000"),
        ("12", "expected a list of 2, one for each interaction, got '12'"),
        (np.array(NOW), "expected a list of 2"),
        (np.zeros((2, 2), np.int64), "expected a list of 2"),
        ([NOW, 10**400], "interaction 1: expected a time up to 9007199254740991, the last that"),
        ([NOW, 2**53], "interaction 1: expected a time up to 9007199254740991, the last that"),
        ([True, NOW], "interaction 0: expected a time, got True"),
    ],
)
def test_what_is_no_list_of_times_is_refused(times, message):
    with pytest.raises(DeviceError, match=f"times: {message}"):
        interaction_times(times, count=2)


def test_a_clock_that_was_ten_years_ahead_and_comes_back_stops_nothing(model, tmp_path):
    own, ahead = [NOW], NOW + 10 * 365 * 24 * HOUR
    path = tmp_path / "device.state"
    device = Device.create(path, model, user=3, profile=[1, 1], clock=lambda: own[0])
    for item, now, time in ((3, NOW, NOW - HOUR), (1, ahead, ahead), (4, NOW, NOW - 60)):
        own[0] = now
        device.interact([item], times=[time])
    with pytest.raises(DeviceError, match="a day from now by this device's clock"):
        device.interact([5], times=[ahead])
    assert np.isfinite(device.score([9, 2, 6])).all()
    report = device.train(TrainingPlan())
    assert (report.refused, np.isfinite(device.weights).all()) == (0, True)
    assert Device(path, model).state.times.tolist() == [NOW - HOUR, ahead, NOW - 60]


def test_a_device_without_a_time_of_its_own_believes_any():
    assert latest_time(0.0) == math.inf
    assert latest_time(NOW) == NOW + 24 * HOUR


def test_a_file_without_a_clock_keeps_times_and_reads_none(packed, tmp_path):
    plain = DeviceModel(packed("linear"), runtime=RUNTIME)
    device = Device.create(
        tmp_path / "plain.state", plain, user=3, profile=[1, 1], history=[3, 1], times=[NOW, NOW]
    )
    assert np.array_equal(device.score([5], now=NOW), device.score([5], now=NOW + HOUR))
    assert Device(device.path, plain).state.times.tolist() == [NOW, NOW]
