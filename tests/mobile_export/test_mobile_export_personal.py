"""What a device shows its user, and how it forgets: recommendations, personal data, erasure."""

import importlib.util
import json

import numpy as np
import pytest

from ecct_tf.errors import DeviceError
from mobile_export.device import Device, DeviceFleet, DeviceModel, ReceivedDownlink

LITERT = importlib.util.find_spec("ai_edge_litert") is not None
RUNTIME = "litert" if LITERT else "tensorflow"
HISTORY, TIMES = [3, 1, 4], [1_700_000_000, None, 1_700_000_060]


@pytest.fixture(scope="module")
def model(packed):
    return DeviceModel(packed("mlp"), runtime=RUNTIME)


@pytest.fixture
def device(tmp_path, model):
    path = tmp_path / "states" / "7.state"
    return Device.create(
        path, model, user=7, profile=[1, 0], history=HISTORY, num_older=2, times=TIMES
    )


def test_the_best_items_are_those_that_score_highest(device, model):
    logits = device.score(np.arange(1, model.num_items + 1))
    order = [int(row) for row in np.argsort(-logits, kind="stable") + 1]
    best = device.recommend(5)
    assert [item for item, _ in best] == [item for item in order if item not in HISTORY][:5]
    assert [logit for _, logit in best] == [float(logits[item - 1]) for item, _ in best]
    everything = device.recommend(model.num_items + 9, with_met=True)
    assert [item for item, _ in everything] == order


def test_candidates_narrow_it_and_nothing_is_left_of_what_was_met(device, model):
    chosen = {item for item, _ in device.recommend(candidates=[9, 2, 2, 3, model.num_items + 1])}
    assert chosen == {9, 2}
    assert device.recommend(candidates=HISTORY) == []
    with pytest.raises(DeviceError, match="k of 1 or more"):
        device.recommend(0)
    with pytest.raises(DeviceError, match="candidates"):
        device.recommend(candidates=["tt0111161"])


def test_personal_data_is_all_that_the_state_keeps(device, model):
    embedding = np.zeros(model.file.metadata["exchange"]["cloud_dim"], np.int8)
    device.receive(ReceivedDownlink(embedding, np.array([5, 6, 7, 8]), scale=0.5, round_number=2))
    told = json.loads(json.dumps(device.export_personal_data()))
    assert told["user"] == 7
    assert [each["item"] for each in told["interactions"]] == HISTORY
    assert [each["time"] for each in told["interactions"]] == TIMES
    assert [each["known_to_cloud"] for each in told["interactions"]] == [True, True, False]
    assert told["weights"] == device.state.values.tolist()
    assert (told["downlink"]["queries"], told["downlink"]["round_number"]) == ([5, 6, 7, 8], 2)
    # A field that is added to the state must be shown as well.
    shown = {"history", "times", "num_older", "values", "round_number", "layout"}
    # With each interaction, of a file that reads one: test_mobile_export_context.py.
    shown |= {"context", "context_values"}
    # Rows of items, where a file takes them, have a test of their own.
    assert set(vars(device.state)) - shown - {"rows"} <= set(told)


def test_what_is_forgotten_is_in_no_file(device, model):
    left_by_a_kill = device.path.with_name(f".{device.path.name}.part")
    left_by_a_kill.write_bytes(device.path.read_bytes()[:100])
    device.forget()
    assert [path.name for path in device.path.parent.iterdir()] == [".states.lock"]
    for use in (
        lambda: device.interact([2]),
        lambda: device.recommend(3),
        lambda: device.export_personal_data(),
        lambda: device.state,
    ):
        with pytest.raises(DeviceError, match=r"was forgotten; `Device\.create` begins"):
            use()
    device.forget()
    with pytest.raises(DeviceError):
        Device(device.path, model)
    again = Device.create(device.path, model, user=7, profile=[0, 0])
    assert not len(again.state.history)
    device.forget()
    assert Device(device.path, model).state.user == 7, "the new device is not the forgotten one"


def test_of_two_openers_the_later_one_does_not_forget_what_the_first_learned(device, model):
    other = Device(device.path, model)
    other.interact([2])
    with pytest.raises(DeviceError, match="another opener changed"):
        device.forget()
    assert Device(device.path, model).state.history.tolist() == [*HISTORY, 2]


def test_paths_may_be_texts(device, model, packed):
    text = str(device.path)
    assert Device(text, model).state.history.tolist() == HISTORY
    assert DeviceFleet(str(device.path.parent), model).users == [7]
    assert DeviceModel(str(packed("mlp")), runtime=model.runtime).file.sha256 == model.file.sha256
