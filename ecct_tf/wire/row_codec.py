"""Codecs that a user brings: each row of numbers becomes a row of bytes. No TensorFlow.

A custom codec is a function that returns a `RowCodec`, by `module:name` or registered under the
entry point group `ecct_tf.codecs`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config.codec_names import CodecName, codec_target, is_own_codec
from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.plugins import find_function, guarded

__all__ = ["RowCodec", "array_codec", "custom_codec", "decoded_rows", "encoded_rows"]

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class RowCodec:
    """A way to write rows of numbers as bytes.

    All that is known of a row when it is read are its bytes and its width: whatever else decoding
    needs, such as a scale, stands among the bytes. Rows do not depend on each other.

    Attributes:
      row_bytes: bytes of a row of `width` numbers, for any width of at least 1.
      encode: `[..., width] float32 -> [..., row_bytes(width)] uint8`, in TensorFlow operators, for
        any number of leading axes. Equal rows give equal bytes. It is also given numbers beyond
        the range of the codec, which it clips, and NaN, which it must not hide: the row decodes to
        NaN or infinity then, or encoding raises.
      decode: `[..., row_bytes(width)] uint8` and `width` to `[..., width] float32`. Of bytes that
        `encode` cannot have made it returns anything of that form, or NaN, which is refused where
        bytes are received.
      error: largest distance of a decoded number from what was encoded, as a share of the largest
        absolute value of its row, of rows where that is between 2**-7 and 2**15.
      encode_array: `encode` with NumPy arrays, equal to the last bit; None for none. Devices write
        with it outside a simulation, where there may be no TensorFlow.
      decode_array: `decode` likewise: devices read downlinks with it, jobs the uplink log.
    """

    row_bytes: Callable[[int], int]
    encode: Callable[[Any], Any]
    decode: Callable[[Any, int], Any]
    error: float
    encode_array: Callable[[Array], Bytes] | None = None
    decode_array: Callable[[Bytes, int], Array] | None = None


@functools.lru_cache(maxsize=32)
def custom_codec(name: CodecName) -> RowCodec:
    """The codec that a name stands for, which is not the library's own.

    Raises:
      ConfigError: nothing has the name, its module cannot be imported, or its function fails or
        returns something else.
    """
    what = f"codec {name!r}"
    if is_own_codec(name):
        raise ConfigError(f"{what}: expected a custom codec, got one of the library's")
    function = find_function(codec_target(name), what=what)
    with guarded(f"{what}: its function", module=function.__module__):
        found = function()
    if not isinstance(found, RowCodec):
        raise ConfigError(
            f"{what}: expected its function to return an ecct_tf.knowledge.RowCodec, got "
            f"{type(found).__name__}"
        )
    for width in (1, 7, 24):
        with guarded(f"{what}: row_bytes({width})", module=function.__module__):
            length = found.row_bytes(width)
        if not isinstance(length, int) or length < 1:
            raise ConfigError(
                f"{what}: row_bytes({width}): expected a whole number above 0, got {length!r}"
            )
    if not isinstance(found.error, float | int) or not 0 <= found.error < 1:
        raise ConfigError(
            f"{what}: error: expected the largest error as a share of a row's largest absolute "
            f"value, at least 0 and below 1, got {found.error!r}"
        )
    return found


def array_codec(name: CodecName) -> RowCodec:
    """A custom codec with its NumPy form.

    Raises:
      ConfigError: as for `custom_codec`, or it has no NumPy form.
    """
    found = custom_codec(name)
    if found.encode_array is None or found.decode_array is None:
        raise ConfigError(
            f"codec {name!r}: expected encode_array and decode_array, with which uplink logs, "
            "exported files, devices and jobs write and read rows without TensorFlow, got none; "
            "add them to its RowCodec (docs/extend_codec.md)"
        )
    return found


def encoded_rows(name: CodecName, values: Array) -> Bytes:
    """Rows of a custom codec.

    Args:
      name: of the codec.
      values: `[..., width] float32`.

    Returns:
      `[..., row_bytes(width)] uint8`.

    Raises:
      ConfigError: it has no NumPy form, fails, or makes something else.
    """
    codec = array_codec(name)
    given = np.ascontiguousarray(values, np.float32)
    with guarded(f"codec {name!r}: encode_array", module=_module(name)):
        # Not None, as `array_codec` says.
        found = codec.encode_array(given) if codec.encode_array else None
    shape = (*given.shape[:-1], codec.row_bytes(given.shape[-1]))
    return _of_form(found, np.dtype(np.uint8), shape, what=f"codec {name!r}: encode_array")


def decoded_rows(name: CodecName, content: Bytes, width: int) -> Array:
    """Numbers out of rows of a custom codec; damaged rows may give NaN.

    Args:
      name: of the codec.
      content: `[..., row_bytes(width)] uint8`.
      width: numbers in a row.

    Returns:
      `[..., width] float32`.

    Raises:
      CodecError: rows of another length.
      ConfigError: it has no NumPy form, fails, or makes something else.
    """
    codec = array_codec(name)
    if content.shape[-1] != codec.row_bytes(width):
        raise CodecError(
            f"codec {name!r}: expected rows of {codec.row_bytes(width)} bytes for {width} numbers, "
            f"got {content.shape[-1]}"
        )
    given = np.ascontiguousarray(content)
    with guarded(f"codec {name!r}: decode_array", module=_module(name)), np.errstate(all="ignore"):
        found = codec.decode_array(given, width) if codec.decode_array else None
    shape = (*given.shape[:-1], width)
    return _of_form(found, np.dtype(np.float32), shape, what=f"codec {name!r}: decode_array")


def _module(name: CodecName) -> str:
    return codec_target(name).partition(":")[0]


def _of_form(
    found: Any, dtype: np.dtype[Any], shape: tuple[int, ...], *, what: str
) -> npt.NDArray[Any]:
    got: npt.NDArray[Any] = np.asarray(found)
    if got.dtype != dtype or got.shape != shape:
        raise ConfigError(
            f"{what}: expected {list(shape)} {dtype}, got {list(got.shape)} {got.dtype}"
        )
    return got
