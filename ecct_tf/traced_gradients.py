"""Custom gradients that end with the graphs they were traced in.

Each time that TensorFlow traces a `tf.custom_gradient`, it registers the gradient for good, and
with it the graph and all that the graph has captured: the data of a run, an item table, weights. In
a process that runs many things one after another, nothing of them would ever be freed.
"""

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops  # what `tf.RegisterGradient` writes has no public name

__all__ = ["loosen_gradients"]

_NAMES, _FUNCTION = "CustomGradient-", "type"
# An attribute of graphs, which then own what is in it.
_HELD = "_ecct_custom_gradients"


def loosen_gradients() -> None:
    """Ties each traced gradient to its graph, instead of to the process.

    A graph that is still in use is differentiated as before; one that is not can be collected.
    """
    registered: dict[str, dict[str, Any]] = ops.gradient_registry._registry
    # Names alone: a list of pairs is made by and by, and the collector, which may run meanwhile,
    # takes gradients out whose graphs are gone.
    for name in list(registered):
        entry = registered.get(name) if name.startswith(_NAMES) else None
        if entry is None or isinstance(entry[_FUNCTION], _Loose):
            continue
        function = entry[_FUNCTION]
        graphs = {id(graph): graph for graph in _graphs_of(function, depth=2)}
        for graph in graphs.values():
            if not hasattr(graph, _HELD):
                setattr(graph, _HELD, [])
            getattr(graph, _HELD).append(function)
        if graphs:
            forget = functools.partial(registered.pop, name, None)
            entry[_FUNCTION] = _Loose(function, forget=forget)


class _Loose:
    """A gradient that lives as long as its graph."""

    def __init__(self, function: Callable[..., Any], *, forget: Callable[[], Any]) -> None:
        self._function = weakref.ref(function, lambda _: forget())

    def __call__(self, operation: tf.Operation, *gradients: Any) -> Any:
        function = self._function()
        if function is None:
            raise LookupError(f"{operation.name}: its graph is gone, and its gradient with it")
        return function(operation, *gradients)


def _graphs_of(function: Callable[..., Any], *, depth: int) -> Iterator[tf.Graph]:
    """Graphs of the tensors that a gradient and the functions in it were made with."""
    for cell in getattr(function, "__closure__", None) or ():
        try:
            held = cell.cell_contents
        except ValueError:
            continue
        if callable(held) and depth:
            yield from _graphs_of(held, depth=depth - 1)
            continue
        for each in tf.nest.flatten(held):
            if isinstance(each, tf.Tensor) and not hasattr(each, "numpy"):
                yield each.graph
