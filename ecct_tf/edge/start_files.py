"""Starting weights of an edge model and their file form, encoded tensor by tensor."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import CodecName
from ecct_tf.edge.model import EdgeModel
from ecct_tf.errors import CodecError
from ecct_tf.knowledge import build_codec
from ecct_tf.wire import StartFile

__all__ = ["start_file"]


def start_file(
    model: EdgeModel, weights: npt.NDArray[np.float32], codec: CodecName
) -> tuple[StartFile, float]:
    """`weights` as they cross the wire, and the most that one of them differs then.

    With int8 each row of each tensor has a scale of its own, as rows of the item table have: one
    scale for all would erase the small weights.

    Args:
      model: the architecture.
      weights: `[P] float32`.
      codec: how to write them.

    Raises:
      CodecError: when there are more or fewer weights, or some are not finite.
    """
    size = model.layout.size
    if weights.shape != (size,) or not np.isfinite(weights).all():
        raise CodecError(
            f"starting weights of tier {model.tier!r}: expected {size} finite numbers, got shape "
            f"{weights.shape} with {int((~np.isfinite(weights)).sum())} that are not finite"
        )
    coder = build_codec(codec)
    tensors, values, scales = [], [], [np.zeros(0, np.float16)]
    for values_of in model.layout.to_dict(weights).values():
        tensor = np.atleast_1d(values_of)
        rows = tensor.reshape(-1, tensor.shape[-1])
        encoded = [np.asarray(part).ravel() for part in coder.encode(tf.constant(rows))]
        tensors.append((rows.shape[0], rows.shape[1]))
        values.append(encoded[0])
        scales += encoded[1:]
    file = StartFile(
        codec=codec,
        tier=model.tier,
        fingerprint=model.fingerprint,
        tensors=tuple(tensors),
        values=np.concatenate(values),
        scales=np.concatenate(scales),
    )
    return file, float(np.abs(file.weights - weights).max(initial=0.0))
