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
from ecct_tf.errors import ConfigError, DeviceError
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.simulation.uplink_log import uplink_records
from mobile_export.contract.wire import pack_uplink, unpack_uplink, uplink_form
from mobile_export.device import Device, DeviceFleet, DeviceModel, TrainingPlan
from mobile_export.device.training import train_round
from mobile_export.making.export import export_edge_model
from mobile_export.runtime.loaded_file import LoadedFile

LITERT = importlib.util.find_spec("ai_edge_litert") is not None
RUNTIME = "litert" if LITERT else "tensorflow"


EXAMPLES = Path(__file__).parents[2] / "examples" / "own_losses"


@pytest.mark.parametrize("tier", ["linear", "mlp", "attention"])
def test_it_trains_and_answers_as_the_simulations_devices(
    tier, packed, works, items, config, views, plan, downlink, weights_of, tmp_path,
    simulated, wire, held,
):  # fmt: skip
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
    simulated, monkeypatch, held,
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
    packed, works, items, config, views, plan, downlink, weights_of, tmp_path, simulated, held
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


def test_devices_of_one_file_do_not_mix(tmp_path, model, views, plan, downlink, held):
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


def test_it_needs_no_tensorflow(packed, views, downlink, plan, tmp_path, model, held):
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
