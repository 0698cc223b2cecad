"""What the converter leaves in a file that a phone need not carry, or cannot bear.

None of it changes a finite result: equal constants are kept once, optimiser slots start by a
`FILL` instead of a stored constant, and tensors inside a graph lose their long names.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mobile_export.flatbuffer.editing import constant, operator_code
from mobile_export.flatbuffer.schema import builtin_name, operators, schema, signature_names

__all__ = ["put_first", "slim"]

_FILL_FROM_VALUES = 64


def slim(model: Any) -> None:
    """Shrinks a model tree in place."""
    _fill_uniform_variables(model)
    _bound_halves(model)
    _drop_unread(model)
    _drop_names(model)
    _share_buffers(model)


def put_first(model: Any, signature: str) -> None:
    """Makes `signature` subgraph 0, which is what runtimes without signatures run."""
    by_name = {name: index for index, name in signature_names(model).items()}
    chosen = by_name[signature]
    order = [chosen, *(index for index in range(len(model.subgraphs)) if index != chosen)]
    place = {old: new for new, old in enumerate(order)}
    model.subgraphs = [model.subgraphs[index] for index in order]
    for found in model.signatureDefs:
        found.subgraphIndex = place[found.subgraphIndex]
    model.signatureDefs.sort(key=lambda found: found.subgraphIndex)
    for _, operator, _ in operators(model):
        # CALL_ONCE, IF and WHILE name other subgraphs.
        for field, value in vars(operator.builtinOptions or object).items():
            if field.endswith("SubgraphIndex") and isinstance(value, int):
                setattr(operator.builtinOptions, field, place[value])


def _fill_uniform_variables(model: Any) -> None:
    """Replaces constants of one value that start a variable by a FILL operator."""
    classes = schema()
    fill = None
    for graph in model.subgraphs:
        renewed = []
        for operator in graph.operators or []:
            name = builtin_name(model.operatorCodes[operator.opcodeIndex])
            value = _uniform(model, graph, operator) if name == "ASSIGN_VARIABLE" else None
            if value is not None:
                if fill is None:
                    fill = operator_code(model, classes.BuiltinOperator.FILL)
                renewed.append(_filling(model, graph, operator, value, code=fill))
            renewed.append(operator)
        graph.operators = renewed


def _uniform(model: Any, graph: Any, operator: Any) -> np.float32 | None:
    """The one value of the constant that `operator` assigns, if it is large and uniform."""
    tensor = graph.tensors[operator.inputs[1]]
    data = model.buffers[tensor.buffer].data
    if data is None or tensor.type != schema().TensorType.FLOAT32:
        return None
    values = np.frombuffer(bytes(bytearray(data)), np.float32)
    if len(values) < _FILL_FROM_VALUES or not (values == values[0]).all():
        return None
    return np.float32(values[0])


def _filling(model: Any, graph: Any, assign: Any, value: np.float32, *, code: int) -> Any:
    classes = schema()
    old = graph.tensors[assign.inputs[1]]
    length = int(old.shape[0])
    dims = constant(model, graph, np.array([length], np.int32), classes.TensorType.INT32, [1])
    scalar = constant(model, graph, np.array([value]), classes.TensorType.FLOAT32, [])
    output = classes.TensorT()
    output.shape, output.type, output.buffer = [length], old.type, 0
    graph.tensors.append(output)
    operator = classes.OperatorT()
    operator.opcodeIndex = code
    operator.inputs, operator.outputs = [dims, scalar], [len(graph.tensors) - 1]
    operator.builtinOptionsType = classes.BuiltinOptions.FillOptions
    operator.builtinOptions = classes.FillOptionsT()
    assign.inputs = [assign.inputs[0], len(graph.tensors) - 1]
    return operator


def _bound_halves(model: Any) -> None:
    """Constants that float16 made infinite become its largest: 0 times infinity is NaN."""
    largest = np.finfo(np.float16).max
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if tensor.type == schema().TensorType.FLOAT16 and data is not None:
                values = np.frombuffer(bytes(bytearray(data)), np.float16)
                bounded = np.clip(values, -largest, largest)
                model.buffers[tensor.buffer].data = np.frombuffer(bounded.tobytes(), np.uint8)


def _drop_unread(model: Any) -> None:
    """Empties constants that no operator reads; their tensors stay, since others come after."""
    for graph in model.subgraphs:
        read = {int(index) for operator in graph.operators or [] for index in _ids(operator.inputs)}
        read |= {int(index) for index in _ids(graph.outputs)}
        for index, tensor in enumerate(graph.tensors):
            if index not in read:
                tensor.buffer = 0


def _drop_names(model: Any) -> None:
    for graph in model.subgraphs:
        known = {int(index) for index in (*_ids(graph.inputs), *_ids(graph.outputs))}
        for index, tensor in enumerate(graph.tensors):
            if index not in known:
                tensor.name = None
            details = tensor.quantization
            if details is not None and _is_empty(details):
                tensor.quantization = None


def _ids(indices: Any) -> list[int]:
    return [] if indices is None else list(indices)


def _is_empty(details: Any) -> bool:
    fields = (details.min, details.max, details.scale, details.zeroPoint)
    return details.details is None and all(field is None or not len(field) for field in fields)


def _share_buffers(model: Any) -> None:
    """Keeps equal buffers once, and none that nobody reads."""
    used = {0: 0}
    by_content: dict[tuple[int, bytes], int] = {}
    kept = [model.buffers[0]]

    def place(index: int) -> int:
        if index not in used:
            data = model.buffers[index].data
            if data is None or not len(data):
                return 0
            # By its digest: a copy of each constant would be another file.
            key = (len(data), hashlib.sha256(np.asarray(data, np.uint8).tobytes()).digest())
            if key not in by_content:
                by_content[key] = len(kept)
                kept.append(model.buffers[index])
            used[index] = by_content[key]
        return used[index]

    _each_buffer(model, place)
    model.buffers = kept


def _each_buffer(model: Any, place: Callable[[int], int]) -> None:
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = place(tensor.buffer)
    for entry in model.metadata or []:
        entry.buffer = place(entry.buffer)
