"""A model that reads the context of requests, in a file and on a device in Python."""

import contextlib
import dataclasses
import importlib.util
import json
import logging
import sys

import numpy as np
import pytest

from ecct_tf.cli import main
from ecct_tf.config import load_config
from ecct_tf.data.profile import device_profile
from ecct_tf.edge import item_tensors
from ecct_tf.errors import DeviceError, ExportError
from ecct_tf.runs.opening import open_models
from ecct_tf.simulation.builder import device_work
from ecct_tf.simulation.ecct import build_ecct
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.run_folder import RunFolder
from mobile_export.checking.behaviour import check_outputs
from mobile_export.checking.reference import Reference
from mobile_export.checking.synthetic import synthetic_examples
from mobile_export.contract.signatures import contract_of
from mobile_export.contract.task import check_told
from mobile_export.device import Device, DeviceModel, ReceivedDownlink, TrainingPlan
from mobile_export.device.moments import translated
from mobile_export.device.state import DeviceState
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.examples import example_inputs
from mobile_export.making.export import export_edge_model
from mobile_export.runtime.interpreter import Interpreter

RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") else "tensorflow"
NOW = 1_790_000_000
# Not in the order of their names, in which the metadata of a file sort what has names.
CONTEXT = {"network": ("wifi", "mobile"), "area": ("home", "work", "train")}


def _parts(config, table, works, *, clock):
    features = dataclasses.replace(config.features, clock=clock, context=CONTEXT)
    config = dataclasses.replace(config, features=features)
    added = features.clock_features(num_blocks=len(table.blocks))
    table = dataclasses.replace(
        table,
        feature_mean=np.append(table.feature_mean, np.zeros(added, np.float32)),
        feature_scale=np.append(table.feature_scale, np.ones(added, np.float32)),
    )
    return (
        config,
        table,
        device_work(config, "mlp", table=table, profile=works["mlp"].model.profile),
    )


@pytest.fixture(scope="module", params=[True, False], ids=["clock", "no clock"])
def placed(request, config, table, works, task_of, weights_of, tmp_path_factory):
    """Configuration, table, work and the path of the file."""
    config, table, work = _parts(config, table, works, clock=request.param)
    (file,) = export_edge_model(
        work.model, weights_of(work), table, task=task_of(work), out=tmp_path_factory.mktemp("at")
    )
    return config, table, work, file.path


@pytest.fixture(scope="module")
def model(placed):
    return DeviceModel(placed[3], runtime=RUNTIME)


@pytest.fixture
def device(model, tmp_path):
    return Device.create(
        tmp_path / "device.state",
        model,
        user=3,
        profile=[1, 1],
        history=[3, 1, 4],
        times=[NOW - 300, NOW - 200, NOW - 100],
        context={"network": ["wifi", None, "mobile"], "area": ["train", "home", "moon"]},
        clock=lambda: NOW,
    )


def test_a_file_says_what_it_reads_and_answers_as_its_source(placed, task_of, weights_of):
    config, table, work, path = placed
    metadata, examples = read_metadata(path.read_bytes()), synthetic_examples(path)
    contract = contract_of(metadata)
    width = config.features.time_width + 2
    shapes = {port.name: port.shape for port in contract["score"].inputs}
    assert shapes["clock"] == (width,)
    assert metadata["clock"]["width"] == width
    told = [{"name": name, "values": list(own)} for name, own in CONTEXT.items()]
    assert metadata["features"]["context"] == told
    assert (
        list(config.features.context)
        == list(DeviceModel(path, runtime=RUNTIME).file.features.context)
        == ["network", "area"]
    )
    check_told(task_of(work), metadata)
    other = dict(reversed(CONTEXT.items()))
    task = task_of(work).changed(features=dataclasses.replace(config.features, context=other))
    with pytest.raises(ExportError, match=r"features\.context: the run has"):
        check_told(task, metadata)
    reference = Reference(work.model, weights_of(work), table, task_of(work), examples)
    with Interpreter(RUNTIME) as interpreter:
        interpreter.load(path)
        check_outputs(interpreter, metadata, contract, reference)
        given = example_inputs(examples[0], contract["score"])

        def said(*codes):
            given["clock"][-2:] = codes
            return interpreter.run("score", given)["logit"]

        given["clock"] = np.array(given["clock"])
        for codes in ((3, 0), (np.nan, 0), (-1, 0), (0, 4), (np.inf, np.inf)):
            assert np.array_equal(said(*codes), said(0, 0)), codes
        assert np.abs(said(1, 0) - said(0, 0)).max() > 1e-3
        assert np.abs(said(1, 0) - said(2, 0)).max() > 1e-3
        assert np.abs(said(0, 3) - said(0, 1)).max() > 1e-3


