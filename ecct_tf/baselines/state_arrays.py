"""A check that all baselines make before they go on from stored arrays."""

import numpy as np

from ecct_tf.errors import CheckpointError
from ecct_tf.federated.algorithm import Arrays

__all__ = ["check_arrays"]


def check_arrays(arrays: Arrays, like: Arrays) -> None:
    """Refuses arrays whose names, shapes or dtypes are not those of `like`.

    Raises:
      CheckpointError: names the first array that does not fit.
    """
    for name in sorted({*arrays, *like}):
        received = _form(arrays, name)
        expected = _form(like, name)
        if received != expected:
            raise CheckpointError(
                f"array {name!r}: expected {expected}, received {received}; the state belongs to "
                "another method, configuration or dataset"
            )


def _form(arrays: Arrays, name: str) -> str:
    if name not in arrays:
        return "no such array"
    array = np.asarray(arrays[name])
    return f"{array.dtype} {list(array.shape)}"
