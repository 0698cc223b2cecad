import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ecct_tf.config import CODECS
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import build_codec

FINITE = st.floats(-1e6, 1e6, width=32)
TENSORS = arrays(np.float32, array_shapes(min_dims=1, max_dims=3, max_side=5), elements=FINITE)
SMALLEST_NORMAL, SMALLEST = 2.0**-14, 2.0**-24  # of float16


def cross(name, values):
    codec = build_codec(name)
    return np.asarray(codec.decode(codec.encode(tf.constant(values))))


@settings(max_examples=60, deadline=None)
@given(TENSORS)
def test_float32_is_exact(values):
    np.testing.assert_array_equal(cross("float32", values), values)


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float32,
        array_shapes(max_dims=3, max_side=5),
        elements=st.floats(-65504, 65504, width=32),
    )
)
def test_float16_is_relatively_close(values):
    # 11 bits of mantissa; below the smallest normal number the step is constant.
    bound = np.maximum(np.abs(values) * 2.0**-11, SMALLEST)
    assert (np.abs(cross("float16", values) - values) <= bound).all()


@settings(max_examples=60, deadline=None)
@given(TENSORS)
def test_int8_is_within_half_a_step_of_its_row(values):
    codec = build_codec("int8")
    quantised, scale = codec.encode(tf.constant(values))
    scale = np.asarray(scale, np.float64)
    peak = np.abs(values).max(axis=-1, keepdims=True)
    error = np.abs(cross("int8", values) - values)
    assert (error <= scale * 0.5 + peak * 1e-6).all()
    # The step itself is the row's, up to the precision of a float16.
    np.testing.assert_allclose(scale, np.maximum(peak / 127.0, SMALLEST_NORMAL), rtol=2.0**-10)
    assert np.abs(np.asarray(quantised, np.int32)).max() <= 127


def test_int8_by_hand():
    values = np.array([[127.0, -63.4, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
    quantised, scale = build_codec("int8").encode(tf.constant(values))
    assert quantised.numpy().tolist() == [[127, -63, 0, 0], [0, 0, 0, 0]]
    assert scale.numpy().tolist() == [[1.0], [SMALLEST_NORMAL]]


def test_int8_divides_by_the_scale_that_the_receiver_reads():
    # The exact scale is 1.0004, which float16 writes as 1; 120.52 / 1.0004 would round to 120.
    quantised, scale = build_codec("int8").encode(tf.constant([[127.0 * 1.0004, 120.52]]))
    assert scale.numpy().tolist() == [[1.0]]
    assert quantised.numpy().tolist() == [[127, 121]]


@pytest.mark.parametrize("name", CODECS)
def test_zero_rows_stay_zero(name):
    assert not cross(name, np.zeros((2, 3), np.float32)).any()


@pytest.mark.parametrize(("name", "largest"), [("float16", 65504.0), ("int8", 127 * 65504.0)])
def test_huge_values_are_clipped_and_finite(name, largest):
    values = np.array([[3e38, -3e38, 1.0]], np.float32)
    assert cross(name, values)[0, :2].tolist() == [largest, -largest]
    assert np.isfinite(cross(name, values)).all()


@pytest.mark.parametrize("shape", [(7,), (2, 7), (3, 2, 7)])
@pytest.mark.parametrize("name", CODECS)
def test_declared_form_is_the_real_one(name, shape):
    codec = build_codec(name)
    encoded = [part.numpy() for part in codec.encode(tf.ones(shape))]
    assert tuple(part.dtype.type for part in encoded) == codec.dtypes
    assert tuple(part.shape for part in encoded) == codec.shapes(shape)
    rows = int(np.prod(shape[:-1]))
    assert codec.encoded_bytes(rows, 7) == sum(part.nbytes for part in encoded)


@pytest.mark.parametrize(("name", "size"), [("float32", 140), ("float16", 70), ("int8", 45)])
def test_bytes_by_hand(name, size):
    assert build_codec(name).encoded_bytes(5, 7) == size


def test_unknown_codec():
    with pytest.raises(ConfigError, match=r"'float32', 'float16', 'int8'.*'zip'"):
        build_codec("zip")