def test_a_device_ranks_by_the_context_of_the_request(device):
    candidates = [5, 6, 7]
    unknown = device.score(candidates)
    for context in ({}, {"network": None}, {"network": "lte"}):
        assert np.array_equal(device.score(candidates, context=context), unknown)
    at_home = device.score(candidates, context={"network": "wifi", "area": "home"})
    assert np.abs(at_home - unknown).max() > 1e-3
    ((best, logit),) = device.recommend(1, context={"network": "wifi", "area": "home"})
    # In a list of another length the last digits may differ.
    alone = device.score([best], context={"network": "wifi", "area": "home"})[0]
    assert logit == pytest.approx(alone, rel=1e-6)


def test_it_trains_on_the_context_of_each_position(
    placed, model, experiment, weights_of, tmp_path, simulated, wire
):
    config, table, work, _ = placed
    plan = TrainingPlan(seed=config.seed, samples=config.samples)
    arrays = item_tensors(table)
    items = type(arrays)(*(np.asarray(array) for array in arrays))
    rng, start = np.random.default_rng(0), weights_of(work)
    embedding = rng.integers(-127, 128, work.exchange.cloud_dim).astype(np.int8)
    downlink = ReceivedDownlink(embedding, np.array([5, 1, 40, 7]), scale=2.0**-6)
    view = experiment.groups[0][0]
    codes = rng.integers(0, 3, (len(view.history), 2))
    view = dataclasses.replace(view, context=codes)
    unknown = dataclasses.replace(view, context=np.zeros_like(codes))
    words = {
        name: [values[code - 1] if code else None for code in codes[:, place]]
        for place, (name, values) in enumerate(CONTEXT.items())
    }
    uplinks = []
    for context in (words, None):
        device = Device.create(
            tmp_path / f"{len(uplinks)}.state",
            model,
            user=view.user,
            history=view.history,
            profile=device_profile(view),
            num_older=view.num_older,
            times=view.times,
            context=context,
            clock=lambda: NOW,
        )
        _, uplink = device.take_part(downlink, plan)
        uplinks.append(uplink)
        expected, result = simulated(
            work,
            view if context else unknown,
            items=items,
            config=config,
            weights=start,
            downlink=downlink,
        )
        assert np.abs(device.weights - expected).max() <= 1e-6
        assert uplink == wire(result.uplink)
    assert uplinks[0] != uplinks[1]


def test_states_keep_it_and_old_states_are_read(device, model):
    device.interact([5, 6], times=[NOW, NOW], context={"area": ["work", "train"]})
    state = Device(device.path, model).state
    assert state.context.tolist() == [[1, 3], [0, 1], [2, 0], [0, 2], [0, 3]]
    content = state.as_bytes()
    assert content[4] == 3
    assert DeviceState.from_bytes(content, name="again").as_bytes() == content
    last = device.export_personal_data()["interactions"][0]
    assert last["context"] == {"network": "wifi", "area": "train"}
    meaning = dataclasses.replace(state.labels.file, context=())
    for times, number in ((state.times, 2), ([], 1)):
        old = dataclasses.replace(
            state,
            context=[],
            context_values={},
            times=np.array(times, int),
            labels=dataclasses.replace(state.labels, file=meaning),
            model="0" * 64,
        )
        assert old.as_bytes()[4] == number
        read = DeviceState.from_bytes(old.as_bytes(), name="old")
        assert read.context.shape == (5, 0)
        with pytest.raises(DeviceError, match="context of requests none, there network"):
            model.adopt(read)
        adopted = model.adopt(read, weights="anew").state
        assert adopted.context.tolist() == [[0, 0]] * 5
        assert adopted.with_interactions([7], context={"network": ["wifi"]}).context[-1, 0] == 1


def test_what_waits_for_its_item_keeps_its_context(device, model):
    device.interact(
        ["6", "900", "7"],
        times=[NOW] * 3,
        context={"network": ["wifi", "mobile", None], "area": ["work", "train", "moon"]},
    )
    state = Device(device.path, model).state
    assert state.context.tolist() == [[1, 3], [0, 1], [2, 0], [1, 2], [0, 0]]
    (waits,) = state.labels.waiting
    assert (waits.token, waits.place, waits.context) == ("900", 4, (2, 3))
    told = device.export_personal_data()
    assert told["labels"]["waiting"] == [["900", 4, NOW, {"network": "mobile", "area": "train"}]]
    json.dumps(told)
    for wrong in ((4, 3), (2,), ()):
        other = dataclasses.replace(waits, context=wrong)
        labels = dataclasses.replace(state.labels, waiting=(other,))
        content = dataclasses.replace(state, labels=labels).as_bytes()
        with pytest.raises(DeviceError, match="expected the content that its header promises"):
            DeviceState.from_bytes(content, name="damaged")


