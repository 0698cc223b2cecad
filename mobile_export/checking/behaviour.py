"""Checks of what a file does, in one interpreter. Each returns what it found, or raises."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.guard import keeps_training
from ecct_tf.errors import ExportError
from mobile_export.checking.hostile import hostile_inputs
from mobile_export.checking.reference import Reference, SimulatedTraining
from mobile_export.contract.samples import samples_of
from mobile_export.contract.signatures import Signature
from mobile_export.making.examples import DeviceExample, example_inputs
from mobile_export.making.variants import find_variant
from mobile_export.runtime.interpreter import CallRefusedError, Interpreter

__all__ = [
    "TRAINING_TOLERANCE",
    "check_guards",
    "check_outputs",
    "check_resume",
    "check_served",
    "check_training",
]

Contract = Mapping[str, Signature]
Arrays = Mapping[str, npt.NDArray[Any]]

TRAINING_TOLERANCE = 2e-6
# Of what weights moved. Devices of the simulation keep features as float16, and a file rounds to
# it: a feature halfway between two of its numbers may fall to either side. So a weight may differ
# by some 1e-7 more after each pass over the samples, and by more where a hidden unit stood at zero.
_ROUNDED_SHARE = 5e-3

# Against the source model with the file's own item table, by the precision of what else it
# holds. Logits of candidates spread by about 1: these are what rounding alone may cost.
_OUTPUT_TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "dynamic-int8": 0.2, "int8": 0.5}
_UNUSED = {"unused": np.zeros(1, np.float32)}


def check_outputs(
    interpreter: Interpreter, metadata: Mapping[str, Any], contract: Contract, reference: Reference
) -> str:
    """`infer`, `score` and `uplink` against the source model on real device rows."""
    variant = find_variant(metadata["variant"]["name"])
    own, float_source = reference.quantised_source(variant), reference.float_source()
    worst, change = 0.0, 0.0
    for example in reference.examples:
        for name in ("infer", "score", "uplink"):
            inputs = example_inputs(example, contract[name])
            if "noise" in inputs:
                inputs["noise"] = np.zeros_like(inputs["noise"])
            got = interpreter.run(name, inputs)
            if name == "uplink":
                _compare_uplink(got, own.answer(name, inputs), metadata, exact=variant.trainable)
                continue
            for output, expected in own.answer(name, inputs).items():
                worst = max(worst, float(np.abs(got[output] - expected).max()))
            logits = float_source.answer(name, inputs)["logit"]
            change = max(change, float(np.abs(got["logit"] - logits).max()))
    tolerance = _OUTPUT_TOLERANCES[variant.precision]
    if not worst <= tolerance:
        raise ExportError(
            f"outputs differ by {worst:.2g} from the source model, more than {tolerance:g}"
        )
    return (
        f"{len(reference.examples)} devices: {worst:.1e} from the source with the file's item "
        f"table, logits {change:.1e} from the float source"
    )


def check_training(
    interpreter: Interpreter, path: Path, contract: Contract, simulated: SimulatedTraining
) -> str:
    """`train` against the simulation's own device work.

    After one pass over the samples weights must agree within the tolerance. After more of them,
    in which each step starts from what differed before, a share of what they moved is allowed.
    """
    interpreter.load(path)
    interpreter.run("set_weights", {"weights": simulated.start})
    rows = contract["train"].inputs[0].shape[0]
    early = ""
    for number, batch in enumerate(simulated.batches, start=1):
        out = interpreter.run("train", batch if rows is None else _padded(batch, rows))
        if out["applied"][0] != 1.0:
            raise ExportError(f"a step of real samples was refused: {out}")
        if simulated.first_pass is not None and number == simulated.first_pass[0]:
            got = interpreter.run("get_weights", _UNUSED)["weights"]
            worst = _largest_difference(got, simulated.first_pass[1], number, TRAINING_TOLERANCE)
            early = f"max |Δw| {worst:.1e} after {number}, "
    got = interpreter.run("get_weights", _UNUSED)["weights"]
    moved = float(np.abs(simulated.final - simulated.start).max())
    most = max(TRAINING_TOLERANCE, _ROUNDED_SHARE * moved if early else 0.0)
    steps = len(simulated.batches)
    worst = _largest_difference(got, simulated.final, steps, most)
    return (
        f"{steps} steps: {early or 'max |Δw| '}{worst:.1e} at the end (weights moved {moved:.2g})"
    )


def _largest_difference(
    got: npt.NDArray[Any], expected: npt.NDArray[Any], steps: int, most: float
) -> float:
    worst = float(np.abs(got - expected).max())
    if not worst <= most:
        raise ExportError(
            f"after {steps} steps weights differ by {worst:.2g} from the simulation's, more than "
            f"{most:.2g}"
        )
    return worst


def check_served(
    interpreter: Interpreter,
    path: Path,
    metadata: Mapping[str, Any],
    contract: Contract,
    reference: Reference,
    simulated: SimulatedTraining,
) -> str:
    """Which weights a device serves with, and what it ranks by them, against the source model.

    A device judges its training by its newest positions, and serves with its start where they
    rank lower than there.
    """
    variant = find_variant(metadata["variant"]["name"])
    interpreter.load(path)
    got, expected = {}, {}
    for name, values in (("start", simulated.start), ("trained", simulated.final)):
        _accept(interpreter.run("set_weights", {"weights": values}), "set_weights")
        source = reference.trained_source(variant, values)
        got[name] = np.stack([_score(interpreter, contract, each) for each in simulated.held])
        expected[name] = np.stack(
            [source.answer("score", each)["logit"] for each in simulated.held]
        )
    worst = max(float(np.abs(got[name] - expected[name]).max()) for name in got)
    tolerance = _OUTPUT_TOLERANCES[variant.precision]
    if not worst <= tolerance:
        raise ExportError(
            f"held-back positions: logits differ by {worst:.2g} from the source model, more than "
            f"{tolerance:g}"
        )
    wanted = samples_of(metadata).guard_positions
    keeps = keeps_training(got["start"], got["trained"], wanted=wanted)
    # With logits that differ by rounding alone, the source can only decide otherwise by a tie.
    alike = keeps == keeps_training(expected["start"], expected["trained"], wanted=wanted)
    served = "what it trained" if keeps else "its start"
    return (
        f"{len(simulated.held)} held-back positions: serves with {served}"
        f"{'' if alike else ', by a tie within rounding'}, logits {worst:.1e} from the source"
    )


def _score(interpreter: Interpreter, contract: Contract, inputs: Arrays) -> npt.NDArray[Any]:
    """Logits of all candidates; a static file takes as many at a time as it has places."""
    count = len(inputs["candidates"])
    (places,) = next(port.shape for port in contract["score"].inputs if port.name == "candidates")
    size = places or count
    parts = []
    for start in range(0, count, size):
        some = np.resize(inputs["candidates"][start : start + size], size)
        found = interpreter.run("score", {**inputs, "candidates": some})["logit"]
        parts.append(found[: count - start])
    return np.concatenate(parts)


def check_resume(
    interpreter: Interpreter,
    path: Path,
    contract: Contract,
    example: DeviceExample,
    *,
    group_size: int,
) -> str:
    """A device that was restored goes on as if it had not been away, bit by bit."""
    inputs = example_inputs(example, contract["train"], group_size=group_size)
    interpreter.load(path)
    for _ in range(3):
        interpreter.run("train", inputs)
    saved = interpreter.run("save", _UNUSED)["state"]
    for _ in range(3):
        interpreter.run("train", inputs)
    expected = interpreter.run("save", _UNUSED)["state"]
    interpreter.load(path)
    _accept(interpreter.run("restore", {"state": saved}), "restore")
    again = interpreter.run("save", _UNUSED)["state"]
    for _ in range(3):
        interpreter.run("train", inputs)
    got = interpreter.run("save", _UNUSED)["state"]
    if again.tobytes() != saved.tobytes() or got.tobytes() != expected.tobytes():
        raise ExportError(
            "a restored state is not, or does not continue as, the one that was saved"
        )
    interpreter.run("reset_optimizer", _UNUSED)
    if interpreter.run("save", _UNUSED)["state"][-1] != 0.0:
        raise ExportError("reset_optimizer left the step as it was")
    return f"{len(saved)} values, bit-equal after going on"


def check_guards(
    interpreter: Interpreter,
    path: Path,
    contract: Contract,
    example: DeviceExample,
    *,
    calls: int,
    group_size: int,
) -> str:
    """Hostile calls end in an error or in finite numbers, and leave the weights sound."""
    rng = np.random.default_rng(0)
    interpreter.load(path)
    state = interpreter.run("save", _UNUSED)["state"] if "save" in contract else None
    good = {
        name: example_inputs(example, signature, group_size=group_size)
        for name, signature in contract.items()
    }
    for name in ("set_weights", "restore"):
        if name in contract and state is not None:
            port = contract[name].inputs[0]
            size = len(state) if name == "restore" else contract["get_weights"].outputs[0].shape[0]
            good[name] = {port.name: state[:size].copy()}
    probe = interpreter.run("score", good["score"])["logit"]
    refused = guarded = 0
    for _ in range(calls):
        name = list(contract)[rng.integers(len(contract))]
        told, inputs = hostile_inputs(contract[name], good[name], rng)
        try:
            outputs = interpreter.run(name, inputs)
        except CallRefusedError:
            refused += 1
        else:
            guarded += 1
            _all_finite(outputs, told)
        _sound(interpreter, state, told)
        if state is not None:
            _accept(interpreter.run("restore", {"state": state}), "restore")
        if not np.array_equal(interpreter.run("score", good["score"])["logit"], probe):
            raise ExportError(f"after {told}: the model no longer answers as before")
    return f"{calls} hostile calls: {refused} refused with an error, {guarded} guarded"


def _sound(interpreter: Interpreter, state: npt.NDArray[Any] | None, told: str) -> None:
    """Weights are finite, and near where they were: one step can move them by little."""
    if state is None:
        return
    weights = interpreter.run("get_weights", _UNUSED)["weights"]
    if not np.isfinite(weights).all():
        raise ExportError(f"after {told}: weights are not finite")


def _all_finite(outputs: Arrays, told: str) -> None:
    for name, value in outputs.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ExportError(f"after {told}: {name} is not finite")


def _accept(outputs: Arrays, name: str) -> None:
    if outputs["accepted"][0] != 1.0:
        raise ExportError(f"{name} refused a state that was saved")


def _compare_uplink(
    got: Arrays, expected: Arrays, metadata: Mapping[str, Any], *, exact: bool
) -> None:
    """What a file that trains answers is the same in every runtime, to the last bit."""
    if not np.array_equal(got["items"], expected["items"]):
        raise ExportError("uplink: the items are not the queries")
    if not exact:
        return
    codec = metadata["exchange"]["codec"]
    for name, scale in (("embeddings", "embedding_scales"), ("logits", "logit_scale")):
        if name not in expected:
            continue
        values = got[name].astype(np.float32)
        if codec == "float16":
            values = got[name].astype(np.uint16).view(np.float16).astype(np.float32)
        if codec == "int8":
            scales = got[scale].astype(np.uint16).view(np.float16).astype(np.float32)
            values *= scales[:, None] if values.ndim == 2 else scales
        if not np.array_equal(values, expected[name]):
            worst = float(np.abs(values - expected[name]).max())
            raise ExportError(
                f"uplink: {name} differ by up to {worst:.2g} from what the simulation's device "
                "would send in this state; both add in a fixed order, so that they must be equal"
            )


def _padded(batch: Arrays, rows: int) -> dict[str, npt.NDArray[Any]]:
    """A batch in a static file: padded to its rows, the mask 0 there."""
    grown = {}
    for name, value in batch.items():
        by_row = name in (
            "history",
            "candidates",
            "clock",
            "labels",
            "target_labels",
            "mask",
        )
        missing = rows - len(value) if by_row else 0
        if missing < 0:
            raise ExportError(
                f"the file takes {rows} rows, the run trains batches of {len(value)}; export with "
                f"--static {len(value)},C"
            )
        grown[name] = np.pad(value, [(0, missing)] + [(0, 0)] * (value.ndim - 1))
    return grown
