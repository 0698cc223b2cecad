"""What an edge model may be made of, checked when it is built instead of first at the export.

The forward function and its gradient are traced with open numbers of rows, for one device and for a
stack of them. What is left is a list of operators: each must be one that the converter turns into
TFLite's builtin operators, and nothing of the model may depend on Python, on a device's state or on
a number of rows that is fixed.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import tensorflow as tf

from ecct_tf.edge.model import EdgeInputs, EdgeModel, EdgeOutputs, EdgeSpec
from ecct_tf.edge.order import check_order
from ecct_tf.edge.places import differentiated, made_at, of_the_library, place_of, raised_at
from ecct_tf.edge.plain import broadcast_fault
from ecct_tf.errors import ConfigError

__all__ = [
    "BUILTIN",
    "HINTS",
    "check_graph",
    "check_operators",
    "forward_graph",
    "input_specs",
]

BUILTIN = frozenset(
    (
        "Abs", "Add", "AddN", "AddV2", "All", "Any", "ArgMax", "ArgMin", "BatchMatMul",
        "BatchMatMulV2", "BiasAdd", "BroadcastTo", "Cast", "Ceil", "Concat", "ConcatV2", "Const",
        "Cos", "Cumsum", "Div", "DivNoNan", "Elu", "Equal", "Exp", "ExpandDims", "Fill", "Floor",
        "FloorDiv", "FloorMod", "GatherNd", "GatherV2", "Gelu", "Greater", "GreaterEqual",
        "Identity", "IdentityN", "LeakyRelu", "Less", "LessEqual", "Log", "LogSoftmax",
        "LogicalAnd", "LogicalNot", "LogicalOr", "MatMul", "MatrixTranspose", "Max", "Maximum",
        "Mean", "Min", "Minimum", "Mul", "Neg", "NoOp", "NotEqual", "OneHot", "OnesLike", "Pack",
        "Pad", "PadV2", "Placeholder", "Pow", "PreventGradient", "Prod", "Range", "Rank",
        "RealDiv", "Relu", "Relu6", "Reshape", "Round", "Rsqrt", "Select", "SelectV2", "Shape",
        "Sigmoid", "Sign", "Sin", "Size", "Slice", "Softmax", "Split", "SplitV", "Sqrt", "Square",
        "SquaredDifference", "Squeeze", "StopGradient", "StridedSlice", "Sub", "Sum", "Tanh",
        "Tile", "TopKV2", "Transpose", "Unpack", "ZerosLike",
    )
)  # fmt: skip
"""TensorFlow's operators that the converter turns into TFLite's builtin ones."""

_LAYERS = "ecct_tf.edge.layers"
_HIDDEN = "leave tf.function away: the model is traced with the whole, in a fixed order of sums"
HINTS = {
    "BroadcastGradientArgs": (
        "an operator of two tensors has a gradient that phones lack; a * b, a + b, a - b and a / b "
        f"may be written so, all else with matmul, relu, blend and their like of {_LAYERS}"
    ),
    "BatchMatMulV2": f"for a @ b use matmul, dense or row_dot of {_LAYERS}",
    "Maximum": f"write it with relu of {_LAYERS}: b + relu(a - b)",
    "Minimum": f"write it with relu of {_LAYERS}: b - relu(b - a)",
    "Pow": "write the product: a * a",
    "ConcatOffset": f"use concat of {_LAYERS}",
    "DynamicStitch": f"a sum or mean over an axis: use masked_sum or masked_mean of {_LAYERS}",
    "EagerPyFunc": "write it with tensors; a phone has no Python",
    "InvertPermutation": "give the permutation of a transpose as transpose_a or transpose_b",
    "PartitionedCall": _HIDDEN,
    "PyFunc": "write it with tensors; a phone has no Python",
    "ReluGrad": f"use relu of {_LAYERS}",
    "SigmoidGrad": f"use sigmoid of {_LAYERS}",
    "SoftmaxGrad": f"use softmax of {_LAYERS}",
    "StatefulPartitionedCall": _HIDDEN,
    "StridedSliceGrad": f"a slice of a trained value: use split, newest_slots or unstack_slots of "
    f"{_LAYERS}",
    "TanhGrad": f"use tanh of {_LAYERS}",
    "VarHandleOp": "declare the variable as a Weight of the layout: a model has no state",
    "While": "unroll the loop, as GRU does",
}
# What `Architecture.reads` names, as fields of the inputs. The mask of the slots tells their use.
_FIELDS = {
    "slots": ("slots",),
    "items": ("history_items", "history_mask", "candidate_items"),
    "dropout": ("dropout",),
}
_RANDOM = "draw nothing inside: a model must give the same answers each time"


def check_operators(model: EdgeModel) -> None:
    """Traces a model and refuses what no phone could run.

    Raises:
      ConfigError: with the operator, the place in the model's source and what to write instead.
    """
    for stacked in (False, True):
        what = f"edge model {model.tier!r}, {'stacked' if stacked else 'of one device'}"
        traced = _traced(model, stacked=stacked, what=what)
        _check_inputs(model, traced.inputs, what=what)
        _check_outputs(model, traced.outputs, stacked=stacked, what=what)
        check_graph(traced.graph, traced.forward, what=what)
        if not stacked:
            check_order(*forward_graph(model), what=f"edge model {model.tier!r}")
        if traced.gradient is None:
            raise ConfigError(f"{what}: expected a logit that depends on the weights; it does not")


def forward_graph(model: EdgeModel) -> tuple[tf.Graph, Callable[[tf.Operation], str]]:
    """The graph of a forward pass in fixed order, and a function that tells an operator's place.

    Raises:
      ConfigError: when it cannot be traced.
    """
    what = f"edge model {model.tier!r}"
    traced = _traced(model, stacked=False, with_gradient=False, fixed_order=True, what=what)
    return traced.graph, lambda operation: place_of(operation, traced.forward)


def input_specs(
    spec: EdgeSpec,
    *,
    rows: int | None,
    lead: tuple[int | None, ...] = (),
    reads_items: bool,
    reads_dropout: bool = False,
) -> EdgeInputs:
    """The shapes and dtypes of a model's inputs.

    Args:
      spec: the sizes.
      rows: B; None for any number.
      lead: sizes before it.
      reads_items: whether there are item vectors.
      reads_dropout: whether there are keys of the rows.
    """

    def tensor(*shape: int, dtype: Any = tf.float32) -> tf.TensorSpec:
        return tf.TensorSpec((*lead, rows, *shape), dtype)

    length, width = spec.history_length, spec.item_dim
    inputs = EdgeInputs(
        interactions=tensor(spec.interaction_dim),
        slots=tensor(length, spec.num_blocks),
        slot_mask=tensor(length, 1),
        profile=tensor(
            len(spec.profile_sizes) + spec.profile_numbers + sum(spec.profile_sets), dtype=tf.int32
        ),
        cloud_embedding=tensor(spec.cloud_dim),
        cloud_logit=tensor(),
        dropout=tensor(dtype=tf.int32) if reads_dropout else None,
    )
    if not reads_items:
        return inputs
    return inputs._replace(
        history_items=tensor(length, width),
        history_mask=tensor(length, 1),
        candidate_items=tensor(width),
    )


class _Traced(NamedTuple):
    """A model's graph: its inputs, the operators of its forward pass, its outputs and gradient."""

    graph: tf.Graph
    inputs: EdgeInputs
    forward: Collection[tf.Operation]
    outputs: EdgeOutputs
    gradient: tf.Tensor | None


