"""Matrix products in the form that runtimes compute fastest.

The converter writes `x · kᵀ` as FULLY_CONNECTED, which is made for constant kernels: with one
that changes, BATCH_MATMUL is the faster. For a product with a single column it is the other way
round. The numbers that are multiplied are the same.
"""

from typing import Any

import numpy as np

from mobile_export.flatbuffer.editing import constant, operator_code
from mobile_export.flatbuffer.schema import builtin_name, schema

__all__ = ["choose_products"]


def choose_products(model: Any) -> None:
    """Rewrites the products of a model tree in place."""
    for graph in model.subgraphs:
        makers = {
            int(output): builtin_name(model.operatorCodes[operator.opcodeIndex])
            for operator in graph.operators or []
            for output in (() if operator.outputs is None else operator.outputs)
        }
        renewed: list[Any] = []
        for operator in graph.operators or []:
            name = builtin_name(model.operatorCodes[operator.opcodeIndex])
            if name == "FULLY_CONNECTED" and _has_changing_kernel(graph, operator, makers):
                _to_batch_matmul(model, operator)
            elif name == "BATCH_MATMUL" and _has_one_column(graph, operator, makers):
                renewed.append(_to_fully_connected(model, graph, operator))
            renewed.append(operator)
        graph.operators = renewed


def _has_changing_kernel(graph: Any, operator: Any, makers: dict[int, str]) -> bool:
    """Whether a plain float product `[n, k] x [m, k]ᵀ`, m > 1, has a kernel made at run time."""
    inputs, kernel = graph.tensors[operator.inputs[0]], graph.tensors[operator.inputs[1]]
    plain = (
        (len(operator.inputs) < 3 or operator.inputs[2] == -1)
        and operator.builtinOptions.fusedActivationFunction == 0
        and inputs.type == kernel.type == schema().TensorType.FLOAT32
        and len(inputs.shape) == len(kernel.shape) == 2
        and (kernel.shape[0] > 1 or _is_open(kernel))
    )
    # Kernels kept as float16 are constants behind a DEQUANTIZE.
    return plain and makers.get(int(operator.inputs[1]), "DEQUANTIZE") != "DEQUANTIZE"


def _is_open(tensor: Any) -> bool:
    """Whether the number of its rows is up to the caller."""
    return tensor.shapeSignature is not None and tensor.shapeSignature[0] == -1


def _to_batch_matmul(model: Any, operator: Any) -> None:
    classes = schema()
    operator.opcodeIndex = operator_code(model, classes.BuiltinOperator.BATCH_MATMUL)
    operator.inputs = list(operator.inputs)[:2]
    options = classes.BatchMatMulOptionsT()
    options.adjX, options.adjY, options.asymmetricQuantizeInputs = False, True, False
    operator.builtinOptionsType = classes.BuiltinOptions.BatchMatMulOptions
    operator.builtinOptions = options


def _has_one_column(graph: Any, operator: Any, makers: dict[int, str]) -> bool:
    """Whether a float product is `[n, k] x [k, 1]`, with a column made at run time."""
    inputs, column = graph.tensors[operator.inputs[0]], graph.tensors[operator.inputs[1]]
    options = operator.builtinOptions
    plain = (
        not (options.adjX or options.adjY)
        and inputs.type == column.type == schema().TensorType.FLOAT32
        and len(inputs.shape) == len(column.shape) == 2
        and column.shape[1] == 1
        and (column.shapeSignature is None or -1 not in column.shapeSignature)
    )
    return plain and makers.get(int(operator.inputs[1]), "DEQUANTIZE") != "DEQUANTIZE"


def _to_fully_connected(model: Any, graph: Any, operator: Any) -> Any:
    """Turns the product itself, and returns the RESHAPE that makes a row of its column."""
    classes = schema()
    column = int(operator.inputs[1])
    shape = [1, int(graph.tensors[column].shape[0])]
    dims = constant(model, graph, np.array(shape, np.int32), classes.TensorType.INT32, [2])
    row = classes.TensorT()
    row.shape, row.type, row.buffer = shape, classes.TensorType.FLOAT32, 0
    graph.tensors.append(row)
    reshape = classes.OperatorT()
    reshape.opcodeIndex = operator_code(model, classes.BuiltinOperator.RESHAPE)
    reshape.inputs, reshape.outputs = [column, dims], [len(graph.tensors) - 1]
    operator.opcodeIndex = operator_code(model, classes.BuiltinOperator.FULLY_CONNECTED)
    operator.inputs = [operator.inputs[0], len(graph.tensors) - 1, -1]
    options = classes.FullyConnectedOptionsT()
    options.keepNumDims = False
    operator.builtinOptionsType = classes.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = options
    return reshape
