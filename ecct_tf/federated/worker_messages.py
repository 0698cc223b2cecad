"""Values in the messages of TFF's workers, written and read with few copies and calls."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.federated import compat

__all__ = ["create_value_request", "read_value"]

_NUMBERS = "biuf"
# Bytes below which a copy costs less than a view.
_SMALL = 4096

_Bytes = bytes | memoryview


def _number(*path: str) -> int:
    """The number of the last field of a path that begins at a `CreateValueRequest`."""
    message = compat.CreateValueRequest.DESCRIPTOR
    for name in path[:-1]:
        message = message.fields_by_name[name].message_type
    number: int = message.fields_by_name[path[-1]].number
    return number


_EXECUTOR, _VALUE = _number("executor"), _number("value")
_ARRAY, _CONTENT = _number("value", "array"), _number("value", "array", "content")
_STRUCT, _ELEMENT = _number("value", "struct"), _number("value", "struct", "element")
_NAME = _number("value", "struct", "element", "name")
_ELEMENT_VALUE = _number("value", "struct", "element", "value")
_FEDERATED, _MEMBER = _number("value", "federated"), _number("value", "federated", "value")
_PLACED_TYPE = _number("value", "federated", "type")


def create_value_request(executor_id: Any, value: Any, kind: Any) -> bytes:
    """A `CreateValueRequest` of a value, as it crosses.

    Protocol buffers copy the samples of a round half a dozen times until they are one sequence of
    bytes. So their headers alone are made with them, and the arrays put between these.

    Args:
      executor_id: `executor_pb2.ExecutorId`.
      value: what is sent.
      kind: its type.

    Raises:
      TypeError: they do not fit.
    """
    executor = _field(_EXECUTOR, [executor_id.SerializeToString()])
    return b"".join([*executor, *_field(_VALUE, _parts(value, kind))])


def _parts(value: Any, kind: Any) -> list[_Bytes]:
    """The content of the `executor_pb2.Value` that TFF's `serialize_value` makes."""
    if isinstance(kind, compat.FederatedType) and (kind.all_equal or isinstance(value, list)):
        found: list[_Bytes] = []
        for each in [value] if kind.all_equal else value:
            found += _field(_MEMBER, _parts(each, kind.member))
        placed = compat.serialize_type(kind).federated.SerializeToString()
        return _field(_FEDERATED, [*found, *_field(_PLACED_TYPE, [placed])])
    members = compat.members_of(kind)
    if members is not None:
        own = value if isinstance(value, tuple) else compat.parts_of(value)
        if len(members) == len(own):
            found = []
            for (name, part_kind), part in zip(members, own, strict=True):
                named = _field(_NAME, [name.encode()]) if name else []
                element = _field(_ELEMENT_VALUE, _parts(part, part_kind))
                found += _field(_ELEMENT, [*named, *element])
            return _field(_STRUCT, found)
    if _is_array(value, kind):
        header = compat.ExecutorValue()
        header.array.dtype = compat.dtype_to_proto(kind.dtype.type)
        header.array.shape.dim.extend(value.shape)
        content = _field(_CONTENT, [_content(value)])
        return _field(_ARRAY, [header.array.SerializeToString(), *content])
    # Also what does not fit, which TFF says.
    return [compat.serialize_value(value, kind)[0].SerializeToString()]


def _content(array: npt.NDArray[Any]) -> _Bytes:
    if array.nbytes < _SMALL or not array.flags.c_contiguous:
        return array.tobytes()
    return array.reshape(-1).view(np.uint8).data


def _field(number: int, parts: list[_Bytes]) -> list[_Bytes]:
    """A field of a message that contains `parts`, in the wire format of protocol buffers."""
    return [_varint(number << 3 | 2) + _varint(sum(map(len, parts))), *parts]


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def read_value(message: Any, kind: Any) -> Any:
    """What TFF's `deserialize_value` makes of a message, without a record of each part.

    Args:
      message: `executor_pb2.Value`.
      kind: the type of the value in it.

    Returns:
      Arrays, in TFF's structures, and a list for a value at clients.
    """
    held = message.WhichOneof("value")
    members = compat.members_of(kind)
    if held == "federated" and isinstance(kind, compat.FederatedType) and message.federated.value:
        if kind.all_equal:
            return read_value(message.federated.value[0], kind.member)
        return [read_value(each, kind.member) for each in message.federated.value]
    if held == "struct" and members is not None and len(members) == len(message.struct.element):
        return compat.structure_of(
            [
                (element.name or None, read_value(element.value, part_kind))
                for element, (_, part_kind) in zip(message.struct.element, members, strict=True)
            ]
        )
    if held == "array" and isinstance(kind, compat.TensorType) and kind.shape:
        array, dtype = message.array, kind.dtype
        if dtype.kind in _NUMBERS and array.dtype == compat.dtype_to_proto(dtype.type):
            return np.frombuffer(array.content, dtype).reshape(tuple(array.shape.dim))
    return compat.deserialize_value(message, kind)[0]


def _is_array(value: Any, kind: Any) -> bool:
    """Whether a value is an array of numbers of the type `kind`."""
    return (
        isinstance(value, np.ndarray)
        and value.ndim > 0
        and value.dtype.kind in _NUMBERS
        and isinstance(kind, compat.TensorType)
        and value.dtype == kind.dtype
        and compat.shape_fits(kind, value.shape)
    )
