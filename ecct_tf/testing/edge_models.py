"""The conformance kit for edge models: what the simulation, a phone and a file rely on."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import EdgeInputs, EdgeModel, EdgeSpec, model_of
from ecct_tf.edge.operators import check_operators, forward_graph
from ecct_tf.edge.order import check_order
from ecct_tf.edge.registry import find_builder
from ecct_tf.errors import EcctError
from ecct_tf.testing.edge_files import converted, trained
from ecct_tf.testing.edge_inputs import (
    any_weights,
    forward_and_gradient,
    random_inputs,
    shared_history,
)
from ecct_tf.testing.findings import CheckFailedError, Finding, raise_failures, words_of

__all__ = ["SMALL_SPEC", "check_edge_model", "edge_model_findings"]

Array = npt.NDArray[np.float32]

SMALL_SPEC = EdgeSpec(
    interaction_dim=7,
    history_length=4,
    num_blocks=2,
    profile_sizes=(3, 4),
    cloud_dim=5,
    embedding_dim=4,
    hidden_dim=6,
    profile_dim=2,
    heads=2,
    item_dim=6,
    profile_numbers=2,
    profile_sets=(3, 2),
)
"""Small sizes, no two alike that could be mixed up."""

_DEVICES, _ROWS = 3, 5
_CLOSE = 1e-5
_STEP = 2e-3


def check_edge_model(
    model: str | Callable[[EdgeSpec], Any], spec: EdgeSpec = SMALL_SPEC, *, seed: int = 0
) -> tuple[Finding, ...]:
    """Checks an edge model, for the tests of the package that brings it.

    Args:
      model: its name, as in `edge.tiers`, or its builder.
      spec: the sizes to build it for.
      seed: of the weights and inputs.

    Returns:
      What was found.

    Raises:
      ConformanceError: when it failed in anything; the message names every failure.

    >>> [finding.check for finding in check_edge_model("linear")][:3]
    ['build', 'operators', 'layout']
    """
    findings = edge_model_findings(model, spec, seed=seed)
    name = model if isinstance(model, str) else getattr(model, "__qualname__", repr(model))
    raise_failures(findings, what=f"edge model {name!r}")
    return findings


def edge_model_findings(
    model: str | Callable[[EdgeSpec], Any],
    spec: EdgeSpec = SMALL_SPEC,
    *,
    seed: int = 0,
    only: Collection[str] | None = None,
) -> tuple[Finding, ...]:
    """What each check of `check_edge_model` finds; nothing is raised for a failure.

    Args:
      model: its name, as in `edge.tiers`, or its builder.
      spec: the sizes to build it for.
      seed: of the weights and inputs.
      only: names of the checks to run beside `build`; None for all.
    """
    built, built_finding = _build(model, spec)
    findings = [built_finding]
    refused = False
    for name, check in _CHECKS.items():
        if only is not None and name not in only:
            continue
        if built is None:
            findings.append(Finding(name, None, "there is no model"))
        elif refused and name == "conversion":
            findings.append(Finding(name, None, "no file has the operators that were refused"))
        else:
            findings.append(_run(name, check, built, seed, refused=refused))
        refused = refused or (name == "operators" and findings[-1].passed is False)
    return tuple(findings)


def _build(
    model: str | Callable[[EdgeSpec], Any], spec: EdgeSpec
) -> tuple[EdgeModel | None, Finding]:
    try:
        builder = find_builder(model, setting="model") if isinstance(model, str) else model
        name = model if isinstance(model, str) else "of_ones_own"
        built = model_of(name, spec, builder(spec))
    except Exception as error:
        return None, Finding("build", False, words_of(error))
    weights = f"{built.layout.size} weights"
    reads = ", ".join(sorted(built.reads)) or "nothing beside what every model does"
    return built, Finding("build", True, f"{weights}, reads {reads}")


def _run(
    name: str,
    check: Callable[[EdgeModel, int], str],
    model: EdgeModel,
    seed: int,
    *,
    refused: bool = False,
) -> Finding:
    try:
        return Finding(name, True, check(model, seed))
    except CheckFailedError as failure:
        return Finding(name, False, str(failure))
    except Exception as error:
        # What cannot even be traced fails everywhere, for one and the same reason.
        if refused and not isinstance(error, EcctError):
            return Finding(name, None, "the forward function fails, see operators")
        return Finding(name, False, words_of(error))


def _operators(model: EdgeModel, seed: int) -> str:
    del seed
    check_operators(model)
    return "builtin, forward and gradient, alone and stacked"


def _layout(model: EdgeModel, seed: int) -> str:
    """Every weight teaches something, and none of the head decides the embedding."""
    initial = model.layout.initial(seed)
    if not np.isfinite(initial).all():
        raise CheckFailedError("expected finite initial weights")
    weights = any_weights(model, seed=seed)
    inputs = random_inputs(model, 40, seed=seed)
    outputs, gradient = forward_and_gradient(model, weights, inputs)
    for name, part in model.layout.to_dict(gradient).items():
        if not part.any():
            raise CheckFailedError(f"the weight {name!r} of the layout reaches no answer")
    moved = weights.copy()
    moved[model.layout.shared_size("backbone") :] += 1.0
    other, _ = forward_and_gradient(model, moved, inputs)
    if not np.array_equal(other.embedding, outputs.embedding):
        raise CheckFailedError(
            "a weight of the part 'head' decides the embedding; it belongs to the backbone"
        )
    return f"{len(model.layout.weights)} tensors, each of which learns"


def _repeatable(model: EdgeModel, seed: int) -> str:
    weights, inputs = any_weights(model, seed=seed), random_inputs(model, _ROWS, seed=seed)
    answers = [np.asarray(_traced(model, inputs)(weights)[1]) for _ in range(3)]
    difference = max(_apart(answers[0], other) for other in answers[1:])
    if difference:
        raise CheckFailedError(
            f"traced again it answers {difference:.2g} otherwise: something outside of weights and "
            "inputs decides"
        )
    if not model.reads_dropout:
        return "traced three times, one answer"
    weights_of = any_weights(model, seed=seed)
    others = inputs._replace(dropout=inputs.dropout + 1)
    without = [each._replace(dropout=None) for each in (inputs, others)]
    answers = [_traced(model, each)(weights_of)[1].numpy() for each in (inputs, others, *without)]
    if not _apart(answers[0], answers[1]):
        raise CheckFailedError(
            "it reads the keys of dropout, and gives the same answers for all of them"
        )
    if _apart(answers[2], answers[3]) or not np.isfinite(answers[2]).all():
        raise CheckFailedError("where nothing trains its answers are not those of one model")
    return "traced three times, one answer; what is dropped follows from the keys alone"


def _traced(model: EdgeModel, inputs: EdgeInputs) -> Callable[[Array], tuple[Any, Any]]:
    """A model traced anew, as a function of its weights alone: embeddings and logits."""

    def answer(flat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tuple(
            part for part in model.forward(flat, inputs.map(tf.constant)) if part is not None
        )

    weights = tf.TensorSpec([model.layout.size], tf.float32)
    traced = tf.function(answer, input_signature=[weights], autograph=False)
    concrete = traced.get_concrete_function()
    return lambda flat: concrete(tf.constant(flat))


def _rows_apart(model: EdgeModel, seed: int) -> str:
    """Whatever rows are beside a row, its answer is the same; so is a history written once."""
    weights, inputs = any_weights(model, seed=seed), random_inputs(model, _ROWS, seed=seed)
    together, _ = forward_and_gradient(model, weights, inputs)
    for row in range(_ROWS):
        alone, _ = forward_and_gradient(model, weights, _rows(inputs, row))
        for name, every in together._asdict().items():
            if every is not None:
                got, expected = getattr(alone, name), every[row : row + 1]
                _expect_close(got, expected, what=f"{name} of a row alone and among others")
    once, repeated = (
        forward_and_gradient(model, weights, one)[0] for one in shared_history(inputs)
    )
    _expect_close(
        once.logit, repeated.logit, what="logits with the history written once and for each row"
    )
    return f"{_ROWS} rows alone and together, a history written once and for each row"


def _rows(inputs: EdgeInputs, row: int) -> EdgeInputs:
    return inputs.map(lambda part: part[row : row + 1])


def _stacked(model: EdgeModel, seed: int) -> str:
    weights = any_weights(model, _DEVICES, seed=seed)
    inputs = random_inputs(model, _DEVICES, _ROWS, seed=seed)
    outputs, gradient = forward_and_gradient(model, weights, inputs)
    for device in range(_DEVICES):
        own = _of_device(inputs, device)
        alone, alone_gradient = forward_and_gradient(model, weights[device], own)
        _expect_close(outputs.embedding[device], alone.embedding, what="embeddings of a stack")
        _expect_close(outputs.logit[device], alone.logit, what="logits of a stack")
        if outputs.targets is not None and alone.targets is not None:
            _expect_close(outputs.targets[device], alone.targets, what="targets of a stack")
        _expect_close(gradient[device], alone_gradient, what="gradients of a stack")
    return f"{_DEVICES} devices stacked and alone, answers and gradients"


def _of_device(inputs: EdgeInputs, device: int) -> EdgeInputs:
    return inputs.map(lambda part: part[device])


def _gradient(model: EdgeModel, seed: int) -> str:
    """Against central differences, tensor by tensor."""
    weights, inputs = any_weights(model, seed=seed), random_inputs(model, _ROWS, seed=seed)
    _, gradient = forward_and_gradient(model, weights, inputs)

    answer = _traced(model, inputs)

    def value(moved: Array) -> float:
        embedding, logit, *targets = (np.asarray(part, np.float64) for part in answer(moved))
        others = sum(float(np.sin(part).sum()) for part in targets)
        return float(np.square(logit - 1.0).sum() + np.sin(embedding).sum()) + others

    rng = np.random.default_rng([seed, 2])
    worst = 0.0
    for name, place in model.layout.to_dict(np.arange(len(weights), dtype=np.float32)).items():
        places = place.ravel().astype(np.int64)
        errors = []
        # Where a rectifier bends a difference is no slope: most directions must agree.
        for _ in range(3):
            direction = np.zeros_like(weights)
            direction[places] = rng.standard_normal(len(places))
            direction *= np.float32(_STEP / np.linalg.norm(direction))
            slope = (value(weights + direction) - value(weights - direction)) / 2
            scale = max(abs(slope), float(np.linalg.norm(gradient[places]) * _STEP) * 0.1, 1e-5)
            errors.append(abs(slope - float(gradient @ direction)) / scale)
        error = sorted(errors)[1]
        worst = max(worst, error)
        if error > 0.05:
            raise CheckFailedError(
                f"of {name!r}: {error:.0%} from finite differences, expected at most 5%"
            )
    return f"at most {worst:.1%} from finite differences"


def _finite(model: EdgeModel, seed: int) -> str:
    """At zero, at the bounds of the features, and for weights that are zero."""
    inputs = random_inputs(model, _ROWS, seed=seed)
    cases = {
        "all inputs zero": inputs.map(np.zeros_like),
        "inputs of 10": inputs.map(
            lambda part: np.sign(part) * 10 if part.dtype.kind == "f" else part
        ),
        "random inputs": inputs,
    }
    for what, given in cases.items():
        for weights_name, weights in (
            ("random weights", any_weights(model, seed=seed)),
            ("weights of zero", np.zeros(model.layout.size, np.float32)),
        ):
            outputs, gradient = forward_and_gradient(
                model, weights, given.map(lambda part: np.asarray(part, part.dtype))
            )
            for name, values in (*outputs._asdict().items(), ("gradient", gradient)):
                if values is not None and not np.isfinite(values).all():
                    raise CheckFailedError(f"{name} is not finite for {what} and {weights_name}")
    return "at zero, at the bounds of the features, for weights of zero"


def _fixed_order(model: EdgeModel, seed: int) -> str:
    """What a device sends has the same bits wherever it is computed."""
    check_order(*forward_graph(model), what="in a fixed order of sums")
    weights = any_weights(model, _DEVICES, seed=seed)
    inputs = random_inputs(model, _DEVICES, _ROWS, seed=seed)
    outputs, _ = forward_and_gradient(model, weights, inputs, fixed_order=True)
    singles = [
        forward_and_gradient(model, weights[device], _of_device(inputs, device), fixed_order=True)[
            0
        ]
        for device in range(_DEVICES)
    ]
    for name in ("embedding", "logit"):
        alone = np.stack([getattr(single, name) for single in singles])
        if not np.array_equal(alone, getattr(outputs, name)):
            raise CheckFailedError(
                f"{name} of a device alone and in a stack differ in the last bits"
            )
    fast, _ = forward_and_gradient(model, weights, inputs)
    _expect_close(outputs.logit, fast.logit, what="logits in a fixed order and a fast one", by=1e-3)
    return "equal to the last bit, alone and stacked"


def _conversion(model: EdgeModel, seed: int) -> str:
    run = converted(model)
    weights = any_weights(model, seed=seed)
    for rows in (1, _ROWS):
        inputs = random_inputs(model, rows, seed=seed)
        got = run(weights, inputs)
        expected = trained(model, tf.constant(weights), inputs.map(tf.constant))
        for name, value in expected.items():
            _expect_close(
                got[name], np.asarray(value), what=f"{name} of the file for {rows} rows", by=1e-4
            )
    return "a step of training in a file with builtin operators, for 1 row and 5"


def _apart(one: Array, other: Array) -> float:
    return float(np.abs(one - other).max(initial=0.0))


def _expect_close(got: Array, expected: Array, *, what: str, by: float = _CLOSE) -> None:
    if got.shape != expected.shape:
        raise CheckFailedError(f"{what}: expected the shape {expected.shape}, got {got.shape}")
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    if not _apart(got, expected) <= by * scale:
        raise CheckFailedError(f"{what} differ by {_apart(got, expected):.2g}")


_CHECKS: dict[str, Callable[[EdgeModel, int], str]] = {
    "operators": _operators,
    "layout": _layout,
    "repeatable": _repeatable,
    "rows apart": _rows_apart,
    "stacked as single": _stacked,
    "gradient": _gradient,
    "finite": _finite,
    "fixed order": _fixed_order,
    "conversion": _conversion,
}
