"""Whether what a device sends is computed in a fixed order of sums, read from the graph."""

import tensorflow as tf

from ecct_tf.edge import EdgeModel
from ecct_tf.edge.operators import forward_graph
from ecct_tf.fixed_order import fixed_order

__all__ = ["loose_operators"]

# Each runtime computes these in an order, or to a precision, of its own.
_LOOSE = frozenset(
    (
        "Cos", "Cumsum", "Elu", "Exp", "Log", "LogSoftmax", "Mean", "Pow", "Prod", "Rsqrt",
        "Sigmoid", "Sin", "Softmax", "Sqrt", "Sum", "Tanh",
    )
)  # fmt: skip
_PRODUCTS = ("BatchMatMul", "BatchMatMulV2", "MatMul")


def loose_operators(model: EdgeModel) -> list[str]:
    """Operators of a forward pass in fixed order whose last bit a runtime decides, with places.

    A product of matrices counts, unless `fixed_order.matmul` cut it into parts, or it picks rows.
    """
    with fixed_order():
        graph, place = forward_graph(model)
    return [
        f"{operation.type}{place(operation)}"
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
