"""Forms of the item table beyond the codecs of all that crosses: smaller, and for tables alone.

A table is written once and read often, by devices that gather few of its rows: a form may take
its time to encode, and may keep what all rows need, such as a codebook, beside them. `int4` is
here, what is left of it without spare bits in `ecct_tf.knowledge.compact_rows`, product codes in
`ecct_tf.knowledge.product_codes`, and a custom form is a function
that returns a `TableCodec`, by `module:name` or registered under `ecct_tf.table_codecs`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CODECS
from ecct_tf.config.table_names import own_table_forms, table_target
from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.plugins import find_function, guarded

__all__ = ["EncodedRows", "TableCodec", "build_table_codec", "int4", "pack_int4", "unpack_int4"]

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_FLOAT16_MAX = 65504.0
_INT4_MAX = 7.0
# The smallest normal float16, as in the int8 codec.
_SMALLEST_SCALE = 2.0**-14


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedRows:
    """One section of the table, encoded.

    Attributes:
      rows: `[items + 1, row_bytes] uint8`.
      shared: what all rows need to be read; it crosses once.
    """

    rows: Bytes
    shared: bytes = b""


@dataclasses.dataclass(frozen=True)
class TableCodec:
    """A way to write the sections of an item table (a block's side, attributes, cloud embedding).

    Attributes:
      encode: `[items + 1, width] float32`, finite, row 0 zeros, width at least 1, to its encoded
        rows. Equal values must give equal bytes, and what was decoded must encode to the same
        bytes again, since tables are kept as devices read them.
      decode: encoded rows and width to `[items + 1, width] float32`.
      kinds: other codecs, for sections of a kind: `source` and `target` of a block, `both` where
        these are one, `attributes`, and `cloud` for columns that the cloud embedding alone has.
    """

    encode: Callable[[Array], EncodedRows]
    decode: Callable[[EncodedRows, int], Array]
    kinds: Mapping[str, "TableCodec"] = dataclasses.field(default_factory=dict)

    def of(self, kind: str) -> "TableCodec":
        """The codec of sections of `kind`."""
        return self.kinds.get(kind, self)


@functools.lru_cache(maxsize=16)
def build_table_codec(name: str, *, setting: str = "exchange.item_table") -> TableCodec:
    """The form that a name stands for; one that is not the library's own is tried once.

    Args:
      name: not one of `CODECS`, whose form all that crosses has.
      setting: where it stands, for messages.

    Raises:
      ConfigError: nothing has the name, its function fails or returns something else, or what it
        returns does not keep the promises of `TableCodec`.
    """
    if name in CODECS:
        raise ConfigError(f"{setting}: {name} is a codec of all that crosses, use build_codec")
    what = f"{setting}: form {name!r}"
    function = find_function(table_target(name, setting=setting), what=what)
    with guarded(f"{what}: its function", module=function.__module__):
        found = function()
    if not isinstance(found, TableCodec):
        raise ConfigError(
            f"{what}: expected its function to return an ecct_tf.knowledge.TableCodec, got "
            f"{type(found).__name__}"
        )
    if name not in own_table_forms():
        for codec in (found, *found.kinds.values()):
            _try(codec, what=what, module=function.__module__)
    return found


def _try(codec: TableCodec, *, what: str, module: str) -> None:
    """Refuses a form that does not do what `TableCodec` says, on a small table."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((9, 5)).astype(np.float32)
    values[0] = 0.0
    with guarded(what, module=module):
        encoded = codec.encode(values.copy())
        decoded = codec.decode(encoded, values.shape[1])
        again = codec.encode(decoded.copy())
    rows = encoded.rows
    if rows.dtype != np.uint8 or rows.ndim != 2 or len(rows) != len(values):
        raise ConfigError(
            f"{what}: expected encoded rows [{len(values)}, bytes] uint8, got "
            f"{list(rows.shape)} {rows.dtype}"
        )
    if (
        decoded.shape != values.shape
        or decoded.dtype != np.float32
        or not np.isfinite(decoded).all()
    ):
        raise ConfigError(
            f"{what}: expected decoded rows {list(values.shape)} float32 without NaN, got "
            f"{list(decoded.shape)} {decoded.dtype}"
        )
    if not np.array_equal(again.rows, rows) or again.shared != encoded.shared:
        raise ConfigError(
            f"{what}: expected what was decoded to encode to the same bytes again, they differ; "
            "derive scales and codebooks from the values alone, in one order"
        )


def int4() -> TableCodec:
    """Two values of -7..7 in a byte, and a float16 scale for each row of a section."""
    return TableCodec(_encode_int4, _decode_int4)


def pack_int4(values: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Two values of -7..7 in a byte: the first half of a row low, the second half high.

    Args:
      values: `[n, width] int8`.

    Returns:
      `[n, ceil(width / 2)] int8`: sixteen times the high value plus the low one plus 8.
    """
    even = np.pad(values, [(0, 0), (0, values.shape[1] % 2)])
    low, high = np.split(even.astype(np.int16), 2, axis=1)
    packed: npt.NDArray[np.int8] = (16 * high + low + 8).astype(np.int8)
    return packed


def unpack_int4(packed: npt.NDArray[np.int8], width: int) -> Array:
    """The values of `pack_int4`, `[n, width] float32`."""
    values = packed.astype(np.float32)
    high = np.floor(values / 16.0)
    found: Array = np.concatenate([values - 16.0 * high - 8.0, high], axis=1)[:, :width]
    return found


def _encode_int4(values: Array) -> EncodedRows:
    peak = np.abs(values).max(axis=1, keepdims=True)
    scale = np.clip(peak / np.float32(_INT4_MAX), _SMALLEST_SCALE, _FLOAT16_MAX).astype(np.float16)
    steps = np.rint(values / scale.astype(np.float32))
    packed = pack_int4(np.clip(steps, -_INT4_MAX, _INT4_MAX).astype(np.int8))
    return EncodedRows(np.concatenate([packed.view(np.uint8), _bytes_of(scale)], axis=1))


def _decode_int4(encoded: EncodedRows, width: int) -> Array:
    half = (width + 1) // 2
    if encoded.rows.shape[1] != half + 2 or encoded.shared:
        raise CodecError(
            f"item table: expected int4 rows of {half + 2} bytes for {width} values, got "
            f"{encoded.rows.shape[1]}"
        )
    rows = np.ascontiguousarray(encoded.rows)
    scale = np.ascontiguousarray(rows[:, half:]).view("<f2").astype(np.float32)
    values: Array = unpack_int4(rows[:, :half].view(np.int8), width) * scale
    return values


def _bytes_of(halves: npt.NDArray[np.float16]) -> Bytes:
    return np.ascontiguousarray(halves.astype("<f2")).view(np.uint8)
