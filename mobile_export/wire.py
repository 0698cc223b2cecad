"""An uplink as bytes, from the outputs of the signature `uplink`. No TensorFlow here.

Little-endian, in this order: the user's id (int32), the items (int32), the embeddings as
their codec writes them followed by their scales (float16), then the logits likewise. The
length is `ExchangeSpec.uplink_bytes`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CodecError
from mobile_export.signatures import Sizes

__all__ = ["WireUplink", "pack_uplink", "unpack_uplink"]

_VALUES = {"float32": "<f4", "float16": "<f2", "int8": "i1"}


@dataclasses.dataclass(frozen=True)
class WireUplink:
    """What the cloud reads from one user's bytes.

    Attributes:
      user: whose.
      items: `[Q] int32`.
      embeddings: encoded `[Q, d_e]`, then, for int8, scales `[Q, 1] float16`.
      logits: encoded `[Q]`, then scales `[1]`; empty in stage 1.
    """

    user: int
    items: npt.NDArray[np.int32]
    embeddings: tuple[npt.NDArray[Any], ...]
    logits: tuple[npt.NDArray[Any], ...]


def pack_uplink(user: int, outputs: Mapping[str, npt.NDArray[Any]], sizes: Sizes) -> bytes:
    """The bytes that cross.

    Args:
      user: the id that the cloud knows the user by.
      outputs: of the signature `uplink`.
      sizes: of the file.
    """
    parts = [np.array([user], "<i4"), outputs["items"].astype("<i4")]
    parts.append(_values(outputs["embeddings"], sizes.codec))
    if sizes.codec == "int8":
        parts.append(_halves(outputs["embedding_scales"]))
    if sizes.with_logits:
        parts.append(_values(outputs["logits"], sizes.codec))
        if sizes.codec == "int8":
            parts.append(_halves(outputs["logit_scale"]))
    return b"".join(part.tobytes() for part in parts)


def unpack_uplink(content: bytes, sizes: Sizes) -> WireUplink:
    """Reads what `pack_uplink` wrote.

    Raises:
      CodecError: when the length is not that of the declared form.
    """
    queries, width = sizes.num_queries, sizes.embedding_dim
    form: list[tuple[str, tuple[int, ...]]] = [("<i4", (1,)), ("<i4", (queries,))]
    shapes: list[tuple[int, ...]] = (
        [(queries, width), (queries,)] if sizes.with_logits else [(queries, width)]
    )
    for shape in shapes:
        form.append((_VALUES[sizes.codec], shape))
        if sizes.codec == "int8":
            form.append(("<f2", (*shape[:-1], 1)))
    lengths = [int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, shape in form]
    if len(content) != sum(lengths):
        raise CodecError(
            f"uplink: expected {sum(lengths)} bytes for codec {sizes.codec}, {queries} queries and "
            f"{'embeddings and logits' if sizes.with_logits else 'embeddings'}, got {len(content)}"
        )
    ends = np.cumsum(lengths)
    arrays = [
        np.frombuffer(content[end - length : end], dtype).reshape(shape)
        for (dtype, shape), length, end in zip(form, lengths, ends, strict=True)
    ]
    per_field = 2 if sizes.codec == "int8" else 1
    return WireUplink(
        user=int(arrays[0][0]),
        items=arrays[1],
        embeddings=tuple(arrays[2 : 2 + per_field]),
        logits=tuple(arrays[2 + per_field :]),
    )


def _values(values: npt.NDArray[Any], codec: str) -> npt.NDArray[Any]:
    return _halves(values) if codec == "float16" else values.astype(_VALUES[codec])


def _halves(bits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """float16 bits in int32 as two bytes each."""
    return bits.astype("<u2")