def _traced(
    model: EdgeModel,
    *,
    stacked: bool,
    what: str,
    with_gradient: bool = True,
    fixed_order: bool = False,
) -> _Traced:
    lead = (None,) if stacked else ()
    # All that there is, whatever the model declares: what it reads without is found so.
    reads_items = model.spec.item_dim > 0
    # In a fixed order a device answers: nothing trains.
    keys = not fixed_order
    specs = input_specs(
        model.spec, rows=None, lead=lead, reads_items=reads_items, reads_dropout=keys
    )
    graph = tf.Graph()
    with graph.as_default():
        flat = tf.compat.v1.placeholder(tf.float32, (*lead, model.layout.size))
        inputs = specs.map(lambda part: tf.compat.v1.placeholder(part.dtype, part.shape))
        try:
            with tf.GradientTape() as tape:
                tape.watch(flat)
                outputs = model.forward(flat, inputs, fixed_order=fixed_order)
            forward = frozenset(graph.get_operations())
            gradient = None
            if with_gradient and isinstance(outputs, EdgeOutputs):
                answers = [each for each in outputs if each is not None]
                gradient = tape.gradient(answers, flat)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"{what}: tracing its forward function or gradient failed{raised_at(error)}: "
                f"{type(error).__name__}: {_first_line(error)}"
            ) from error
    if not isinstance(outputs, EdgeOutputs):
        raise ConfigError(
            f"{what}: expected forward to return EdgeOutputs(embedding, logit), got "
            f"{type(outputs).__name__}"
        )
    return _Traced(graph, inputs, forward, outputs, gradient)


