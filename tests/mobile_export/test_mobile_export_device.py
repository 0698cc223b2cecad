"""A device in Python: it does what the simulation's devices do, and its state survives."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloud.registry import Registry
from cloud.retraining.config import JobConfig, UplinkConfig
from cloud.retraining.log_reading import declared, read_new
from cloud.retraining.uplinks import KnowledgeBuilder
from cloud.uplink_log import Asked, Forgotten, ReplayWindow, UplinkLogWriter
from ecct_tf.config import SampleConfig
from ecct_tf.data.profile import device_profile
from ecct_tf.data.samples import pad_history
from ecct_tf.edge.start_files import start_file
from ecct_tf.errors import CodecError, ConfigError, DeviceError, ExportError
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.table_files import item_table_file
from ecct_tf.simulation.uplink_log import uplink_records
from ecct_tf.wire import StartFile, digest_of
from mobile_export.contract.samples import samples_of
from mobile_export.contract.task import check_told, device_settings
from mobile_export.contract.wire import pack_uplink, unpack_uplink, uplink_form
from mobile_export.device import (
    Device,
    DeviceFleet,
    DeviceModel,
    ReceivedDownlink,
    TrainingPlan,
)
from mobile_export.device.training import train_round
from mobile_export.flatbuffer.packing import digest
from mobile_export.making.export import export_edge_model
from mobile_export.runtime.loaded_file import LoadedFile

LITERT = importlib.util.find_spec("ai_edge_litert") is not None
RUNTIME = "litert" if LITERT else "tensorflow"


EXAMPLES = Path(__file__).parents[2] / "examples" / "own_losses"


@pytest.fixture(scope="module")
def model(packed):
    return DeviceModel(packed("mlp"), runtime=RUNTIME)


@pytest.fixture(scope="module")
def plan(config):
    return TrainingPlan(seed=config.seed)


@pytest.fixture(scope="module")
def views(experiment):
    return [view for group in experiment.groups for view in group]


@pytest.fixture(scope="module")
def downlink(works):
    spec = works["mlp"].exchange
    rng = np.random.default_rng(0)
    return ReceivedDownlink(
        rng.integers(-127, 128, spec.cloud_dim).astype(np.int8),
        np.array([5, 1, 40, 7]),
        scale=2.0**-6,
    )


@pytest.fixture
def device(tmp_path, model, views, downlink):
    """Some user's, with a downlink."""
    found = Device.create(tmp_path / "device.state", model, **held(views[3]))
    found.receive(downlink)
    return found


def held(view):
    """What a device holds of a view."""
    return {
        "user": view.user,
        "history": view.history,
        "profile": device_profile(view),
        "num_older": view.num_older,
    }


