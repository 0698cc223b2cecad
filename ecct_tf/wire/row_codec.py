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
from ecct_tf.errors import ConfigError
from ecct_tf.plugins import find_function, guarded

__all__ = ["RowCodec", "custom_codec"]

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
      encode_array: `encode` with NumPy arrays, equal to the last bit; None for none. `check_codec`
        compares the two; nothing else reads it so far, since files name no custom codec.
      decode_array: `decode` likewise.
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
