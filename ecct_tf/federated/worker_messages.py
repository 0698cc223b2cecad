"""Values in the messages of TFF's workers, written and read with few copies and calls."""

from typing import Any

import numpy as np

from ecct_tf.federated import compat

__all__ = ["read_value", "write_value"]

_NUMBERS = "biuf"


def write_value(message: Any, value: Any, kind: Any) -> None:
    """Writes what TFF's `serialize_value` makes of a value, in place.

    TFF makes a message of each part, and a copy of it for each message around it: the samples of
    a round were copied six times.

    Args:
      message: `executor_pb2.Value`, empty.
      value: what is sent.
      kind: its type.

    Raises:
      TypeError: they do not fit.
    """
    if isinstance(kind, compat.FederatedType) and (kind.all_equal or isinstance(value, list)):
        for each in [value] if kind.all_equal else value:
            write_value(message.federated.value.add(), each, kind.member)
        message.federated.type.CopyFrom(compat.serialize_type(kind).federated)
        return
    members = compat.members_of(kind)
    parts = None
    if members is not None:
        parts = value if isinstance(value, tuple) else compat.parts_of(value)
    if members is not None and parts is not None and len(members) == len(parts):
        message.struct.SetInParent()
        for (name, part_kind), part in zip(members, parts, strict=True):
            element = message.struct.element.add()
            if name:
                element.name = name
            write_value(element.value, part, part_kind)
    elif _is_array(value, kind):
        array = message.array
        array.dtype = compat.dtype_to_proto(kind.dtype.type)
        array.shape.dim.extend(value.shape)
        array.content = value.tobytes()
    else:
        # Also what does not fit, which TFF says.
        message.CopyFrom(compat.serialize_value(value, kind)[0])


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
