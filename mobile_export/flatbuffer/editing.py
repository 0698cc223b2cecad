"""Adding parts to a model tree."""

from typing import Any

import numpy as np
import numpy.typing as npt

from mobile_export.flatbuffer.schema import schema

__all__ = ["constant", "operator_code"]


def constant(model: Any, graph: Any, array: npt.NDArray[Any], dtype: int, shape: list[int]) -> int:
    """Adds a constant to `graph`; its tensor's index.

    Args:
      model: the tree.
      graph: one of its subgraphs.
      array: the values.
      dtype: as the schema numbers it.
      shape: of the tensor.
    """
    classes = schema()
    buffer = classes.BufferT()
    buffer.data = np.frombuffer(array.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor = classes.TensorT()
    tensor.shape, tensor.type, tensor.buffer = shape, dtype, len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def operator_code(model: Any, number: int) -> int:
    """Index of the operator `number` in its first version, added where it is missing."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version == 1:
            return index
    code = schema().OperatorCodeT()
    # Numbers that do not fit the old field stand there as 127.
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
