"""Matrix products in the form that runtimes compute fastest.

The converter writes `x · kᵀ` as FULLY_CONNECTED, which is made for constant kernels: with one
that changes, BATCH_MATMUL is the faster. For a product with a single column it is the other way
round; and where its rows were joined for it alone, the sum of the parts' products costs less than
joining. The numbers that are multiplied are the same.
"""

import copy
from typing import Any

import numpy as np

from mobile_export.flatbuffer.editing import constant, operator_code
from mobile_export.flatbuffer.schema import builtin_name, schema

__all__ = ["choose_products"]


def choose_products(model: Any) -> None:
    """Rewrites the products of a model tree in place."""
    for graph in model.subgraphs:
        makers = {
            output: _name(model, operator)
            for operator in graph.operators or []
            for output in _ids(operator.outputs)
        }
        renewed: list[Any] = []
        for operator in graph.operators or []:
            name = _name(model, operator)
            if name == "FULLY_CONNECTED" and _has_changing_kernel(graph, operator, makers):
                _to_batch_matmul(model, operator)
            elif name == "BATCH_MATMUL" and _has_one_column(graph, operator, makers):
                renewed.append(_to_fully_connected(model, graph, operator))
            renewed.append(operator)
        graph.operators = renewed
        _split_joined_rows(model, graph)


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
    reshape = _row_of(model, graph, int(operator.inputs[1]))
    operator.opcodeIndex = operator_code(model, classes.BuiltinOperator.FULLY_CONNECTED)
    operator.inputs = [operator.inputs[0], reshape.outputs[0], -1]
    options = classes.FullyConnectedOptionsT()
    options.keepNumDims = False
    operator.builtinOptionsType = classes.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = options
    return reshape


def _row_of(model: Any, graph: Any, column: int) -> Any:
    """The RESHAPE that makes a row `[1, n]` of a column of n values."""
    classes = schema()
    shape = [1, int(graph.tensors[column].shape[0])]
    dims = constant(model, graph, np.array(shape, np.int32), classes.TensorType.INT32, [2])
    row = classes.TensorT()
    row.shape, row.type, row.buffer = shape, classes.TensorType.FLOAT32, 0
    graph.tensors.append(row)
    reshape = classes.OperatorT()
    reshape.opcodeIndex = operator_code(model, classes.BuiltinOperator.RESHAPE)
    reshape.inputs, reshape.outputs = [column, dims], [len(graph.tensors) - 1]
    return reshape


def _split_joined_rows(model: Any, graph: Any) -> None:
    """Writes `[a | b] · [k | l]`, of a column that was joined likewise, as `a · k + b · l`."""
    makers = {int(output): each for each in graph.operators for output in _ids(each.outputs)}
    readers = [int(given) for each in graph.operators for given in _ids(each.inputs)]
    readers += _ids(graph.outputs)
    renewed: list[Any] = []
    for operator in graph.operators:
        joins = _joins(model, graph, operator, makers)
        if joins is None or readers.count(int(operator.inputs[0])) > 1:
            renewed.append(operator)
        else:
            rows, column = joins
            renewed.remove(rows)
            renewed += _sum_of_products(model, graph, operator, rows, column)
    graph.operators = renewed


def _joins(model: Any, graph: Any, operator: Any, makers: dict[int, Any]) -> tuple[Any, Any] | None:
    """What joined the rows and the column of a product, of two parts each; None of any other."""
    if _name(model, operator) != "FULLY_CONNECTED" or _ids(operator.inputs)[2:] != [-1]:
        return None
    rows = makers.get(int(operator.inputs[0]))
    column = makers.get(int(operator.inputs[1]))
    while column is not None and _name(model, column) == "RESHAPE":
        column = makers.get(int(column.inputs[0]))
    if rows is None or column is None:
        return None
    if {_name(model, each) for each in (rows, column)} != {"CONCATENATION"}:
        return None
    parts, kernels = (
        [graph.tensors[index].shape for index in _ids(each.inputs)] for each in (rows, column)
    )
    fits = (
        len(parts) == 2
        and all(len(shape) == 2 for shape in parts)
        and rows.builtinOptions.axis in (1, -1)
        and operator.builtinOptions.fusedActivationFunction == 0
        and [[shape[1]] for shape in parts] == [list(shape) for shape in kernels]
    )
    return (rows, column) if fits else None


def _sum_of_products(model: Any, graph: Any, operator: Any, rows: Any, column: Any) -> list[Any]:
    classes = schema()
    made, sums = [], []
    for part, kernel in zip(rows.inputs, column.inputs, strict=True):
        reshape = _row_of(model, graph, int(kernel))
        product = copy.copy(operator)
        graph.tensors.append(copy.copy(graph.tensors[operator.outputs[0]]))
        sums.append(len(graph.tensors) - 1)
        product.inputs, product.outputs = [part, reshape.outputs[0], -1], [sums[-1]]
        made += [reshape, product]
    add = classes.OperatorT()
    add.opcodeIndex = operator_code(model, classes.BuiltinOperator.ADD)
    add.inputs, add.outputs = sums, list(operator.outputs)
    add.builtinOptionsType = classes.BuiltinOptions.AddOptions
    add.builtinOptions = classes.AddOptionsT()
    return [*made, add]


def _name(model: Any, operator: Any) -> str:
    return builtin_name(model.operatorCodes[operator.opcodeIndex])


def _ids(indices: Any) -> list[int]:
    return [] if indices is None else [int(index) for index in indices]
