"""From traced signatures to the bytes of a `.tflite` file with builtin operators only."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.errors import ExportError
from ecct_tf.tensorflow_files import literal, writing
from mobile_export.flatbuffer.schema import builtin_name, operators, read_model, reading, schema

__all__ = ["QUANTISED_SCOPE", "Calibration", "Precision", "check_operators", "convert"]

Precision = Literal["float32", "dynamic-int8", "float16", "int8"]

# Inputs of a signature, as a device would pass them: (signature, inputs by name).
Calibration = list[tuple[str, Mapping[str, npt.NDArray[Any]]]]

_ADVICE = {
    "ReluGrad": "ecct_tf.edge.layers.relu",
    "BroadcastGradientArgs": "ecct_tf.edge.layers.Dense, or shapes that need no broadcasting",
    "ConcatOffset": "ecct_tf.edge.layers.concat",
    "ShapeN": "ecct_tf.edge.layers.concat",
    "Softplus": "log(1 + exp(-|x|)) + relu(x), as ecct_tf.knowledge.binary_cross_entropy does",
    "SoftmaxCrossEntropyWithLogits": "ecct_tf.edge.losses",
    "SparseSoftmaxCrossEntropyWithLogits": "ecct_tf.edge.losses",
    "TanhGrad": "ecct_tf.edge.layers.tanh",
    "SigmoidGrad": "ecct_tf.edge.layers.sigmoid",
    "ResourceGather": "ecct_tf.edge.layers.Embedding",
    "UnsortedSegmentSum": "ecct_tf.edge.layers.Embedding",
    "StatelessRandomNormalV2": "noise as an input, drawn by the caller",
    "Save": "the signatures save and restore, which return and take the state",
    "Restore": "the signatures save and restore, which return and take the state",
}
# Operators traced in this scope are those that `int8` quantises.
QUANTISED_SCOPE = "edge_model/"
_PRODUCT = "FULLY_CONNECTED"

_DEFAULT_ADVICE = "a tf.custom_gradient over builtin operators, as in ecct_tf.edge.primitives"


def convert(module: Any, *, precision: Precision, calibration: Calibration | None = None) -> bytes:
    """Converts the functions of an `EdgeGraph`.

    Args:
      module: with `functions`, by signature.
      precision: of weights and activations that are not trained.
      calibration: inputs by which `int8` measures activations.

    Raises:
      ExportError: when the model needs an operator that is not builtin; the message names
        it, where it comes from, and what to write instead.
    """
    with tempfile.TemporaryDirectory() as temporary, literal(Path(temporary)) as folder:
        with writing(folder, way_out="or set TMPDIR to a folder elsewhere"):
            _save(module, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.experimental_enable_resource_variables = True
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            if precision == "int8":
                content = _with_int8_layers(converter, calibration)
            else:
                content = converter.convert()
        except ExportError:
            raise
        except Exception as error:  # The converter raises errors of its own and RuntimeError.
            raise ExportError(_refusal(str(error))) from error
    check_operators(content)
    return content


def _save(module: Any, folder: Path) -> None:
    try:
        tf.saved_model.save(module, str(folder), signatures=dict(module.functions))
    except (AssertionError, ValueError) as error:
        # TensorFlow's way of saying that a function reads a variable that the file cannot hold.
        raise ExportError(
            "the edge model keeps variables of its own, as layers of Keras do: expected all of its "
            "weights in the layout of its architecture. Declare each as a Weight, or build with "
            f"ecct_tf.edge.layers. TensorFlow says: {str(error).strip()[:500]}"
        ) from error


def _with_int8_layers(converter: Any, calibration: Calibration | None) -> bytes:
    """Quantises the products of the edge model itself, activations included, and nothing else.

    What pools a history and scores its slots keeps float activations: its dot products have
    heavy tails, and eight bits over their whole range change logits by more than their spread.
    """
    if not calibration:
        raise ExportError(
            "the variant inference-int8 is calibrated on real inputs, got none; pass "
            "calibration=, or choose inference-dynamic-int8"
        )
    converter.representative_dataset = lambda: _examples(calibration)
    debugger = tf.lite.experimental.QuantizationDebugger(converter=converter)
    model = read_model(debugger.calibrated_model)
    kinds, layers = set(), set()
    for index, operator, kind in operators(model):
        kinds.add(kind)
        tensors = model.subgraphs[index].tensors
        if kind == _PRODUCT and QUANTISED_SCOPE not in _origin(tensors[operator.outputs[0]]):
            layers.add(_origin(tensors[operator.outputs[0]]))
    debugger.options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_ops=sorted(kinds - {_PRODUCT}), denylisted_nodes=sorted(layers)
    )
    content: bytes = debugger.get_nondebug_quantized_model()
    return content


def check_operators(content: bytes) -> dict[str, dict[str, int]]:
    """Counts the operators of each signature of a file.

    Raises:
      ExportError: when one is not builtin.
    """
    counts: dict[str, dict[str, int]] = {}
    with reading(content) as root:
        codes = [
            builtin_name(schema().OperatorCodeT.InitFromObj(root.OperatorCodes(index)))
            for index in range(root.OperatorCodesLength())
        ]
        signatures = [root.SignatureDefs(index) for index in range(root.SignatureDefsLength())]
        names = {found.SubgraphIndex(): found.SignatureKey().decode() for found in signatures}
        for index in range(root.SubgraphsLength()):
            graph, where = root.Subgraphs(index), names.get(index, f"subgraph {index}")
            for place in range(graph.OperatorsLength()):
                operator = graph.Operators(place)
                name = codes[operator.OpcodeIndex()]
                if name.startswith(("CUSTOM", "UNKNOWN")):
                    layer = (graph.Tensors(operator.Outputs(0)).Name() or b"").decode()
                    message = _message(name.removeprefix("CUSTOM:Flex"), f"{where}: {layer}")
                    raise ExportError(message)
                found = counts.setdefault(where, {})
                found[name] = found.get(name, 0) + 1
    return counts


def _examples(calibration: Calibration) -> Iterator[Any]:
    for signature, inputs in calibration:
        yield signature, {name: np.asarray(value) for name, value in inputs.items()}


def _refusal(error: str) -> str:
    """Names operator and layer out of the converter's error."""
    found = re.search(r"'tf\.(\w+)' op is neither", error) or re.search(r"ops: (\w+)", error)
    if found is None:
        return f"the converter refused the edge model: {error.strip()[:2000]}"
    operator = found[1]
    signature = re.search(r"failed while converting: '(\w+)'", error)
    layer = re.search(rf'"{operator}:", "([^"@]+)', error)
    where = [f"signature {signature[1]}"] if signature else []
    where += [f"layer {layer[1]}"] if layer else []
    return _message(operator, ", ".join(where) or "the edge model's forward or gradient")


def _message(operator: str, layer: str) -> str:
    advice = _ADVICE.get(operator, _DEFAULT_ADVICE)
    return (
        f"the edge model needs the operator {operator}, which is not one of TFLite's builtin "
        f"ones; it comes from {layer}. An app would need the Flex delegate, tens of MB. Write "
        f"{advice} instead."
    )


def _origin(tensor: Any) -> str:
    name = tensor.name
    return name.decode() if isinstance(name, bytes) else str(name)
