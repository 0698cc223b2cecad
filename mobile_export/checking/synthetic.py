"""Made-up device data for a file whose run is not at hand."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import FeatureConfig
from ecct_tf.data.clock import clock_reading
from mobile_export.contract.meaning import context_of
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.examples import DeviceExample

__all__ = ["synthetic_examples"]

# Any time, and the seconds in which its user did what the history has: about two months.
_NOW, _SPAN = 1_790_000_000, 5_000_000


def synthetic_examples(path: Path, *, count: int = 4, candidates: int = 32) -> list[DeviceExample]:
    """Examples that fit the sizes of a packed file, from a fixed seed.

    Raises:
      ExportError: when the file has no readable metadata.
    """
    metadata = read_metadata(path.read_bytes())
    rng = np.random.default_rng(0)
    rows, length = metadata["items"]["rows"], metadata["model"]["history_length"]
    width, codec = metadata["model"]["cloud_dim"], metadata["exchange"]["codec"]
    sizes = [column["rows"] for column in metadata["profile"]]
    reads = FeatureConfig(
        history_length=length,
        last_items=0,
        clock=bool(metadata["features"].get("clock")),
        context=context_of(metadata),
    )

    def vector() -> tuple[npt.NDArray[Any], float]:
        if codec == "int8":
            return rng.integers(-127, 128, width).astype(np.int8), 2.0**-8
        return rng.standard_normal(width).astype(np.float32), 1.0

    found = []
    for _ in range(count):
        embedding, scale = vector()
        found.append(
            DeviceExample(
                history=rng.integers(0, rows, length).astype(np.int32),
                candidates=rng.integers(1, rows, candidates).astype(np.int32),
                profile=np.array([rng.integers(size) for size in sizes], np.int32),
                user_embedding=embedding,
                user_embedding_scale=scale,
                clock=clock_reading(
                    np.sort(_NOW - rng.integers(0, _SPAN, length)),
                    now=_NOW,
                    config=reads,
                    context=[rng.integers(len(words) + 1) for words in reads.context.values()],
                )
                if reads.clock_width
                else None,
            )
        )
    return found
