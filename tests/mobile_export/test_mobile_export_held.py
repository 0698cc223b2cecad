"""Files that take rows of items as an input, and devices that hold such rows."""

import numpy as np
import pytest

from ecct_tf.config import FeatureConfig, SampleConfig
from ecct_tf.errors import ConfigError, DeviceError
from ecct_tf.knowledge.table_files import item_table_file, transmit
from ecct_tf.wire import digest_of
from ecct_tf.wire.item_rows import ItemRows
from mobile_export.checking.verification import verify_file
from mobile_export.contract.held import HeldRoom
from mobile_export.device import Device, DeviceModel, ReceivedDownlink, TrainingPlan
from mobile_export.device.guard import held_back
from mobile_export.device.state import DeviceState
from mobile_export.making.export import Labels, export_edge_model

ROOM = HeldRoom(chosen=8, touched=2, request=3)
CHOSEN = [0, 3, 5, 9, 20, 33, 34, 35, 40]
ROW = {"profile": [1, 0]}
HISTORY = [3, 9, 33, 11, 20, 5, 40]


@pytest.fixture(scope="module")
def work(works):
    return works["linear"]


@pytest.fixture(scope="module")
def table(algorithm):
    """As it is read where devices get single rows."""
    return transmit(algorithm.cloud.publish(), "auto", "int8", whole=False).table


@pytest.fixture(scope="module")
def rows(table):
    """All rows as they are published."""
    file = item_table_file(table, "int8")
    return ItemRows.cut(file, np.arange(41), table_sha256=digest_of(file.to_bytes()))


@pytest.fixture(scope="module")
def path(work, table, task_of, weights_of, tmp_path_factory):
    (file,) = export_edge_model(
        work.model,
        weights_of(work),
        table,
        task=task_of(work),
        out=tmp_path_factory.mktemp("held"),
        labels=Labels(items=[f"item {number}" for number in range(1, 41)]),
        held=ROOM,
    )
    return file.path


@pytest.fixture(scope="module")
def model(path):
    return DeviceModel(path, runtime="tensorflow")


