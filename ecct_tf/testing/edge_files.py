"""An edge model as a file: converted to builtin operators, run, and trained for one step."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import EdgeInputs, EdgeModel
from ecct_tf.edge.operators import input_specs
from ecct_tf.testing.edge_inputs import functional
from mobile_export.making.conversion import convert

__all__ = ["converted", "interpreted", "trained"]

Arrays = dict[str, npt.NDArray[Any]]

_RATE = 0.01


class _File(tf.Module):
    """A model whose weights are an input: what it answers, and what one step makes of them."""

    def __init__(self, model: EdgeModel) -> None:
        super().__init__()
        specs = input_specs(
            model.spec,
            rows=None,
            reads_items=model.reads_items,
            reads_dropout=model.reads_dropout,
        )
        self.names = [name for name, spec in specs._asdict().items() if spec is not None]
        weights = tf.TensorSpec([model.layout.size], tf.float32, "weights")
        inputs = [
            tf.TensorSpec(getattr(specs, name).shape, getattr(specs, name).dtype, name)
            for name in self.names
        ]

        def step(flat: tf.Tensor, *given: tf.Tensor) -> dict[str, tf.Tensor]:
            return trained(model, flat, EdgeInputs(**dict(zip(self.names, given, strict=True))))

        traced = tf.function(step, input_signature=[weights, *inputs], autograph=False)
        self.functions = {"train": traced.get_concrete_function()}


def trained(model: EdgeModel, flat: tf.Tensor, inputs: EdgeInputs) -> dict[str, tf.Tensor]:
    """Answers, and the weights after a step down the gradient."""
    with tf.GradientTape() as tape:
        tape.watch(flat)
        outputs = model.forward(flat, inputs)
        loss = functional(outputs)
    moved = flat - _RATE * tape.gradient(loss, flat)
    answers = {name: part for name, part in outputs._asdict().items() if part is not None}
    return {**answers, "weights": moved}


def converted(model: EdgeModel) -> Any:
    """Runs `trained` as TensorFlow Lite does: `(weights, inputs) -> answers and weights`.

    Raises:
      ExportError: when the model needs an operator that is not builtin.
    """
    module = _File(model)
    runner = _runner(module)

    def run(weights: npt.NDArray[np.float32], inputs: EdgeInputs) -> Arrays:
        given = {name: np.asarray(getattr(inputs, name)) for name in module.names}
        given = {"weights": weights, **given}
        found: Arrays = runner(**{name: given[name] for name in runner.get_input_details()})
        return found

    return run


class _Function(tf.Module):
    """A function of vectors of one open length."""

    def __init__(self, function: Callable[..., dict[str, tf.Tensor]], names: Sequence[str]) -> None:
        super().__init__()
        specs = [tf.TensorSpec([None], tf.float32, name) for name in names]
        traced = tf.function(function, input_signature=specs, autograph=False)
        self.functions = {"train": traced.get_concrete_function()}


def interpreted(
    function: Callable[..., dict[str, tf.Tensor]], names: Sequence[str]
) -> Callable[[Mapping[str, npt.NDArray[np.float32]]], Arrays]:
    """`function` of vectors `[B] float32` as TensorFlow Lite runs it.

    Args:
      function: of tensors, in the order of `names`.
      names: of its arguments.

    Raises:
      ExportError: when it needs an operator that is not builtin.
    """
    runner = _runner(_Function(function, names))

    def run(given: Mapping[str, npt.NDArray[np.float32]]) -> Arrays:
        found: Arrays = runner(**{name: given[name] for name in runner.get_input_details()})
        return found

    return run


def _runner(module: tf.Module) -> Any:
    with _quiet():
        content = convert(module, precision="float32")
    return _interpreter(content).get_signature_runner("train")


def _interpreter(content: bytes) -> Any:
    """LiteRT's where it is installed, or else TensorFlow's."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return tf.lite.Interpreter(model_content=content)
    return Interpreter(model_content=content)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what TensorFlow says while it saves and converts."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
