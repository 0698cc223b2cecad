"""Starting weights of an edge model as a file: what a device that never trained begins with.

All numbers are little-endian:

| offset | type | field |
|---|---|---|
| 0 | 4 bytes | `ECSW` |
| 4 | uint16 | format, 1 |
| 6 | uint8 | codec: 0 float32, 1 float16, 2 int8 |
| 7 | uint8 | t, length of the tier's name in bytes |
| 8 | uint32 | P, number of weights |
| 12 | uint32 | m, number of tensors |
| 16 | 32 bytes | fingerprint of the architecture |
| 48 | t bytes | name of the tier in UTF-8 |
| 48 + t | m times two uint32 | rows and width of each tensor; a vector is one row |
| then | P values | the weights in the order of the flat vector, as the codec writes them |
| then | R float16 | for int8 only: the scale of each row of each tensor |
| end - 32 | 32 bytes | SHA-256 of all before it |

The fingerprint is the SHA-256 of tier, sizes and the names and shapes of all weights, so that a
device does not read weights of another architecture that happen to be as many.
"""

import dataclasses
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import CODECS, CodecName
from ecct_tf.errors import CodecError
from ecct_tf.wire.sealed import DIGEST_BYTES, seal, unseal
from ecct_tf.wire.values import VALUE_DTYPES
from ecct_tf.wire.whole_numbers import LARGEST_UINT32, check_whole

__all__ = ["StartFile", "architecture_fingerprint"]

_MAGIC, _FORMAT = b"ECSW", 1
_HEAD = struct.Struct(f"<4sHBBII{DIGEST_BYTES}s")
_TENSOR = np.dtype("<u4")
_WHAT = "starting weights"


def architecture_fingerprint(
    tier: str, sizes: Mapping[str, Any], layout: Sequence[tuple[str, Sequence[int]]]
) -> str:
    """SHA-256 of what weights must agree on to be exchanged, in hexadecimal.

    Args:
      tier: the edge architecture.
      sizes: it was built for, by name; those of `EdgeSpec`.
      layout: name and shape of each weight, in the order of the flat vector.

    >>> spec = {"embedding_dim": 2}
    >>> one = architecture_fingerprint("mlp", spec, [("head/bias", (1,))])
    >>> one == architecture_fingerprint("mlp", spec, [("head/bias", [1])]), len(one)
    (True, 64)
    """
    parts = [tier, dict(sizes), [[name, list(shape)] for name, shape in layout]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class StartFile:
    """The content of a file.

    Attributes:
      codec: how weights are written.
      tier: the edge architecture.
      fingerprint: of the architecture, see `architecture_fingerprint`.
      tensors: rows and width of each weight tensor, in the order of the flat vector.
      values: `[P]` in the codec's dtype.
      scales: `[R] float16`, of all rows of all tensors; empty unless the codec is int8.
    """

    codec: CodecName
    tier: str
    fingerprint: str
    tensors: tuple[tuple[int, int], ...]
    values: npt.NDArray[Any]
    scales: npt.NDArray[np.float16]

    def __post_init__(self) -> None:
        size = sum(rows * width for rows, width in self.tensors)
        check_whole(size, "number of weights", what=_WHAT, most=LARGEST_UINT32)
        scales = sum(rows for rows, _ in self.tensors) if self.codec == "int8" else 0
        name = len(self.tier.encode())
        if (self.values.shape, self.scales.shape) != ((size,), (scales,)) or not 0 < name < 256:
            raise CodecError(
                f"{_WHAT}: expected a tier's name of 1 to 255 bytes, {size} values and {scales} "
                f"scales, got {name} bytes, {self.values.shape} and {self.scales.shape}"
            )
        if not np.isfinite(self.weights).all():
            raise CodecError(f"{_WHAT} of tier {self.tier!r}: expected finite numbers")

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """The flat vector as its codec reads it: `[P] float32`."""
        found: npt.NDArray[np.float32] = self.values.astype(np.float32)
        if self.codec == "int8":
            widths = [width for rows, width in self.tensors for _ in range(rows)]
            found = found * np.repeat(self.scales.astype(np.float32), widths)
        return found

    def check(self, fingerprint: str, *, where: str) -> None:
        """Refuses weights of another architecture.

        Args:
          fingerprint: of the architecture that is to take the weights.
          where: it is, for the message.

        Raises:
          CodecError: names both fingerprints.
        """
        if self.fingerprint != fingerprint:
            raise CodecError(
                f"{_WHAT} of tier {self.tier!r}: they are of the architecture "
                f"{self.fingerprint[:16]}…, {where} is of {fingerprint[:16]}…; fetch those of its "
                "tier and sizes, or the file that was exported with these weights"
            )

    def to_bytes(self) -> bytes:
        """The file; equal content gives equal bytes."""
        tier = self.tier.encode()
        head = _HEAD.pack(
            _MAGIC,
            _FORMAT,
            CODECS.index(self.codec),
            len(tier),
            len(self.values),
            len(self.tensors),
            bytes.fromhex(self.fingerprint),
        )
        tensors = np.array(self.tensors, _TENSOR).tobytes()
        values = self.values.astype(VALUE_DTYPES[self.codec]).tobytes()
        return seal(head + tier + tensors + values + self.scales.astype("<f2").tobytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> "StartFile":
        """Reads a file.

        Raises:
          CodecError: when it is damaged, of another kind, or not laid out as it says.
        """
        body = unseal(content, magic=_MAGIC, format_number=_FORMAT, what=_WHAT)
        try:
            return cls._read(body)
        except CodecError:
            raise
        except (struct.error, ValueError, IndexError) as error:
            raise CodecError(
                f"{_WHAT}: expected the layout of format {_FORMAT}: {error}; write it with "
                "StartFile"
            ) from error

    @classmethod
    def _read(cls, body: bytes) -> "StartFile":
        _, _, codec, length, size, count, fingerprint = _HEAD.unpack_from(body)
        place = _HEAD.size
        tier = body[place : place + length].decode()
        place += length
        pairs = np.frombuffer(body, _TENSOR, count=2 * count, offset=place).reshape(-1, 2)
        place += pairs.nbytes
        values = np.frombuffer(body, VALUE_DTYPES[CODECS[codec]], count=size, offset=place)
        scales = np.frombuffer(body, "<f2", offset=place + values.nbytes)
        return cls(
            codec=CODECS[codec],
            tier=tier,
            fingerprint=fingerprint.hex(),
            tensors=tuple((int(rows), int(width)) for rows, width in pairs),
            values=values,
            scales=scales.astype(np.float16),
        )
