"""Where in a model's or loss's source an operator of its graph was made."""

import functools
import traceback
from collections.abc import Collection, Iterable
from pathlib import Path

import tensorflow as tf

__all__ = ["differentiated", "made_at", "of_the_library", "place_of", "raised_at"]

_OF_OUTPUTS = ("ReluGrad", "SigmoidGrad", "TanhGrad")


def place_of(operation: tf.Operation, forward: Collection[tf.Operation]) -> str:
    """The line of the model that made the operator, or the one whose gradient it is."""
    made = operation if operation in forward else differentiated(operation, forward)
    if made is not None:
        return made_at(made)
    # Of shapes that are known nothing is read: any operator of the kind may be the one.
    kind = operation.type.removesuffix("Grad")
    same = [each for each in forward if each.type == kind and not of_the_library(each)]
    return " or".join(sorted({made_at(each) for each in same}))


def of_the_library(operation: tf.Operation) -> bool:
    """Whether the library's code made an operator, rather than a model's own."""
    frames = [frame.filename for frame in operation.traceback or []]
    library, *tensorflow = _inside()
    own = [name for name in frames if not any(Path(name).is_relative_to(it) for it in tensorflow)]
    return bool(own) and Path(own[-1]).is_relative_to(library)


def made_at(operation: tf.Operation) -> str:
    """` at FILE, line N`, where a model's own source made an operator; empty where none did."""
    return _outside((frame.filename, frame.lineno) for frame in operation.traceback or [])


def differentiated(
    operation: tf.Operation, forward: Collection[tf.Operation]
) -> tf.Operation | None:
    """The operator of the forward pass whose gradient `operation` belongs to, if it shows."""
    read = [
        tensor.op.inputs[0] if tensor.op.type == "Shape" else tensor for tensor in operation.inputs
    ]
    read = [tensor for tensor in read if tensor.op in forward and tensor.op.type != "Const"]
    if not read:
        return None
    common = set.intersection(*({*tensor.consumers()} & {*forward} for tensor in read))
    readers = [each for each in common if each.type not in ("Shape", "Const")]
    # What a gradient reads is an input of its operator, or its output.
    if operation.type in _OF_OUTPUTS or not readers:
        return read[-1].op
    same = [each for each in readers if operation.type.startswith(each.type)]
    return (same or readers)[0]


def raised_at(error: BaseException) -> str:
    """The same of where an error arose."""
    return _outside(
        (frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)
    )


def _outside(frames: Iterable[tuple[str, int | None]]) -> str:
    own = [
        (name, line)
        for name, line in frames
        if not name.startswith("<") and not any(Path(name).is_relative_to(it) for it in _inside())
    ]
    if not own:
        return ""
    name, line = own[-1]
    return f" at {Path(name).name}, line {line}"


@functools.cache
def _inside() -> tuple[Path, ...]:
    tensorflow = [Path(tf.__file__).parent, *(Path(each) for each in tf.__path__)]
    return (Path(__file__).parents[1], *tensorflow)
