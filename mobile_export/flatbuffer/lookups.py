"""Tables of lookups in the form that their kernel takes."""

from typing import Any

import numpy as np

from mobile_export.flatbuffer.schema import builtin_name, schema

__all__ = ["centre_lookups"]

_LEVELS = 127


def centre_lookups(model: Any) -> None:
    """Requantises the int8 tables of EMBEDDING_LOOKUP around zero, in place.

    The converter of current TensorFlow gives a table that is asked to stay float a zero point
    all the same; the operator's kernel refuses every one but 0 when it is run.
    """
    classes = schema()
    centred: dict[int, tuple[int, Any]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            if builtin_name(model.operatorCodes[operator.opcodeIndex]) != "EMBEDDING_LOOKUP":
                continue
            table = graph.tensors[operator.inputs[1]]
            found = table.quantization
            if table.type != classes.TensorType.INT8 or not np.any(found.zeroPoint):
                continue
            if table.buffer not in centred:
                stored = np.frombuffer(bytes(model.buffers[table.buffer].data), np.int8)
                values = (stored.astype(np.float32) - found.zeroPoint[0]) * found.scale[0]
                scale = np.float32(max(np.abs(values).max(), 1e-6) / _LEVELS)
                buffer = classes.BufferT()
                buffer.data = np.rint(values / scale).astype(np.int8).view(np.uint8)
                model.buffers.append(buffer)
                centred[table.buffer] = len(model.buffers) - 1, scale
            table.buffer, scale = centred[table.buffer]
            found.scale = np.array([scale], np.float32)
            found.zeroPoint = np.array([0], np.int64)
