"""What the layout of a downlink in a file follows from."""

import dataclasses

import numpy as np

from ecct_tf.config import CodecName, is_own_codec
from ecct_tf.errors import CodecError
from ecct_tf.wire.codec_codes import codec_text, is_unknown
from ecct_tf.wire.row_codec import array_codec
from ecct_tf.wire.values import VALUE_DTYPES
from ecct_tf.wire.whole_numbers import check_whole

__all__ = ["MAX_VALUES", "DownlinkForm"]

MAX_VALUES = 1 << 20
_WAY_OUT = "the cloud is of another version"


@dataclasses.dataclass(frozen=True)
class DownlinkForm:
    """What the layout of a record follows from.

    Attributes:
      cloud_dim: d_c.
      queries: Q.
      codec: how the user embedding is written; as in `UplinkForm`.
      unread_bytes: length of a user embedding of a codec that the reader does not know, else 0.

    Raises:
      CodecError: the sizes or the codec's name cannot be.
      ConfigError: a custom codec cannot be imported, or has no NumPy form.

    >>> DownlinkForm(cloud_dim=56, queries=24, codec="int8").record_bytes
    154
    """

    cloud_dim: int
    queries: int
    codec: CodecName
    unread_bytes: int = 0

    def __post_init__(self) -> None:
        # As many as a record that a device can take at once has room for.
        sizes = {"cloud_dim": self.cloud_dim, "number of queries": self.queries}
        for name, size in sizes.items():
            check_whole(size, name, what="downlinks", least=1, most=MAX_VALUES, way_out=_WAY_OUT)
        if is_unknown(self.codec) != bool(self.unread_bytes):
            raise CodecError(
                "downlinks have bytes that are not read where their codec is unknown, and only "
                f"there, got {self.unread_bytes} of {codec_text(self.codec)}"
            )
        if not is_own_codec(self.codec):
            size = self.embedding_bytes
            check_whole(size, "bytes of an embedding", what="downlinks", least=1, most=MAX_VALUES)

    @property
    def embedding_bytes(self) -> int:
        """Length of a user embedding of a custom codec."""
        return self.unread_bytes or array_codec(self.codec).row_bytes(self.cloud_dim)

    @property
    def dtype(self) -> np.dtype[np.void]:
        """The layout as a structured dtype, one record an element."""
        fields: list[tuple[str, str, tuple[int, ...]]] = []
        if is_own_codec(self.codec):
            fields.append(("embedding", VALUE_DTYPES[self.codec], (self.cloud_dim,)))
        else:
            fields.append(("embedding", "u1", (self.embedding_bytes,)))
        if self.codec == "int8":
            fields.append(("scale", "<f2", (1,)))
        fields.append(("queries", "<i4", (self.queries,)))
        return np.dtype(fields)

    @property
    def record_bytes(self) -> int:
        """Length of one record."""
        return self.dtype.itemsize