def test_no_payload_and_no_log_has_it(model, tmp_path, caplog):
    """Devices that differ in their context alone answer alike, to the last bit."""
    caplog.set_level(logging.DEBUG)
    downlink = ReceivedDownlink(
        np.arange(model.file.sizes.cloud_dim).astype(np.int8),
        np.array([5, 1, 40, 7]),
        scale=2.0**-6,
    )
    contexts = (
        {"network": ["wifi", "mobile", "wifi"], "area": ["home", "work", "train"]},
        {"network": ["mobile", None, None], "area": ["train", "train", "home"]},
        None,
    )
    payloads, states = set(), []
    for place, context in enumerate(contexts):
        device = Device.create(
            tmp_path / f"{place}.state",
            model,
            user=3,
            profile=[1, 1],
            history=[3, 1, 4],
            times=[NOW - 300, NOW - 200, NOW - 100],
            context=context,
            clock=lambda: NOW,
        )
        device.receive(downlink)
        device.score([5], context={"network": "wifi", "area": "train"})
        payload = device.uplink()
        payloads.add(payload)
        record = model.envelope(device.state, payload, created_at_seconds=NOW)
        states.append(device.state)
        # Training reads it, and what is sent then holds weights' answers alone, of one length.
        device.take_part(downlink, TrainingPlan(seed=1))
        assert len(device.uplink()) == len(payload)
        with pytest.raises(DeviceError) as told:
            device.interact([5], context={"area": "train"})
        said = caplog.text + repr(record) + str(told.value)
        assert not [word for words in CONTEXT.values() for word in words if word in said]
    assert len(payloads) == 1
    assert len({state.as_bytes() for state in states}) == 3


def test_values_of_another_file_are_told_by_their_words():
    of = {"network": ("wifi", "mobile"), "area": ("home",)}
    to = {"hour": ("day",), "network": ("mobile", "cable", "wifi")}
    codes = np.array([[1, 1], [2, 0], [0, 1]], np.int32)
    assert translated(codes, of=of, to=to).tolist() == [[0, 3], [0, 1], [0, 0]]


def test_what_the_file_does_not_read_is_an_error(device):
    before = device.state
    with pytest.raises(DeviceError, match=r"reads \['network', 'area'\], got weather"):
        device.score([5], context={"weather": "rain"})
    with pytest.raises(DeviceError, match=r"context\.network: expected one for each of 2"):
        device.interact([5, 6], context={"network": ["wifi"]})
    with pytest.raises(DeviceError, match=r"context\.network: expected a list of 2"):
        device.interact([5, 6], context={"network": "wifi"})
    assert device.state is before


def test_a_run_that_reads_it_is_exported_and_ranks_as_its_file(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    words = {name: rng.choice(values, 96) for name, values in CONTEXT.items()}
    rows = [
        f"u{place // 6},i{place * 7 % 41},{NOW + 60 * place},{words['network'][place]},"
        f"{words['area'][place]}"
        for place in range(96)
    ]
    header = "user,item,timestamp,network,area"
    (tmp_path / "clicks.csv").write_text("\n".join([header, *rows]) + "\n")
    kinds = "".join(f"    {name}: {{kind: categorical}}\n" for name in CONTEXT)
    (tmp_path / "schema.yaml").write_text(
        f"name: shop\ninteractions:\n  path: clicks.csv\n  columns:\n{kinds}"
    )
    config = load_config(
        overrides=[
            "data.dataset=files",
            f"data.schema={tmp_path / 'schema.yaml'}",
            "features.context={network: [wifi, mobile], area: [home, work, train]}",
            "features.history_length=4",
            "evaluation.negatives=12",
            "cloud.next_item.epochs=0",
            "edge.tiers={mlp: 1.0}",
            "edge.start=random",
            "edge.hidden_dim=4",
            "baselines=false",
        ]
    )
    run, out = RunFolder.create(tmp_path / "run", config), tmp_path / "out"
    experiment = build_experiment(config, progress=False)
    algorithm = build_ecct(experiment)
    run.write_item_table(algorithm.table)
    arrays = algorithm.to_arrays(algorithm.initialize())
    run.checkpoints.save(0, arrays, fingerprint=experiment.fingerprint())
    file = out / "edge-mlp-trainable-int4.tflite"
    runtime = [] if RUNTIME == "litert" else ["--tensorflow"]
    for argv in (
        ["export", run.path, "--out", out],
        ["evaluate", file, "--run", run.path, *runtime],
    ):
        monkeypatch.setattr(sys, "argv", ["ecct", *map(str, argv)])
        # A command that fails leaves with a code.
        with contextlib.suppress(SystemExit):
            main()
    assert "16 test rows" in capsys.readouterr().out
    # As the run's own devices rank, each in the context of what it is asked for.
    models = open_models(run.path)
    features = DeviceModel(file, runtime=RUNTIME).file.features
    assert features.context == models.experiment.config.features.context == CONTEXT
    examples = models.reference("mlp", user=None, steps=0).examples
    assert all(example.clock[-2:].all() for example in examples)