def _check_inputs(model: EdgeModel, inputs: EdgeInputs, *, what: str) -> None:
    for readable, names in _FIELDS.items():
        if readable in model.reads:
            continue
        for name in names:
            tensor = getattr(inputs, name)
            if tensor is not None and tensor.consumers():
                place = made_at(tensor.consumers()[0])
                raise ConfigError(
                    f"{what} reads {name}{place}, which is not computed unless it is declared: "
                    f"declare it with architecture(..., reads=['{readable}'])"
                )


def check_graph(graph: tf.Graph, forward: Collection[tf.Operation], *, what: str) -> None:
    """Refuses a graph with operators that phones lack, or that yield float64.

    Args:
      graph: forward pass and gradient.
      forward: the operators of the forward pass.
      what: was traced, for messages.

    Raises:
      ConfigError: with the operator, its place in the source and what to write instead.
    """
    for operation in graph.get_operations():
        kind = operation.type
        fault = broadcast_fault(operation) if operation in forward else None
        if fault and not of_the_library(operation):
            raise ConfigError(f"{what}: operator {kind}{place_of(operation, forward)}: {fault}")
        if kind not in BUILTIN:
            place = place_of(operation, forward)
            raise ConfigError(f"{what}: operator {kind}{place}: {_hint(operation, forward)}")
        doubles = [each for each in operation.outputs if each.dtype.base_dtype == tf.float64]
        if doubles:
            raise ConfigError(
                f"{what}: operator {kind}{place_of(operation, forward)} yields float64: expected "
                "float32; cast constants"
            )


def _hint(operation: tf.Operation, forward: Collection[tf.Operation]) -> str:
    kind = operation.type
    # Many operators have the one that asks for what was broadcast in their gradients.
    if kind == "BroadcastGradientArgs" and (origin := differentiated(operation, forward)):
        kind = origin.type if origin.type in HINTS else kind
    return HINTS.get(kind) or (_RANDOM if "Random" in kind else "phones lack it")


def _check_outputs(model: EdgeModel, outputs: EdgeOutputs, *, stacked: bool, what: str) -> None:
    rank = 2 if stacked else 1
    wanted: list[tuple[str, tf.Tensor, tuple[int, ...]]] = [
        ("embedding", outputs.embedding, (model.spec.embedding_dim,)),
        ("logit", outputs.logit, ()),
    ]
    check_heads(model.spec, outputs, what=what)
    if model.spec.targets:
        wanted.append(("targets", outputs.targets, (len(model.spec.targets),)))
    for name, tensor, shape in wanted:
        lead = "[devices, rows" if stacked else "[rows"
        width = "".join(f", {extent}" for extent in shape)
        found = tensor.shape
        if (
            tensor.dtype != tf.float32
            or found.rank != rank + len(shape)
            or tuple(found[rank:]) != shape
        ):
            raise ConfigError(
                f"{what}: expected {name} {lead}{width}] float32, got {found} {tensor.dtype.name}"
            )
        if any(extent is not None for extent in found[:rank]):
            raise ConfigError(
                f"{what}: expected {name} for any number of rows, got the fixed shape {found}; "
                "build no tensor of a fixed number of rows"
            )


def check_heads(spec: EdgeSpec, outputs: EdgeOutputs, *, what: str) -> None:
    """Refuses a model without heads for the targets that it is built for.

    Raises:
      ConfigError: with the targets and what to write.
    """
    if spec.targets and outputs.targets is None:
        raise ConfigError(
            f"{what}: expected logits of the targets {', '.join(spec.targets)} (samples.targets), "
            "got none: EdgeOutputs(embedding, logit, targets), or "
            "Head(spec.embedding_dim, width, spec.targets), which makes them"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]
