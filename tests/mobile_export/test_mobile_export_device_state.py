"""The state file of a device: read whole, or refused."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecct_tf.errors import DeviceError
from ecct_tf.wire import DownlinkFile
from ecct_tf.wire.sealed import seal, unseal
from mobile_export.device.state import DeviceState, ReceivedDownlink, read_state, write_state

items = st.lists(st.integers(0, 2**31 - 1), max_size=6)
floats = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=6)


@st.composite
def downlinks(draw):
    dtype = draw(st.sampled_from(["int8", "float16", "float32"]))
    values = draw(st.lists(st.integers(-127, 127), max_size=5))
    return ReceivedDownlink(
        np.array(values, dtype),
        draw(items),
        scale=draw(st.sampled_from([1.0, 0.0123, 2.0**-14])),
        cloud_version=draw(st.integers(0, 9)),
        round_number=draw(st.integers(0, 9)),
    )


@st.composite
def states(draw):
    history = draw(items)
    return DeviceState(
        model=draw(st.text("0123456789abcdef", min_size=4, max_size=4)),
        layout="aa",
        user=draw(st.integers(0, 2**31 - 1)),
        profile=draw(items),
        history=history,
        num_older=draw(st.integers(0, len(history))),
        values=draw(floats),
        downlink=draw(st.none() | downlinks()),
        round_number=draw(st.integers(0, 1000)),
        times=draw(
            st.just([])
            | st.lists(st.integers(0, 2**40), min_size=len(history), max_size=len(history))
        ),
    )


STATE = DeviceState(
    model="0a",
    layout="0b",
    user=7,
    profile=[1, 2],
    history=[3, 1, 4],
    num_older=1,
    values=[0.5, -0.25],
    downlink=ReceivedDownlink(np.array([1, -2], np.int8), [9], scale=0.5),
)


@given(states())
def test_every_state_comes_back(state):
    content = state.as_bytes()
    again = DeviceState.from_bytes(content, name="a state")
    assert again.as_bytes() == content
    assert again.history.tolist() == state.history.tolist()
    assert again.times.tolist() == state.times.tolist()
    assert again.values.tobytes() == state.values.tobytes()
    assert (again.user, again.model, again.num_older) == (state.user, state.model, state.num_older)
    if state.downlink is not None:
        assert again.downlink.user_embedding.dtype == state.downlink.user_embedding.dtype
        assert again.downlink.scale == state.downlink.scale
        assert again.downlink.cloud_version == state.downlink.cloud_version
        assert again.downlink.round_number == state.downlink.round_number


@settings(deadline=None)  # It writes files, however busy the machine is.
@given(data=st.data())
def test_a_truncated_or_altered_file_is_refused_and_left_alone(data, tmp_path_factory):
    content = STATE.as_bytes()
    if data.draw(st.booleans(), label="truncated"):
        damaged = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        flip = data.draw(st.integers(1, 255))
        damaged = content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]
    path = tmp_path_factory.getbasetemp() / "damaged.state"
    path.write_bytes(damaged)
    with pytest.raises(DeviceError, match=r"damaged\.state: .*(is damaged|begins with)"):
        read_state(path)
    assert path.read_bytes() == damaged


def test_a_longer_file_is_refused():
    with pytest.raises(DeviceError, match="is damaged"):
        DeviceState.from_bytes(STATE.as_bytes() + b"\0", name="longer")


def test_a_later_format_is_told():
    content = bytearray(unseal(STATE.as_bytes(), magic=b"ECDS", format_number=1, what=""))
    content[4] = 4
    with pytest.raises(DeviceError, match="expected format 3, found 4"):
        DeviceState.from_bytes(seal(bytes(content)), name="newer")


def test_times_make_a_state_of_format_2_and_a_state_without_any_stays_one_of_format_1():
    plain = STATE.with_interactions([5])
    assert plain.times.tolist() == [0, 0, 0, 0]
    timed = plain.with_interactions([6, 7], times=[1_790_000_000.9, None])
    assert timed.times.tolist() == [0, 0, 0, 0, 1_790_000_000, 0]
    contents = [state.as_bytes() for state in (plain, timed)]
    assert [content[4] for content in contents] == [1, 2]
    # The header of format 1 is what it was before there were times.
    assert b'"arrays":{"profile":["<i4",2],"history":["<i4",4],"values"' in contents[0]
    for state, content in zip((plain, timed), contents, strict=True):
        again = DeviceState.from_bytes(content, name="kept")
        assert again.times.tolist() == state.times.tolist()
        assert again.times.dtype == np.int64


@pytest.mark.parametrize("times", [[1.0], [1.0, 2.0, 3.0]])
def test_each_interaction_has_a_time_of_its_own(times):
    with pytest.raises(DeviceError, match=rf"one for each of 2 interactions, got {len(times)}"):
        STATE.with_interactions([5, 6], times=times)
    with pytest.raises(DeviceError, match="one for each of 4 interactions, got 3"):
        dataclasses.replace(
            STATE.with_interactions([], times=[]), history=[1, 2, 3, 4], times=[1] * 3
        )


@pytest.mark.parametrize("codec", ["int8", "float16", "float32"])
def test_a_downlink_is_read_as_the_cloud_published_it(codec):
    dtype = np.dtype(codec)
    embeddings = (np.array([[1, 2], [3, -4]], dtype), np.array([[0.25], [0.5]], np.float16))
    file = DownlinkFile.build(
        keys_are="users",
        cloud_version=3,
        round_number=8,
        table_sha256="ab" * 32,
        codec=codec,
        keys=np.array([5, 7], np.int32),
        embeddings=embeddings[: 1 + (codec == "int8")],
        queries=np.array([[1, 2, 3], [4, 5, 6]], np.int32),
    )
    found = ReceivedDownlink.read(DownlinkFile.from_bytes(file.to_bytes()), 7)
    assert found.user_embedding.dtype == dtype
    assert found.user_embedding.tolist() == [3, -4]
    assert found.queries.tolist() == [4, 5, 6]
    assert (found.cloud_version, found.round_number) == (3, 8)
    assert found.table_sha256 == "ab" * 32
    kept = dataclasses.replace(STATE, downlink=found)
    again = DeviceState.from_bytes(kept.as_bytes(), name="kept")
    assert again.downlink.table_sha256 == found.table_sha256
    assert found.scale == (0.5 if codec == "int8" else 1.0)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(
        DeviceError, match=r"state of a device, there is none. `Device\.create` makes"
    ):
        read_state(tmp_path / "none.state")


def test_a_write_that_fails_leaves_the_old_state(tmp_path, monkeypatch):
    path = tmp_path / "7.state"
    write_state(path, STATE)

    def fail(descriptor):
        del descriptor
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ecct_tf.files.os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_state(path, STATE.with_interactions([5]))
    assert read_state(path).as_bytes() == STATE.as_bytes()


def test_nobody_can_change_a_state():
    with pytest.raises(ValueError, match="read-only"):
        STATE.values[0] = 1.0
    given = np.array([1, 2], np.int32)
    state = STATE.with_interactions(given)
    given[0] = 9
    assert state.history.tolist() == [3, 1, 4, 1, 2]
    assert STATE.history.tolist() == [3, 1, 4]
