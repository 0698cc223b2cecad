"""An uplink as bytes: the payload that one user's device sends in a round.

Little-endian, without gaps, in this order: the user's id (int32), the items (int32), the
embeddings as their codec writes them, for int8 followed by their scales (float16), then
the logits likewise. A custom codec writes rows of bytes: one for each embedding, one for all
logits. Where an answer travels by place (`ecct_tf.wire.places`) four bytes stand for the items.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CodecName, is_own_codec
from ecct_tf.errors import CodecError
from ecct_tf.wire.codec_codes import codec_text, is_unknown
from ecct_tf.wire.row_codec import array_codec, decoded_rows, encoded_rows
from ecct_tf.wire.values import VALUE_DTYPES
from ecct_tf.wire.whole_numbers import check_array, check_whole

__all__ = [
    "UplinkForm",
    "WireUplink",
    "decoded",
    "decoded_uplink",
    "pack_uplink",
    "pack_uplinks",
    "unpack_uplink",
    "unpack_uplinks",
]

Array = npt.NDArray[Any]

MAX_PAYLOAD_BYTES = 1_000_000


@dataclasses.dataclass(frozen=True)
class UplinkForm:
    """What the layout of a payload follows from.

    Attributes:
      queries: Q, items that a device answers for.
      embedding_dim: d_e.
      codec: how embeddings and logits are written. A custom codec is imported by its name, which
        must come from the reader's own configuration; of one that the reader does not know it is
        what `named_codec` returned, and values are bytes without meaning.
      with_logits: whether logits cross (stage 2).
      unread_bytes: length of the values of a codec that the reader does not know, else 0.

    Raises:
      CodecError: the sizes or the codec's name cannot be.
      ConfigError: a custom codec cannot be imported, or has no NumPy form.

    >>> UplinkForm(queries=24, embedding_dim=16, codec="int8", with_logits=True).payload_bytes
    558
    """

    queries: int
    embedding_dim: int
    codec: CodecName
    with_logits: bool
    unread_bytes: int = 0

    def __post_init__(self) -> None:
        if self.queries < 1 or self.embedding_dim < 1:
            raise CodecError(
                "an uplink has at least one query and one embedding dimension, got "
                f"{self.queries} and {self.embedding_dim}"
            )
        if is_unknown(self.codec) != bool(self.unread_bytes):
            raise CodecError(
                "an uplink has bytes that are not read where its codec is unknown, and only there, "
                f"got {self.unread_bytes} of {codec_text(self.codec)}"
            )
        # Four bytes are the most that a value or an item takes, except of custom codecs.
        most = 4 * self.queries * (self.embedding_dim + 3)
        if most <= MAX_PAYLOAD_BYTES and not is_own_codec(self.codec):
            most = self.payload_bytes
        if most > MAX_PAYLOAD_BYTES:
            raise CodecError(
                f"an uplink has at most {MAX_PAYLOAD_BYTES} bytes, got {self.queries} queries of "
                f"{self.embedding_dim} embedding dimensions"
            )

    @property
    def dtype(self) -> np.dtype[np.void]:
        """The layout as a structured dtype, one payload an element."""
        return _layout(self)

    @property
    def payload_bytes(self) -> int:
        """Length of one payload."""
        return self.dtype.itemsize

    @property
    def items_bytes(self) -> int:
        """Length of the items in it."""
        return 4 * self.queries


@functools.lru_cache(maxsize=64)
def _layout(form: UplinkForm) -> np.dtype[np.void]:
    queries = form.queries
    fields: list[tuple[str, str, tuple[int, ...]]] = [
        ("user", "<i4", ()),
        ("items", "<i4", (queries,)),
    ]
    if is_unknown(form.codec):
        return np.dtype([*fields, ("unread", "u1", (form.unread_bytes,))])
    if not is_own_codec(form.codec):
        row_bytes = array_codec(form.codec).row_bytes
        fields.append(("embeddings", "u1", (queries, row_bytes(form.embedding_dim))))
        if form.with_logits:
            fields.append(("logits", "u1", (row_bytes(queries),)))
        return np.dtype(fields)
    values = VALUE_DTYPES[form.codec]
    fields.append(("embeddings", values, (queries, form.embedding_dim)))
    if form.codec == "int8":
        fields.append(("embedding_scales", "<f2", (queries, 1)))
    if form.with_logits:
        fields.append(("logits", values, (queries,)))
        if form.codec == "int8":
            fields.append(("logit_scale", "<f2", (1,)))
    return np.dtype(fields)


@dataclasses.dataclass(frozen=True)
class WireUplink:
    """What the cloud reads from one user's payload.

    Attributes:
      user: whose.
      items: `[Q] int32`.
      embeddings: encoded `[Q, d_e]`, then, for int8, scales `[Q, 1] float16`.
      logits: encoded `[Q]`, then scales `[1]`; empty in stage 1.
    """

    user: int
    items: npt.NDArray[np.int32]
    embeddings: tuple[Array, ...]
    logits: tuple[Array, ...]


def pack_uplink(user: int, outputs: Mapping[str, Array], form: UplinkForm) -> bytes:
    """One user's payload, from the outputs of the signature `uplink` of an exported file.

    Args:
      user: the id that the cloud knows the user by.
      outputs: of the signature; float16 as its bits in int32. For a custom codec they are numbers,
        clipped and with their noise, which are encoded here.
      form: of the exchange.

    Raises:
      CodecError: when an output is missing or has another shape than `form` says.
    """
    if not is_own_codec(form.codec):
        outputs = {
            name: encoded_rows(form.codec, value) if name in ("embeddings", "logits") else value
            for name, value in outputs.items()
        }
    given = {
        name: np.asarray(outputs[name])
        for name in form.dtype.names or ()
        if name != "user" and name in outputs
    }
    for name in given:
        if form.dtype[name].base == np.dtype("<f2"):
            given[name] = given[name].astype("<u2").view("<f2")
    if form.codec == "int8":
        for name, shape in (("embedding_scales", (form.queries, 1)), ("logit_scale", (1,))):
            if name in given and given[name].size == np.prod(shape):
                given[name] = given[name].reshape(shape)
    rows = _filled({name: array[None] for name, array in given.items()}, [user], form)
    return rows.tobytes()


def pack_uplinks(
    users: Array,
    items: Array,
    *,
    embeddings: Sequence[Array],
    logits: Sequence[Array],
    form: UplinkForm,
) -> npt.NDArray[np.void]:
    """Payloads of many users, from the encoded arrays of an `Uplink`.

    Args:
      users: `[n] int32`.
      items: `[n, Q] int32`.
      embeddings: encoded `[n, Q, d_e]`, then, for int8, scales `[n, Q, 1] float16`.
      logits: encoded `[n, Q]`, then scales `[n, 1]`; empty in stage 1.
      form: of the exchange.

    Returns:
      `[n]` of `form.dtype`; the bytes of an element are a payload.

    Raises:
      CodecError: when an array is missing or has another shape than `form` says.
    """
    given = {"items": items}
    given.update(zip(("embeddings", "embedding_scales"), embeddings, strict=False))
    given.update(zip(("logits", "logit_scale"), logits, strict=False))
    return _filled(given, users, form)


def unpack_uplink(content: bytes, form: UplinkForm) -> WireUplink:
    """Reads what `pack_uplink` wrote.

    Raises:
      CodecError: when the length is not that of the declared form, or the user is negative.
    """
    if len(content) != form.payload_bytes:
        raise CodecError(
            f"uplink: expected {form.payload_bytes} bytes for codec {codec_text(form.codec)}, "
            f"{form.queries} "
            f"queries and {'embeddings and logits' if form.with_logits else 'embeddings'}, "
            f"got {len(content)}"
        )
    row = np.frombuffer(content, form.dtype)[0]
    embeddings, logits = _parts(row, form)
    check_whole(int(row["user"]), "user", what="uplink")
    return WireUplink(int(row["user"]), row["items"], embeddings, logits)


def unpack_uplinks(payloads: npt.NDArray[np.uint8], form: UplinkForm) -> npt.NDArray[np.void]:
    """Reads many payloads at once, without a copy.

    Args:
      payloads: `[n, form.payload_bytes] uint8`, contiguous.
      form: of all of them.

    Returns:
      `[n]` of `form.dtype`.

    Raises:
      CodecError: when the length is not that of the declared form.
    """
    if payloads.ndim != 2 or payloads.shape[1] != form.payload_bytes:
        raise CodecError(
            f"uplinks: expected bytes of shape [n, {form.payload_bytes}], got {payloads.shape}"
        )
    return payloads.view(form.dtype)[:, 0]


def decoded(
    rows: npt.NDArray[np.void], form: UplinkForm
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """What the codec's `decode` makes of payloads.

    Args:
      rows: `[n]` of `form.dtype`.
      form: of all of them.

    Returns:
      `[n, Q, d_e] float32`, and `[n, Q] float32` or None in stage 1.
    """
    _check_known(form)
    embeddings, logits = _parts(rows, form)
    found = _floats(embeddings, form.codec, width=form.embedding_dim)
    return found, _floats(logits, form.codec, width=form.queries) if form.with_logits else None


def decoded_uplink(
    content: bytes, form: UplinkForm
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """What the codec's `decode` makes of one payload.

    Returns:
      `[Q, d_e] float32`, and `[Q] float32` or None in stage 1.

    Raises:
      CodecError: as for `unpack_uplink`, or the codec is unknown to this reader.
    """
    unpack_uplink(content, form)
    embeddings, logits = decoded(np.frombuffer(content, form.dtype), form)
    return embeddings[0], None if logits is None else logits[0]


def _check_known(form: UplinkForm) -> None:
    if is_unknown(form.codec):
        raise CodecError(
            f"uplink: written with {codec_text(form.codec)}, which this reader was not told; name "
            "it in exchange.codec"
        )


def _filled(
    given: Mapping[str, Array], users: Array | list[int], form: UplinkForm
) -> npt.NDArray[np.void]:
    rows = np.zeros(len(users), form.dtype)
    check_array(np.asarray(users), "user", what="uplink")
    rows["user"] = users
    names = [name for name in form.dtype.names or () if name != "user"]
    if set(given) != set(names):
        raise CodecError(
            f"uplink: expected {', '.join(names)} for codec {codec_text(form.codec)} in stage "
            f"{2 if form.with_logits else 1}, got {', '.join(given)}; "
            "device and cloud were built with different settings"
        )
    for name in names:
        if given[name].shape != rows[name].shape:
            raise CodecError(
                f"uplink field {name}: expected shape {rows[name].shape[1:]} for each user, "
                f"got {given[name].shape[1:]}"
            )
        kind = rows[name].dtype
        if np.issubdtype(kind, np.integer):
            # Ids of items begin at 0; the values of int8 have a sign.
            least = 0 if name == "items" else int(np.iinfo(kind).min)
            most = int(np.iinfo(kind).max)
            check_array(given[name], f"value of {name}", what="uplink", least=least, most=most)
        rows[name] = given[name]
    return rows


def _parts(
    rows: npt.NDArray[np.void] | np.void, form: UplinkForm
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The encoded embeddings and logits of a payload or of many."""
    names = form.dtype.names or ()
    embeddings = [name for name in ("embeddings", "embedding_scales") if name in names]
    logits = [name for name in ("logits", "logit_scale") if name in names]
    return tuple(rows[name] for name in embeddings), tuple(rows[name] for name in logits)


def _floats(encoded: Sequence[Array], codec: CodecName, *, width: int) -> npt.NDArray[np.float32]:
    if not is_own_codec(codec):
        return decoded_rows(codec, encoded[0], width)
    values = encoded[0].astype(np.float32)
    if len(encoded) > 1:
        # Repeated, since NumPy is slow with rows as short as these that share a number.
        values *= np.repeat(encoded[1].astype(np.float32), values.shape[-1], axis=-1)
    return values
