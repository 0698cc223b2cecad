"""What one device would pass to a file: for calibration, parity and latency."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.samples import batch_rows
from mobile_export.contract.signatures import Signature

__all__ = ["DeviceExample", "example_inputs"]

Inputs = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class DeviceExample:
    """A user's data as on the phone.

    Attributes:
      history: `[L] int32`, newest last, 0 at the front.
      candidates: `[K] int32`, at least one.
      profile: `[columns] int32`.
      user_embedding: `[d_c]`, int8 for the int8 codec, otherwise float32.
      user_embedding_scale: its scale; 1 for other codecs.
      clock: `[W] float32`, reading of the clock; None for a silent one.
    """

    history: npt.NDArray[np.int32]
    candidates: npt.NDArray[np.int32]
    profile: npt.NDArray[np.int32]
    user_embedding: npt.NDArray[Any]
    user_embedding_scale: float = 1.0
    clock: npt.NDArray[np.float32] | None = None


def example_inputs(
    example: DeviceExample, signature: Signature, *, seed: int = 0, group_size: int = 1
) -> Inputs:
    """Inputs of `signature` made from `example`; candidates repeat where more are wanted.

    Labels alternate, every row counts and noise is drawn from `seed`. Rows come in whole groups
    of `group_size`.
    """
    given: Inputs = {}
    rows = batch_rows(len(example.candidates), group_size=group_size)
    for port in signature.inputs:
        shape = [rows if extent is None else extent for extent in port.shape]
        if port.name == "history":
            given["history"] = np.broadcast_to(example.history, shape)
        elif port.name == "clock" and example.clock is not None:
            given["clock"] = np.broadcast_to(example.clock, shape)
        elif port.name in ("candidates", "queries"):
            given[port.name] = np.resize(example.candidates, shape)
        elif port.name == "profile":
            given["profile"] = example.profile
        elif port.name == "user_embedding":
            given["user_embedding"] = example.user_embedding
        elif port.name == "user_embedding_scale":
            given["user_embedding_scale"] = np.full(1, example.user_embedding_scale)
        elif port.name == "labels":
            given["labels"] = np.arange(shape[0]) % 2
        elif port.name == "target_labels":
            # Some rows have none.
            given["target_labels"] = np.arange(np.prod(shape)).reshape(shape) % 3 - 1
        elif port.name == "noise":
            given["noise"] = np.random.default_rng(seed).standard_normal(shape)
        elif port.name == "mask":
            given["mask"] = np.ones(shape)
        elif port.name.endswith("learning_rate"):
            given[port.name] = np.full(1, 0.01)
        else:
            given[port.name] = np.zeros(shape)
    dtypes = {port.name: port.dtype for port in signature.inputs}
    return {name: np.ascontiguousarray(value, dtypes[name]) for name, value in given.items()}
