"""What a device must refuse, and what two of its users at once must not lose.

The file is the one that the Kotlin tests read: nothing has to be converted.
"""

import dataclasses
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.errors import CodecError, DeviceError
from ecct_tf.wire import DownlinkFile
from mobile_export.device import (
    Device,
    DeviceFleet,
    DeviceModel,
    ReceivedDownlink,
    TrainingPlan,
)
from mobile_export.device.state import DeviceState

GOLDEN = (
    Path(__file__).parents[2] / "mobile_export/android/ecct-edge-core/src/test/resources/golden"
)
RUNTIME = "litert" if importlib.util.find_spec("ai_edge_litert") else "tensorflow"
DOWNLINK = ReceivedDownlink(np.arange(-4, 4, dtype=np.int8), [5, 1, 40, 7], scale=2.0**-6)
HISTORY = [3, 1, 4, 15, 9, 26]


@pytest.fixture(scope="module")
def model():
    return DeviceModel(GOLDEN / "edge.tflite", runtime=RUNTIME)


@pytest.fixture
def device(tmp_path, model):
    found = Device.create(
        tmp_path / "states" / "7.state", model, user=7, history=HISTORY, profile=[1, 0], num_older=2
    )
    found.receive(DOWNLINK)
    return found


def unchanged(device):
    """Whether the file and the device hold the same sound state."""
    return Device(device.path, device.model).state.as_bytes() == device.state.as_bytes()


@pytest.mark.parametrize("scale", [np.nan, np.inf, -0.5, 1e9, "2", None, True])
def test_a_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(DeviceError, match=r"downlink: scale: expected a number in 0\.\.65504"):
        dataclasses.replace(DOWNLINK, scale=scale)


def published(keys_are):
    """A file whose records are `DOWNLINK`, for two users or segments."""
    embeddings = np.tile(DOWNLINK.user_embedding, (2, 1)), np.full((2, 1), 2.0**-6, np.float16)
    return DownlinkFile.build(
        keys_are=keys_are,
        cloud_version=3,
        round_number=5,
        table_sha256="0" * 64,
        codec="int8",
        keys=np.array([3, 7], np.int32),
        embeddings=embeddings,
        queries=np.tile(DOWNLINK.queries, (2, 1)),
    )


def test_a_downlink_that_says_another_user_is_refused_and_one_that_says_none_is_taken(device):
    def own(found):
        return dataclasses.replace(found, table_sha256="")

    others = [
        own(ReceivedDownlink.read(published("users"), 3)),
        dataclasses.replace(DOWNLINK, user=20),
    ]
    for other in others:
        message = f"expected one of user 7, whose device this is, got one of user {other.user};"
        with pytest.raises(DeviceError, match=message):
            device.receive(other)
        with pytest.raises(DeviceError, match=message):
            device.take_part(other, TrainingPlan())
        assert unchanged(device)
    assert device.state.downlink.cloud_version == 0
    # Of a segment, whose key is none of a user; the device's own; and one that says nothing.
    segment = ReceivedDownlink.read(published("segments"), 3)
    assert segment.user is None
    for taken in (segment, ReceivedDownlink.read(published("users"), 7)):
        device.receive(own(taken))
        assert unchanged(device)
    device.receive(DOWNLINK)
    with pytest.raises(DeviceError, match="downlink: user"):
        dataclasses.replace(DOWNLINK, user=-1)


@pytest.mark.parametrize("codec", ["float16", "float32"])
def test_an_embedding_that_is_not_finite_is_refused(codec):
    values = np.array([0.5, np.inf], codec)
    with pytest.raises(DeviceError, match=r"user embedding: expected finite numbers, got inf at"):
        ReceivedDownlink(values, [1])


