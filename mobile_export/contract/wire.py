"""The uplink of an exported file as bytes: `ecct_tf.wire` for a file's sizes. No TensorFlow."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from ecct_tf.wire import UplinkForm, WireUplink
from ecct_tf.wire import pack_uplink as pack
from ecct_tf.wire import unpack_uplink as unpack
from mobile_export.contract.signatures import Sizes

__all__ = ["WireUplink", "pack_uplink", "unpack_uplink", "uplink_form"]


def uplink_form(sizes: Sizes) -> UplinkForm:
    """The form of the payload that is made of a file's signature `uplink`.

    Raises:
      ConfigError: its custom codec cannot be imported here, or has no NumPy form. Whoever runs the
        file must have compared the name with that of its own configuration before.
    """
    return UplinkForm(
        queries=sizes.num_queries,
        embedding_dim=sizes.embedding_dim,
        codec=sizes.custom_codec or sizes.codec,
        with_logits=sizes.with_logits,
    )


def pack_uplink(user: int, outputs: Mapping[str, npt.NDArray[Any]], sizes: Sizes) -> bytes:
    """The payload that crosses.

    Args:
      user: the id that the cloud knows the user by.
      outputs: of the signature `uplink`.
      sizes: of the file.
    """
    return pack(user, outputs, uplink_form(sizes))


def unpack_uplink(content: bytes, sizes: Sizes) -> WireUplink:
    """Reads what `pack_uplink` wrote.

    Raises:
      CodecError: when the length is not that of the declared form.
    """
    return unpack(content, uplink_form(sizes))