@pytest.fixture(scope="module")
def whole(work, table, task_of, weights_of, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    (file,) = export_edge_model(work.model, weights_of(work), table, task=task_of(work), out=out)
    return DeviceModel(file.path, runtime="tensorflow")


@pytest.fixture
def downlink(work):
    codes = np.arange(work.exchange.cloud_dim).astype(np.int8) * 5
    return ReceivedDownlink(codes, np.array([40, 9, 3, 35]), scale=0.015625)


@pytest.fixture
def device(tmp_path, model, rows, downlink):
    device = Device.create(tmp_path / "7.state", model, user=7, history=HISTORY, num_older=3, **ROW)
    device.receive(downlink, rows=rows.of(CHOSEN))
    return device


@pytest.fixture
def twin(tmp_path, whole, downlink):
    """The same device with the whole table, which never met item 11."""
    history = [item for item in HISTORY if item != 11]
    device = Device.create(
        tmp_path / "twin.state", whole, user=7, history=history, num_older=3, **ROW
    )
    device.receive(downlink)
    return device


def test_the_file_has_room_for_rows_and_no_list_of_items(path, model):
    told = model.file.metadata["items"]
    assert told["file"] is None
    assert told["held"]["catalog"] == model.num_items == 40
    assert told["rows"] == ROOM.rows == 14
    assert b"item 39" not in path.read_bytes()
    (port,) = [each for each in model.file.contract["score"].inputs if each.name == "item_rows"]
    assert port.shape == (14, 4 + told["held"]["row_bytes"])


def test_it_scores_and_answers_as_a_device_with_the_whole_table(device, twin):
    assert device.score([5, 33, 40]).tobytes() == twin.score([5, 33, 40]).tobytes()
    assert device.uplink() == twin.uplink()


def test_it_trains_on_its_rows_alone(device):
    before = device.weights
    report = device.train(TrainingPlan(seed=3))
    # Item 11 has no row: three of four recent interactions are left, each with three negatives.
    assert report.samples == 3 * 4
    assert report.steps > 0
    assert not np.array_equal(device.weights, before)


def test_a_request_brings_rows_of_its_candidates(device, twin, rows):
    asked = [1, 2, 5, 6, 7, 8, 9, 10, 12]
    with pytest.raises(DeviceError, match="none of 7"):
        device.score(asked)
    found = device.score(asked, rows=rows.of(asked))
    # The file has room for 5 of them at once.
    np.testing.assert_allclose(found, twin.score(asked), rtol=1e-5)
    assert device.state.rows.items.tolist() == CHOSEN


def test_what_the_user_touches_keeps_its_row_and_the_newest_stay(device, rows, twin):
    device.interact([12], rows=rows.of([12, 13]))
    assert device.state.rows.items.tolist() == sorted([*CHOSEN, 12])
    twin.interact([12])
    assert device.score([5, 33]).tobytes() == twin.score([5, 33]).tobytes()
    device.interact([13, 14], rows=rows.of([13, 14]))
    assert device.state.rows.items.tolist() == sorted([*CHOSEN, 13, 14])
    # They are no negatives: those come from what the cloud chose.
    assert device.state.rows.pool.tolist() == CHOSEN[1:]


def test_it_judges_its_training_by_its_rows(device):
    samples = SampleConfig(guard_positions=1)
    held = held_back(device.state, num_items=40, samples=samples, features=FeatureConfig())
    assert held.candidates[:, 0].tolist() == [40]
    assert set(held.candidates[:, 1:].ravel().tolist()) == {34, 35}


def test_a_newer_choice_takes_the_place_of_the_older_and_leaves_what_was_touched(device, rows):
    device.interact([12], rows=rows.of([12]))
    device.hold(rows.of([0, 1, 2]))
    # 20, 5 and 40 were touched too; there is room for the newest two.
    assert device.state.rows.items.tolist() == [0, 1, 2, 12, 40]


def test_it_recommends_among_its_rows(device):
    found = [item for item, _ in device.recommend(k=50)]
    assert sorted(found) == [34, 35]
    assert len(device.recommend(k=50, with_met=True)) == len(CHOSEN) - 1


def test_its_state_keeps_the_rows(device, model):
    again = Device(device.path, model)
    assert again.state.as_bytes() == device.state.as_bytes()
    np.testing.assert_array_equal(again.state.rows.rows, device.state.rows.rows)
    assert again.score([5, 33]).tobytes() == device.score([5, 33]).tobytes()
    told = again.export_personal_data()["rows"]
    assert told == {"items": CHOSEN, "chose": CHOSEN}


def test_an_answer_names_no_item_but_those_that_the_cloud_asked_about(device, rows):
    device.interact([12], rows=rows.of([12]))
    sent = np.frombuffer(device.uplink()[4:20], "<i4")
    assert sent.tolist() == [40, 9, 3, 35]


def test_a_question_without_a_row_is_refused(tmp_path, model, rows, downlink):
    device = Device.create(tmp_path / "8.state", model, user=8, history=HISTORY, **ROW)
    with pytest.raises(DeviceError, match=r"takes rows of items, .* got none"):
        device.recommend()
    device.receive(downlink, rows=rows.of([0, 3, 9]))
    with pytest.raises(DeviceError, match="no row of 2"):
        device.uplink()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda rows: rows.of(range(10)), "room for 8"),
        (lambda rows: rows.of([1, 2]), "padding row first"),
        (lambda rows: ItemRows("cd" * 32, rows.items, rows.rows), "item table"),
    ],
)
def test_rows_that_do_not_fit_are_refused(device, rows, wrong, told):
    kept = device.state
    with pytest.raises(DeviceError, match=told):
        device.hold(wrong(rows))
    assert device.state is kept


def test_a_file_with_the_whole_table_takes_no_rows(twin, rows):
    with pytest.raises(DeviceError, match=r"exchange\.items=candidates"):
        twin.hold(rows.of(CHOSEN))


def test_rows_of_an_older_table_are_dropped_when_another_file_takes_over(device, whole):
    adopted = Device.adopt(device.path, whole)
    assert adopted.state.rows is None
    assert any("rows of items were dropped" in note for note in adopted.migration.notes)


def test_a_state_without_rows_is_written_as_before(twin):
    assert b"row_items" not in twin.state.as_bytes()
    assert DeviceState.from_bytes(twin.state.as_bytes(), name="x").rows is None


def test_a_variant_that_keeps_rows_otherwise_is_refused(work, table, task_of, weights_of, tmp_path):
    for variant in ("trainable-int4", "inference-int8"):
        with pytest.raises(ConfigError, match="such as trainable-int8"):
            export_edge_model(
                work.model,
                weights_of(work),
                table,
                task=task_of(work),
                out=tmp_path,
                variants=[variant],
                held=ROOM,
            )


def test_it_is_verified_as_a_file_and_the_rest_is_told(path):
    class Named:
        name = "litert"

    checks = verify_file(path, [Named()], examples=[], damaged=2)
    assert [each.passed for each in checks[:-1]] == [True] * (len(checks) - 1)
    assert checks[-1].passed is None
    assert "runtime.real_devices" in checks[-1].found