@pytest.mark.parametrize(("codec", "value"), [("int8", "scale"), ("float16", "embedding")])
def test_a_file_of_downlinks_has_finite_numbers_only(codec, value):
    embeddings = [np.ones((2, 3), codec), np.ones((2, 1), np.float16)][: 1 + (codec == "int8")]
    embeddings[-1][1, 0] = np.nan
    with pytest.raises(CodecError, match=rf"{value} of key 9: expected finite numbers"):
        DownlinkFile.build(
            keys_are="users",
            cloud_version=1,
            round_number=1,
            table_sha256="ab" * 32,
            codec=codec,
            keys=np.array([4, 9], np.int32),
            embeddings=tuple(embeddings),
            queries=np.ones((2, 4), np.int32),
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_shared_weights_that_the_file_refuses_never_reach_the_disk(device, value):
    weights = np.zeros(device.model.shared_size, np.float32)
    weights[3] = value
    with pytest.raises(DeviceError, match=r"expected finite numbers|refused its values"):
        device.receive(DOWNLINK, shared_weights=weights)
    with pytest.raises(DeviceError, match=r"expected finite numbers|refused its values"):
        device.take_part(DOWNLINK, TrainingPlan(), shared_weights=weights)
    assert unchanged(device)


def test_a_state_of_values_that_are_not_finite_cannot_be_made(device):
    with pytest.raises(DeviceError, match="values: expected finite numbers"):
        dataclasses.replace(device.state, values=np.full(333, np.nan))


@pytest.mark.parametrize("item", [2**32 + 5, 2**31, 2**64 + 5, -1])
def test_an_item_id_that_would_wrap_is_refused(device, item):
    for call in (device.score, device.interact):
        with pytest.raises(DeviceError, match=r"expected (row|a list of whole) numbers"):
            call([5, item])
    with pytest.raises(DeviceError, match=r"queries: expected (row|a list of whole) numbers"):
        dataclasses.replace(DOWNLINK, queries=[5, 1, 40, item])
    assert unchanged(device)


@pytest.mark.parametrize("user", [-5, "bob", 2**40, 2**31, 1.0, True, None])
def test_a_user_that_no_payload_can_name_is_refused(tmp_path, model, user):
    told = r"device: user: expected a whole number in 0\.\.2147483647, got"
    with pytest.raises(DeviceError, match=told):
        Device.create(tmp_path / "a.state", model, user=user, profile=[0, 0])
    with pytest.raises(DeviceError, match=told):
        DeviceFleet(tmp_path, model).add(user, profile=[0, 0])
    assert not list(tmp_path.iterdir())
    keys = DownlinkFile.from_bytes(_published(round_number=1))
    if user is not True:
        with pytest.raises(CodecError, match="key"):
            keys.of(user)


def test_a_user_of_numpy_is_a_user(tmp_path, model):
    device = DeviceFleet(tmp_path, model).add(np.int64(4), profile=[0, 0])
    assert type(device.state.user) is int
    assert unchanged(device)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": -1}, {"epochs": 0}, {"epochs": 1.5}, {"batch_size": -2}, {"batch_size": 0},
        {"learning_rate": np.nan}, {"private_learning_rate": np.inf}, {"learning_rate": -0.1},
        {"learning_rate": 2}, {"seed": -1}, {"seed": "x"},
    ],
)  # fmt: skip
def test_a_plan_that_cannot_train_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(DeviceError, match=f"plan: {name}: expected a"):
        TrainingPlan(**wrong)


def test_an_older_downlink_never_replaces_a_newer_one(device):
    newest = dataclasses.replace(DOWNLINK, cloud_version=3, round_number=8)
    device.receive(newest)
    for version, number in ((3, 7), (2, 8), (9, 7)):
        older = dataclasses.replace(DOWNLINK, cloud_version=version, round_number=number)
        with pytest.raises(DeviceError, match=rf"is of round {number} and version {version}, the"):
            device.receive(older)
        with pytest.raises(DeviceError, match="fetch what the cloud publishes now"):
            device.take_part(older, TrainingPlan())
    assert device.state.downlink.round_number == 8
    assert unchanged(device)
    device.receive(newest)
    # A rolled back cloud publishes an older version for a newer round.
    device.receive(dataclasses.replace(DOWNLINK, cloud_version=2, round_number=9))
    assert device.state.downlink.cloud_version == 2


def test_of_two_openers_the_later_one_is_refused_and_no_round_is_lost(device):
    other = Device(device.path, device.model)
    assert device.train(TrainingPlan()).steps > 0
    for change in (
        lambda: other.train(TrainingPlan()),
        lambda: other.interact([2]),
        lambda: other.receive(DOWNLINK),
    ):
        with pytest.raises(DeviceError, match="another opener changed this state"):
            change()
    assert Device(device.path, device.model).state.round_number == 1
    device.train(TrainingPlan())
    assert unchanged(device)
    device.path.unlink()
    with pytest.raises(DeviceError, match="another opener removed this state"):
        device.interact([2])
    assert not device.path.exists()


WRITER = """
import sys
from pathlib import Path
import numpy as np
from ecct_tf.errors import DeviceError
from mobile_export.device.state_file import StateFile
path, written = Path(sys.argv[1]), 0
print("ready", flush=True)
sys.stdin.readline()
while written < 20:
    file = StateFile(path)
    state = file.read()
    try:
        file.replace(state.with_interactions([1]))
        written += 1
    except DeviceError:
        continue
"""


