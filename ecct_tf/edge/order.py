"""Whether what a device sends is computed in a fixed order of sums, read from the graph."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import tensorflow as tf

from ecct_tf import fixed_order
from ecct_tf.edge.places import made_at
from ecct_tf.errors import ConfigError

__all__ = ["check_order", "loose_operators", "refusing_functions"]

P = ParamSpec("P")
R = TypeVar("R")

_FUNCTIONS = ("PartitionedCall", "StatefulPartitionedCall")

_LAYERS = "ecct_tf.edge.layers"
# Each runtime computes these in an order, or to a precision, of its own.
_LOOSE = frozenset(
    (
        "Cos", "Cumsum", "Elu", "Exp", "Log", "LogSoftmax", "Mean", "Pow", "Prod", "Rsqrt",
        "Sigmoid", "Sin", "Softmax", "Sqrt", "Sum", "Tanh",
    )
)  # fmt: skip
_PRODUCTS = ("BatchMatMul", "BatchMatMulV2", "MatMul")
_ORDERED_ELSE = f"use {_LAYERS}, or ecct_tf.fixed_order"
_ORDERED = {
    **dict.fromkeys(_PRODUCTS, f"for a @ b use matmul, dense or row_dot of {_LAYERS}"),
    **dict.fromkeys(("Mean", "Sum"), f"use masked_sum, masked_mean or product_sum of {_LAYERS}"),
    "Pow": "write the product: a * a",
    "Sigmoid": f"use sigmoid of {_LAYERS}",
    "Softmax": f"use softmax of {_LAYERS}",
    "Tanh": f"use tanh of {_LAYERS}",
}


def check_order(graph: tf.Graph, place: Callable[[tf.Operation], str], *, what: str) -> None:
    """Refuses a graph whose answers each runtime would compute to other last bits.

    Args:
      graph: a forward pass, traced in a fixed order of sums.
      place: tells where in its source an operator was made.
      what: was traced, for messages.

    Raises:
      ConfigError: with the operator, its place and what to write instead.
    """
    for operation in loose_operators(graph):
        kind = operation.type
        raise ConfigError(
            f"{what}: operator {kind}{place(operation)}: each runtime decides its last bit, and "
            f"what a device sends must be the same in all; {_ORDERED.get(kind, _ORDERED_ELSE)}"
        )


def refusing_functions(function: Callable[P, R], *, what: str) -> Callable[P, R]:
    """`function`, which in a fixed order refuses to run a `tf.function` inside.

    Such a function keeps the order of sums that it was first traced in, and would lose the fixed
    one without a word. Executed eagerly it is looked for once.

    Args:
      function: of tensors.
      what: it is, for messages.
    """
    looked = False

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal looked
        if not fixed_order.is_fixed():
            return function(*args, **kwargs)
        if tf.executing_eagerly():
            if not looked:
                with tf.Graph().as_default() as graph:
                    function(*tf.nest.map_structure(_placeholder, args), **kwargs)
                _refuse_functions(graph.get_operations(), what=what)
            looked = True
            return function(*args, **kwargs)
        graph = tf.compat.v1.get_default_graph()
        before = len(graph.get_operations())
        found = function(*args, **kwargs)
        _refuse_functions(graph.get_operations()[before:], what=what)
        return found

    return call


def _placeholder(given: Any) -> Any:
    if not tf.is_tensor(given):
        return given
    return tf.compat.v1.placeholder(given.dtype, given.shape)


def _refuse_functions(operations: Sequence[tf.Operation], *, what: str) -> None:
    for operation in operations:
        if operation.type in _FUNCTIONS:
            raise ConfigError(
                f"{what}: a tf.function{made_at(operation)}, in a fixed order of sums, which it "
                "would hide; leave tf.function away, or wrap the whole: tf.function(model.forward) "
                "takes the order as an argument"
            )


def loose_operators(graph: tf.Graph) -> list[tf.Operation]:
    """Operators whose last bit a runtime decides.

    A product of matrices counts, unless `fixed_order.matmul` cut it into parts, or it picks rows.
    """
    return [
        operation
        for operation in graph.get_operations()
        if operation.type in _LOOSE or (operation.type in _PRODUCTS and not _cut(operation))
    ]


def _cut(product: tf.Operation) -> bool:
    origins = [_origin(tensor.op) for tensor in product.inputs]
    return "OneHot" in origins or all(origin == "ConcatV2" for origin in origins)


def _origin(operation: tf.Operation) -> str:
    """The kind of what a product reads, behind a reshape."""
    while operation.type in ("Identity", "Reshape"):
        operation = operation.inputs[0].op
    return str(operation.type)
