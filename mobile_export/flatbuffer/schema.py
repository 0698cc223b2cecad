"""Reading and writing `.tflite` FlatBuffers through the schema that a runtime ships.

TensorFlow and ai-edge-litert each bring the same generated classes; whichever is
installed serves. They carry no types, so that a model here is `Any`.
"""

import contextlib
import copy
import functools
import hashlib
import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

from ecct_tf.errors import ExportError
from ecct_tf.installation import install_command

__all__ = [
    "builtin_name",
    "operators",
    "read_model",
    "reading",
    "schema",
    "signature_names",
    "write_model",
]

_MODULES = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")
_IDENTIFIER = b"TFL3"
_LARGE = 1 << 12


@functools.cache
def schema() -> ModuleType:
    """The generated classes.

    Raises:
      ExportError: when neither runtime is installed.
    """
    for name in _MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ExportError(
        "reading a .tflite file needs its schema, which neither tensorflow nor ai-edge-litert "
        f"provides here; install one of them: {install_command('export')}"
    )


def read_model(content: bytes) -> Any:
    """The model as a tree of objects.

    Raises:
      ExportError: when `content` is not a `.tflite` file.
    """
    with reading(content) as root:
        return schema().ModelT.InitFromObj(root)


@contextlib.contextmanager
def reading(content: bytes) -> Iterator[Any]:
    """The root of the model, whose parts are read as they are asked for, within the block.

    For a few parts that is a hundredth of the time that the whole tree takes.

    Raises:
      ExportError: when `content` is not a `.tflite` file, or damaged where it is read.
    """
    if content[4:8] != _IDENTIFIER:
        raise ExportError(
            f"expected a .tflite file, which has {_IDENTIFIER!r} at byte 4, got {content[4:8]!r} "
            f"in {len(content)} bytes"
        )
    try:
        yield schema().Model.GetRootAsModel(content, 0)
    except ExportError:
        raise
    except Exception as error:  # The generated reader fails in many ways on damaged bytes.
        raise ExportError(f"the .tflite file is damaged: {error}") from error


def write_model(model: Any) -> bytes:
    """The bytes of a tree of objects, parts that are equal written once.

    A FlatBuffer may refer to one table or vector from many places. Most tensors inside a
    graph differ in nothing but their number, so this halves a small file.
    """
    written = copy.copy(model)
    seen: dict[Any, _Once] = {}
    written.subgraphs = [_compact(graph, seen) for graph in model.subgraphs]
    builder = _SharingBuilder(1 << 20)
    builder.Finish(written.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def signature_names(model: Any) -> dict[int, str]:
    """The signature of each subgraph that has one."""
    return {found.subgraphIndex: found.signatureKey.decode() for found in model.signatureDefs or []}


def operators(model: Any) -> Iterator[tuple[int, Any, str]]:
    """Every operator: index of its subgraph, the operator, its name."""
    for index, graph in enumerate(model.subgraphs):
        for operator in graph.operators or []:
            yield index, operator, builtin_name(model.operatorCodes[operator.opcodeIndex])


def builtin_name(code: Any) -> str:
    """`GATHER`, or `CUSTOM:FlexErf` for an operator that is not builtin."""
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _operator_names().get(number, f"UNKNOWN_{number}")
    return f"CUSTOM:{_text(code.customCode)}" if name == "CUSTOM" else name


@functools.cache
def _operator_names() -> dict[int, str]:
    operators = vars(schema().BuiltinOperator).items()
    return {value: name for name, value in operators if isinstance(value, int)}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class _Once:
    """A part that is written at its first use; later uses refer to it."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self._offset: int | None = None

    def _pack(self, builder: Any) -> int:
        if self._offset is None:
            self._offset = int(self._part.Pack(builder))
        return self._offset

    Pack = _pack  # The name that the generated classes call.


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal vectors once, and aligns constants as the schema demands."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[tuple[str, bytes], int] = {}

    def _share_vector(self, x: npt.NDArray[Any]) -> int:
        # Of what is large its digest: a copy of each constant would be another file.
        content = x.tobytes() if x.nbytes <= _LARGE else hashlib.sha256(x.tobytes()).digest()
        key = (f"{x.dtype.str}{x.nbytes}", content)
        if key not in self._vectors:
            if x.dtype == np.uint8:
                # Buffers are `force_align: 16`, which the generated Python code forgets.
                self.Prep(16, x.size)
            self._vectors[key] = int(super().CreateNumpyVector(x))
        return self._vectors[key]

    CreateNumpyVector = _share_vector


def _compact(graph: Any, seen: dict[Any, _Once]) -> Any:
    """A copy of `graph` that shares what is equal, also with the graphs before it."""
    graph = copy.copy(graph)
    graph.tensors = [
        seen.setdefault(
            _tensor_key(tensor), _Once(_with_vectors(tensor, "shape", "shapeSignature"))
        )
        for tensor in graph.tensors
    ]
    graph.operators = [_with_vectors(part, "inputs", "outputs") for part in graph.operators or []]
    for operator in graph.operators:
        options = operator.builtinOptions
        if options is not None:
            operator.builtinOptions = seen.setdefault(_options_key(options), _Once(options))
    return graph


def _options_key(options: Any) -> Any:
    fields = ((name, repr(value)) for name, value in sorted(vars(options).items()))
    return (type(options).__name__, *fields)


def _with_vectors(part: Any, *fields: str) -> Any:
    """A copy whose lists of numbers are arrays, which the builder can share."""
    part = copy.copy(part)
    for field, value in vars(part).items():
        if isinstance(value, list | np.ndarray) and len(value) == 0 and field not in fields:
            setattr(part, field, None)
        elif field in fields and value is not None:
            setattr(part, field, np.asarray(value, np.int32))
    return part


def _tensor_key(tensor: Any) -> Any:
    if tensor.quantization is not None or tensor.sparsity is not None or tensor.name is not None:
        return id(tensor)
    shape, signature = (
        None if part is None else tuple(map(int, part))
        for part in (tensor.shape, tensor.shapeSignature)
    )
    return (shape, signature, tensor.type, tensor.buffer, tensor.isVariable, tensor.hasRank)
