"""Tables that enter a file after it was converted.

TensorFlow holds a constant many times over while a graph is traced, saved and converted: at
100,000 items gigabytes. So the converter gets a few rows of each table, which nobody else has,
and the whole table takes their place in what it made. Integer tables only: they stand behind a
GATHER, which the converter leaves as it is.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from mobile_export.flatbuffer.schema import schema

__all__ = ["LateTables"]

_ROWS = 8
# The schema's names of the dtypes that tables have.
_TYPES = {"int8": "INT8", "uint8": "UINT8", "int16": "INT16"}


class LateTables:
    """The tables of one file, and what stands for each until it is converted."""

    def __init__(self) -> None:
        self._stand_ins: dict[tuple[str, tuple[int, ...], bytes], npt.NDArray[Any]] = {}
        self._tables: dict[tuple[str, bytes], npt.NDArray[Any]] = {}

    def stand_in(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What a graph holds for `table`: a few rows; equal tables have the same.

        Args:
          table: `[n, ...]`; one of another dtype, or with few rows, stands for itself.
        """
        if table.dtype.name not in _TYPES or len(table) <= _ROWS or not table.size:
            return table
        key = (table.dtype.name, table.shape, hashlib.sha256(table.tobytes()).digest())
        if key not in self._stand_ins:
            shape = (_ROWS, *table.shape[1:])
            size = int(np.prod(shape)) * table.dtype.itemsize
            # Sixteen bytes of chance at least: no other constant of the file is alike.
            rng = np.random.default_rng([len(self._stand_ins), size])
            made = rng.integers(0, 256, size, np.uint8).view(table.dtype).reshape(shape)
            self._stand_ins[key] = made
            self._tables[table.dtype.name, made.tobytes()] = table
        return self._stand_ins[key]

    def put(self, model: Any) -> None:
        """Puts the tables in the places of their stand-ins, in a model tree."""
        types = {getattr(schema().TensorType, name): dtype for dtype, name in _TYPES.items()}
        buffers: dict[int, Any] = {}
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                data = model.buffers[tensor.buffer].data
                if tensor.type not in types or data is None or not len(data):
                    continue
                if tensor.buffer in buffers:
                    table = buffers[tensor.buffer]
                else:
                    content = np.asarray(data, np.uint8).tobytes()
                    table = self._tables.get((types[tensor.type], content))
                    buffers[tensor.buffer] = table
                if table is not None:
                    tensor.shape = list(table.shape)
        for index, table in buffers.items():
            if table is not None:
                whole = np.ascontiguousarray(table)
                model.buffers[index].data = whole.view(np.uint8).reshape(-1)