@pytest.mark.parametrize("tier", ["linear", "mlp", "attention"])
def test_it_trains_and_answers_as_the_simulations_devices(
    tier, packed, works, items, config, views, plan, downlink, weights_of, tmp_path, simulated, wire
):
    work, start = works[tier], weights_of(works[tier])
    fleet = DeviceFleet(tmp_path, DeviceModel(packed(tier), runtime=RUNTIME))
    for view in views[:5]:
        device = fleet.add(**held(view))
        assert np.array_equal(device.weights, start)
        report, uplink = device.take_part(downlink, plan)
        expected, result = simulated(
            work, view, items=items, config=config, weights=start, downlink=downlink
        )
        assert report.refused == 0
        assert report.steps == -(-report.samples // work.training.batch_size)
        assert report.loss == pytest.approx(float(result.loss) / float(result.weight), abs=1e-5)
        assert np.abs(device.weights - start).max() > 1e-4
        assert np.abs(device.weights - expected).max() <= 1e-6
        assert uplink == wire(result.uplink)
    assert fleet.users == [view.user for view in views[:5]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "taught"),
    [("bce", "listwise"), ("own_losses.losses:hinge", "own_losses.losses:matched")],
)
def test_it_trains_by_the_loss_of_the_run(
    loss, taught, works, table, items, config, views, plan, downlink, weights_of, tmp_path,
    simulated, monkeypatch,
):  # fmt: skip
    monkeypatch.syspath_prepend(EXAMPLES)
    settings = dataclasses.replace(
        config.training,
        loss=loss,
        distillation_loss=taught,
        distillation_weight=0.05,
        batch_size=9,
    )
    work = works["linear"].changed(training=settings)
    start = weights_of(work)
    (file,) = export_edge_model(work.model, start, table, task=work.task, out=tmp_path)
    model = DeviceModel(file.path, runtime=RUNTIME)
    told = model.file.metadata["training"]
    # Nine rows hold two positions of four samples each.
    assert (told["loss"], told["group_size"], work.task.batch_size) == (loss, 4, 8)
    for view in views[:3]:
        state = model.receive(model.begin(**held(view)), downlink)
        state, report = train_round(model, state, plan)
        expected, result = simulated(
            work, view, items=items, config=config, weights=start, downlink=downlink
        )
        assert (report.refused, report.steps) == (0, -(-report.samples // 8))
        assert report.loss == pytest.approx(float(result.loss) / float(result.weight), abs=1e-5)
        weights = model.weights(state)
        assert np.abs(weights - start).max() > 1e-4
        assert np.abs(weights - expected).max() <= 1e-6
    with pytest.raises(DeviceError, match="reads positions of 3 negatives, the plan draws 2"):
        train_round(model, state, TrainingPlan(samples=SampleConfig(negatives=2)))
    with pytest.raises(ConfigError, match=r"whole positions, a multiple of 4.* got 6"):
        export_edge_model(
            work.model, start, table, task=work.task, out=tmp_path / "static", static=(6, 5)
        )


def test_simulation_device_and_file_write_one_uplink_and_the_job_ingests_it(
    packed, works, items, config, views, plan, downlink, weights_of, tmp_path, simulated
):
    work, view = works["mlp"], views[4]
    model = DeviceModel(packed("mlp"), runtime=RUNTIME)
    device = Device.create(tmp_path / "device.state", model, **held(view))
    _, by_device = device.take_part(downlink, plan)
    _, result = simulated(
        work, view, items=items, config=config, weights=weights_of(work), downlink=downlink
    )
    form = uplink_form(model.file.sizes)
    (simulation,) = uplink_records(result.uplink, form, 0)
    file = LoadedFile(packed("mlp"), runtime=RUNTIME)
    file.call("restore", {"state": device.state.values})
    outputs = file.call(
        "uplink",
        {
            "history": pad_history(view.history, config.features.history_length),
            "profile": device_profile(view),
            "user_embedding": downlink.user_embedding,
            "user_embedding_scale": np.array([downlink.scale], np.float32),
            "queries": downlink.queries,
        },
    )
    by_file = pack_uplink(view.user, outputs, file.sizes)
    assert by_device == simulation.payload == by_file
    # The same bytes in three rounds, as each of the three would log them.
    payloads = (simulation.payload, by_device, by_file)
    records = [
        dataclasses.replace(simulation, round_number=number, payload=payload)
        for number, payload in enumerate(payloads)
    ]
    UplinkLogWriter(tmp_path / "log").append(records)
    exchange = UplinkConfig(queries=form.queries, embedding_dim=form.embedding_dim)
    builder = KnowledgeBuilder(
        KnowledgeStore.empty(num_users=24, num_queries=form.queries, embedding_dim=3)
    )
    read = read_new(
        tmp_path / "log",
        builder,
        contract=declared(
            JobConfig(exchange=exchange),
            num_users=24,
            num_items=40,
            registry=Registry(tmp_path / "registry"),
            asked=Asked.nothing(newest_round=2),
            forgotten=Forgotten(),
            now_seconds=2**40,
        ),
        consumed=(),
        window=ReplayWindow(24),
        quarantine=tmp_path / "quarantine",
        max_refused=0.0,
    )
    assert (read.summary["read"], read.summary["rejected"]) == (3, {})
    knowledge = builder.finish(present=2)
    assert knowledge.rounds[view.user] == 2
    received = unpack_uplink(by_file, file.sizes)
    assert knowledge.items[view.user].tolist() == received.items.tolist()
    values, scales = received.embeddings
    np.testing.assert_array_equal(
        knowledge.embeddings[view.user], values.astype(np.float32) * scales.astype(np.float32)
    )


def test_a_downlink_of_another_item_table_is_refused_and_does_not_move_to_a_new_file(
    tmp_path, packed, works, task_of, weights_of, table, views, downlink
):
    model = DeviceModel(packed("mlp"), runtime=RUNTIME)
    own = digest_of(item_table_file(table, "int8").to_bytes())
    assert model.file.table_sha256 == own
    device = Device.create(tmp_path / "device.state", model, **held(views[3]))
    device.receive(dataclasses.replace(downlink, table_sha256=own))
    before = device.state.as_bytes()
    message = f"belongs to item table {'ab' * 8}…, edge-mlp-trainable-int8.tflite holds {own[:16]}"
    with pytest.raises(DeviceError, match=message):
        device.receive(dataclasses.replace(downlink, table_sha256="ab" * 32))
    assert Device(device.path, model).state.as_bytes() == before
    (file,) = export_edge_model(
        works["mlp"].model,
        weights_of(works["mlp"]),
        dataclasses.replace(table, bias=table.bias + np.float32(1)),
        task=task_of(works["mlp"]),
        out=tmp_path / "newer",
    )
    moved = Device.adopt(device.path, DeviceModel(file.path, runtime=RUNTIME))
    assert moved.state.downlink is None
    assert np.array_equal(moved.weights, device.weights)


def test_a_state_goes_on_bit_by_bit(device, model, plan):
    device.train(plan)
    device.train(plan)
    expected = device.state.as_bytes()
    copied = device.path.with_name("copy.state")
    shutil.copy(device.path, copied)
    other = Device(copied, model)
    assert other.state.as_bytes() == expected
    assert other.state.round_number == 2
    assert other.score([3, 4]).tobytes() == device.score([3, 4]).tobytes()
    device.train(plan)
    other.train(plan)
    assert other.state.as_bytes() == device.state.as_bytes()


def test_devices_of_one_file_do_not_mix(tmp_path, model, views, plan, downlink):
    def life(fleet, users):
        for _ in range(2):
            for user in users:
                fleet[user].take_part(downlink, plan)
        return [fleet[user].state.as_bytes() for user in users]

    users = [view.user for view in views[:3]]
    together, alone = [], []
    for name, groups in (("together", [users]), ("alone", [[user] for user in users])):
        fleet = DeviceFleet(tmp_path / name, model)
        for view in views[:3]:
            fleet.add(**held(view))
        found = together if name == "together" else alone
        for group in groups:
            found += life(fleet, group)
    assert together == alone


def test_interactions_are_trained_on_and_scored_from(device, plan):
    before, samples = device.score([2, 3, 4]), device.train(plan).samples
    device.interact([9, 11])
    assert device.state.history[-2:].tolist() == [9, 11]
    assert device.train(plan).samples == samples + 2 * (1 + device.model.file.samples.negatives)
    assert not np.array_equal(device.score([2, 3, 4]), before)


def test_an_item_that_is_newer_than_the_file_is_left_out_of_training(device, plan, model):
    samples = device.train(plan).samples
    device.interact([model.num_items + 1])
    assert device.train(plan).samples == samples
    assert np.isfinite(device.score([model.num_items + 1])).all()


def test_the_settings_of_the_run_are_those_of_the_device_and_a_plan_may_have_others(
    model, views, config
):
    """The parity tests above hold the defaults against the simulation: here are the others."""
    assert model.file.samples == config.samples
    state = model.begin(**held(views[3]))
    positions = len(views[3].history) - max(views[3].num_older, 1)
    assert positions > 1
    for samples, expected in (
        (None, positions * (1 + config.samples.negatives)),
        (SampleConfig(negatives=1, guard_positions=0), positions * 2),
        (SampleConfig(negatives=5, max_positions=1, guard_positions=2), 6),
    ):
        assert train_round(model, state, TrainingPlan(samples=samples))[1].samples == expected
    steps = train_round(model, state, TrainingPlan(epochs=2, batch_size=2))[1].steps
    assert steps == 2 * positions * (1 + config.samples.negatives) // 2


def test_older_positions_weigh_less_as_on_the_simulations_devices(
    model, views, works, items, config, downlink, plan, weights_of, simulated
):
    samples = dataclasses.replace(config.samples, half_life=1)
    work, plan = works["mlp"], dataclasses.replace(plan, samples=samples)
    state = model.receive(model.begin(**held(views[3])), downlink)
    state, report = train_round(model, state, plan)
    settings = dataclasses.replace(config, samples=samples)
    given = {"items": items, "weights": weights_of(work), "downlink": downlink}
    expected, result = simulated(work, views[3], config=settings, **given)
    assert np.abs(model.weights(state) - expected).max() <= 1e-6
    assert report.loss == pytest.approx(float(result.loss) / float(result.weight), abs=1e-5)
    alike, _ = simulated(work, views[3], config=config, **given)
    assert np.abs(expected - alike).max() > 1e-4


def test_a_file_tells_the_weights_of_samples_where_they_differ(works):
    task = works["mlp"].task
    assert "half_life" not in device_settings(task)["samples"]
    weighed = task.changed(samples=dataclasses.replace(task.samples, half_life=3))
    metadata = json.loads(json.dumps(device_settings(weighed)))
    assert samples_of(metadata) == weighed.samples
    assert check_told(weighed, metadata)
    with pytest.raises(ExportError, match=r"samples\.half_life: the run has 0, the file tells 3"):
        check_told(task, metadata)


def test_a_file_of_before_trains_as_it_did(model):
    metadata = {name: told for name, told in model.file.metadata.items() if name != "samples"}
    assert samples_of(metadata) == SampleConfig(negatives=9, max_positions=128, guard_positions=0)


def test_a_file_that_tells_other_settings_than_the_run_has_is_found(model, works):
    task, metadata = works["mlp"].task, model.file.metadata
    assert "negatives 3, positions 16, held back 0, batch 6, epochs 1" in check_told(task, metadata)
    for section, name, value in (
        ("samples", "max_positions", 7),
        ("training", "epochs", 4),
        ("features", "decays", (1.0,)),
        ("exchange", "clip_norm", 2.0),
    ):
        part = dataclasses.replace(getattr(task, section), **{name: value})
        with pytest.raises(ExportError, match=rf"{section}\.{name}: the run has"):
            check_told(task.changed(**{section: part}), metadata)
    untold = {name: told for name, told in metadata.items() if name != "samples"}
    names = ("group_size", "distillation_loss")
    words = {name: told for name, told in metadata["training"].items() if name not in names}
    assert check_told(task, {**metadata, "training": {**words, "loss": "binary cross-entropy"}})
    with pytest.raises(ExportError, match="negatives: the run has 3, the file tells 9"):
        check_told(task, untold)


def test_negatives_can_be_drawn_anew_in_each_round(tmp_path, model, views, plan, downlink):
    states = {}
    for redraw in (False, True):
        device = Device.create(tmp_path / f"{redraw}", model, **held(views[3]))
        device.receive(downlink)
        device.train(TrainingPlan(seed=plan.seed, redraw=redraw))
        states[redraw] = device.weights
    assert not np.array_equal(states[False], states[True])


def test_a_device_without_interactions_answers_but_learns_nothing(
    tmp_path, model, plan, downlink, views
):
    profile = device_profile(views[0])
    device = Device.create(tmp_path / "new", model, user=99, profile=profile)
    start = device.weights
    report, uplink = device.take_part(downlink, plan)
    assert (report.samples, report.steps, report.loss) == (0, 0, 0.0)
    assert np.array_equal(device.weights, start)
    assert unpack_uplink(uplink, model.file.sizes).user == 99
    record = model.envelope(device.state, uplink, created_at_seconds=1_700_000_000)
    assert (record.user, record.round_number, record.payload) == (99, 0, uplink)


def test_shared_weights_come_from_the_server_private_ones_stay(device, model, downlink):
    private = device.weights[model.shared_size :]
    device.receive(downlink, shared_weights=np.full(model.shared_size, 0.25, np.float32))
    assert 0 < model.shared_size < len(device.weights)
    assert set(device.weights[: model.shared_size]) == {0.25}
    assert np.array_equal(device.weights[model.shared_size :], private)


def test_a_static_file_serves_any_number_of_rows(packed, device, plan, downlink, tmp_path):
    static = DeviceModel(packed("mlp", static=True), runtime=RUNTIME)
    other = Device.create(
        tmp_path / "static",
        static,
        user=device.state.user,
        history=device.state.history,
        profile=device.state.profile,
        num_older=device.state.num_older,
    )
    other.receive(downlink)
    assert (static.file.sizes.batch, static.file.sizes.candidates) == (8, 5)
    assert other.train(plan).steps == device.train(plan).steps
    np.testing.assert_allclose(other.weights, device.weights, atol=1e-6)
    candidates = np.arange(1, 13)
    np.testing.assert_allclose(other.score(candidates), device.score(candidates), atol=1e-5)
    with pytest.raises(DeviceError, match="takes 8 rows, the plan trains batches of 9"):
        other.train(TrainingPlan(batch_size=9))


def test_a_state_of_another_file_is_refused_until_it_is_adopted(packed, device, plan, tmp_path):
    device.train(plan)
    path = tmp_path / "edge-mlp-newer.tflite"
    content = packed("mlp").read_bytes() + b"\0"
    path.write_bytes(content)
    newer = DeviceModel(path, runtime=RUNTIME, sha256=digest(content))
    with pytest.raises(DeviceError, match="belongs to the file with SHA-256"):
        Device(device.path, newer)
    fleet = DeviceFleet(device.path.parent, device.model)
    shutil.copy(device.path, fleet.folder / f"{device.state.user}.state")
    assert fleet.users == [device.state.user]
    adopted = fleet.move_to(newer)[device.state.user]
    assert np.array_equal(adopted.weights, device.weights)
    assert adopted.state.downlink is not None
    other = DeviceModel(packed("linear"), runtime=RUNTIME)
    with pytest.raises(DeviceError, match="not laid out as those of edge-linear"):
        Device.adopt(device.path, other)


def test_a_start_that_came_apart_from_the_file_is_for_devices_that_never_trained(
    works, device, plan, monkeypatch
):
    edge = works["mlp"].model
    start, _ = start_file(edge, edge.layout.initial(11), "int8")
    before = device.state
    device.adopt_start(StartFile.from_bytes(start.to_bytes()))
    np.testing.assert_array_equal(device.weights, start.weights)
    # The optimiser's slots stay as the file begins with them.
    size = len(start.weights)
    np.testing.assert_array_equal(device.state.values[size:], before.values[size:])
    other = works["linear"].model
    wrong, _ = start_file(other, other.layout.initial(0), "int8")
    with pytest.raises(CodecError, match=rf"{other.fingerprint[:16]}.*{edge.fingerprint[:16]}"):
        device.adopt_start(wrong)
    device.train(plan)
    with pytest.raises(DeviceError, match=r"has trained \(rounds: 1\)"):
        device.adopt_start(start)
    monkeypatch.setattr(DeviceModel, "trainable", property(lambda _: False))
    with pytest.raises(DeviceError, match="does not train"):
        device.model.adopt_start(before, start)


def test_what_does_not_fit_is_refused_with_a_reason(device, model, views, downlink):
    with pytest.raises(DeviceError, match="holds a device already"):
        Device.create(device.path, model, **held(views[3]))
    with pytest.raises(DeviceError, match="expected 2 profile values"):
        model.begin(user=1, profile=[1])
    with pytest.raises(DeviceError, match=r"num_older must be in 0\.\.2"):
        model.begin(user=1, profile=[0, 0], history=[1, 2], num_older=3)
    fresh = model.begin(user=1, profile=[0, 0])
    with pytest.raises(DeviceError, match="expected queries to answer"):
        model.uplink(fresh)
    with pytest.raises(DeviceError, match="cloud and edge-mlp"):
        device.receive(ReceivedDownlink(np.zeros(3, np.float32), downlink.queries))
    with pytest.raises(DeviceError, match="expected a list of item ids"):
        device.score([])
    with pytest.raises(DeviceError, match="expected a list of whole numbers"):
        device.interact([1.5])
    with pytest.raises(DeviceError, match=r"or the \d+ shared ones"):
        device.receive(downlink, shared_weights=[0.0])


def test_values_that_the_file_refuses_are_an_error(device, model):
    for value, told in ((np.nan, "expected finite numbers"), (1e9, "refused its values")):
        with pytest.raises(DeviceError, match=told):
            model.with_weights(device.state, np.full(model.file.sizes.weights, value, np.float32))
    assert np.isfinite(device.score([1])).all()


def test_an_altered_file_is_refused_before_it_is_loaded(packed, tmp_path):
    for name in (packed("mlp").name, "manifest.json"):
        shutil.copy(packed("mlp").parent / name, tmp_path)
    path = tmp_path / packed("mlp").name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ExportError, match="damaged or altered"):
        DeviceModel(path, runtime=RUNTIME)


def test_a_missing_runtime_is_told(packed, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ExportError, match="litert is not installed here") as told:
        DeviceModel(packed("mlp"))
    assert "`--runtime tensorflow`" in str(told.value)
    assert "--litert-python" not in str(told.value)  # which no device and no cycle takes


LIFE = """
import sys
for name in ("tensorflow", "keras", "tf_keras"):
    sys.modules[name] = None
import json
from pathlib import Path
import numpy as np
from mobile_export.device import Device, DeviceModel, ReceivedDownlink, TrainingPlan
file, state, given = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
if given is not None:
    device = Device.create(state, DeviceModel(file), **given["held"])
    down = ReceivedDownlink(np.array(given["embedding"], np.int8), given["queries"], scale=2.0**-6)
    plan = TrainingPlan(seed=given["seed"])
    print(device.take_part(down, plan)[1].hex())
"""


def test_it_needs_no_tensorflow(packed, views, downlink, plan, tmp_path, model):
    """Where LiteRT is, a whole life; elsewhere, the import."""
    view = views[3]
    given = {
        "held": {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in held(view).items()
        },
        "embedding": downlink.user_embedding.tolist(),
        "queries": downlink.queries.tolist(),
        "seed": plan.seed,
    }
    done = subprocess.run(
        [
            sys.executable, "-c", LIFE, str(packed("mlp")), str(tmp_path / "state"),
            json.dumps(given if LITERT else None),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if LITERT:
        device = Device.create(tmp_path / "own", model, **held(view))
        assert done.stdout.strip() == device.take_part(downlink, plan)[1].hex()