def test_processes_that_write_one_state_lose_nothing(device):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(device.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    for process in started:
        process.stdin.close()
        process.stdout.close()
    assert len(Device(device.path, device.model).state.history) == len(HISTORY) + 40


def test_threads_on_one_device_and_its_model_score_and_train_as_one_after_another(device, model):
    other = model.receive(
        model.begin(user=8, history=[2, 7, 30], profile=[0, 1], num_older=0), DOWNLINK
    )
    other = model.with_weights(other, model.weights(other) + np.float32(0.5))
    wanted = [device.score([2, 3, 4]).tobytes(), model.score(other, [2, 3, 4]).tobytes()]
    assert wanted[0] != wanted[1]
    wrong, rounds = [], 5

    def score(which):
        for _ in range(60):
            state = (start, other)[which]
            if model.score(state, [2, 3, 4]).tobytes() != wanted[which]:
                wrong.append(which)

    def change():
        for _ in range(rounds):
            device.train(TrainingPlan())
            device.interact([11])

    start = device.state
    threads = [threading.Thread(target=score, args=(which,)) for which in (0, 1, 0, 1)]
    threads += [threading.Thread(target=change) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert device.state.round_number == 2 * rounds
    assert len(device.state.history) == len(HISTORY) + 2 * rounds
    assert unchanged(device)


@pytest.mark.parametrize("label", [np.nan, np.inf, -np.inf])
def test_a_label_that_is_no_number_is_no_negative(model, label):
    """Its row counts for nothing: the step is that of the other rows alone."""
    state = model.begin(user=1, history=HISTORY, profile=[1, 0])
    rows = {
        "history": np.tile(np.array([0, 0, 0, 3, 1, 4], np.int32), (3, 1)),
        "candidates": np.array([5, 9, 30], np.int32),
        "labels": np.array([1.0, 0.0, 0.0], np.float32),
        "mask": np.ones(3, np.float32),
        "learning_rate": np.array([0.5], np.float32),
        "private_learning_rate": np.array([0.5], np.float32),
    }

    def weights(**changes):
        user = model.begin_training(state)
        applied = model.train_batch({**rows, **user, **changes})["applied"][0]
        return applied, model.end_training(state).values.tobytes()

    labels = np.array([1.0, 0.0, label], np.float32)
    mask = np.array([1.0, 1.0, 0.0], np.float32)
    assert weights(labels=labels) == weights(mask=mask)
    assert weights(labels=labels) != weights()
    assert weights(labels=np.full(3, label, np.float32))[0] == 0


@pytest.mark.parametrize("history", [[], [3], [3, 1]])
def test_with_nothing_to_train_on_no_round_is_counted(tmp_path, model, history):
    """As in Kotlin: a report of zeros, the weights as they were, and the answer goes out."""
    device = Device.create(
        tmp_path / "a", model, user=1, history=history, num_older=len(history), profile=[0, 0]
    )
    before = device.weights
    report, answer = device.take_part(DOWNLINK, TrainingPlan())
    assert dataclasses.astuple(report) == (0, 0, 0, 0.0, {})
    assert (device.state.round_number, len(answer)) == (0, 4 + 4 * (4 + 3 + 2 + 1) + 2)
    np.testing.assert_array_equal(device.weights, before)


@pytest.mark.parametrize("left", [0, 1])
def test_a_user_who_met_every_item_has_nothing_to_train_on_and_answers(tmp_path, model, left):
    history = np.arange(1, model.num_items + 1 - left)
    device = Device.create(tmp_path / "a", model, user=1, history=history, profile=[0, 0])
    before = device.weights
    report, answer = device.take_part(DOWNLINK, TrainingPlan())
    # With one item left for negatives it trains.
    assert (report.samples > 0, device.state.round_number) == (bool(left), left)
    assert len(answer) == 4 + 4 * (4 + 3 + 2 + 1) + 2
    assert (device.weights != before).any() == bool(left)
    assert (device.train(TrainingPlan()).steps > 0) == bool(left)


def test_a_sealed_state_whose_header_lacks_something_is_told():
    state = DeviceState(
        model="a", layout="b", user=1, profile=[], history=[], num_older=0, values=[]
    )
    from ecct_tf.wire.sealed import seal

    for old, new in ((b'"user"', b'"usar"'), (b'"round":0', b'"round":x'), (b"<i4", b"?x4")):
        content = seal(state.as_bytes()[:-32].replace(old, new))
        with pytest.raises(DeviceError, match=r"kept\.state: .*(expected|begin)"):
            DeviceState.from_bytes(content, name="kept.state")


def _published(*, round_number):
    return DownlinkFile.build(
        keys_are="users",
        cloud_version=1,
        round_number=round_number,
        table_sha256="ab" * 32,
        codec="int8",
        keys=np.array([4, 9], np.int32),
        embeddings=(np.ones((2, 3), np.int8), np.ones((2, 1), np.float16)),
        queries=np.ones((2, 4), np.int32),
    ).to_bytes()
