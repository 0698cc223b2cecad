"""The conformance kit for losses of devices: what the simulation, a phone and a file rely on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import EdgeLoss, collaborative_loss
from ecct_tf.edge.loss_registry import (
    check_loss_operators,
    find_distillation,
    find_loss,
    loss_of,
)
from ecct_tf.errors import EcctError
from ecct_tf.testing.edge_files import interpreted
from ecct_tf.testing.findings import CheckFailedError, Finding, raise_failures, words_of

__all__ = ["check_loss", "loss_findings"]

Array = npt.NDArray[np.float32]

_NEGATIVES, _POSITIONS, _DEVICES = 3, 4, 3
_STEP = 1e-2
_TEMPERATURE = 2.0
_CLOSE = 1e-5


def check_loss(
    loss: str | Callable[..., Any], *, distillation: bool = False, seed: int = 0
) -> tuple[Finding, ...]:
    """Checks a loss, for the tests of the package that brings it.

    Args:
      loss: its name, as in `training.loss`, or its function.
      distillation: whether it is one for `training.distillation_loss`, of the cloud's logits.
      seed: of the logits and labels.

    Returns:
      What was found.

    Raises:
      ConformanceError: when it failed in anything; the message names every failure.

    >>> [finding.check for finding in check_loss("bpr")][:3]
    ['build', 'operators', 'gradient']
    """
    findings = loss_findings(loss, distillation=distillation, seed=seed)
    raise_failures(findings, what=f"loss {_name_of(loss)!r}")
    return findings


def loss_findings(
    loss: str | Callable[..., Any], *, distillation: bool = False, seed: int = 0
) -> tuple[Finding, ...]:
    """What each check of `check_loss` finds; nothing is raised for a failure.

    Args:
      loss: its name, as in `training.loss`, or its function.
      distillation: whether it is one for `training.distillation_loss`.
      seed: of the logits and labels.
    """
    given = (_TEMPERATURE,) if distillation else ()
    find = find_distillation if distillation else find_loss
    try:
        function = find(loss, setting="loss") if isinstance(loss, str) else loss
        built = _Checked(loss_of(function, *given, name=_name_of(loss)), distillation)
    except EcctError as error:
        untold = [Finding(name, None, "there is no loss") for name in _CHECKS]
        return Finding("build", False, str(error)), *untold
    reads = "positions, an item and its negatives" if built.loss.by_position else "single samples"
    findings = [Finding("build", True, f"a loss of {reads}")]
    for name, check in _CHECKS.items():
        try:
            findings.append(Finding(name, True, check(built, seed)))
        except CheckFailedError as failure:
            findings.append(Finding(name, False, str(failure)))
        except Exception as error:
            findings.append(Finding(name, False, words_of(error)))
    return tuple(findings)


class _Checked(NamedTuple):
    """A loss, and whether it reads the cloud's logits in place of labels."""

    loss: EdgeLoss
    distillation: bool


class _Batch(NamedTuple):
    """Rows of a device, position by position: `[..., B] float32`, three times."""

    logits: Array
    targets: Array
    weights: Array


def _batch(checked: _Checked, seed: int, *lead: int, positions: int = _POSITIONS) -> _Batch:
    rng, width = np.random.default_rng([seed, positions, *lead]), 1 + _NEGATIVES
    shape = (*lead, positions * width)
    logits, teacher = (rng.normal(0.0, 2.0, shape).astype(np.float32) for _ in range(2))
    labels = np.tile(np.eye(1, width, dtype=np.float32)[0], (*lead, positions))
    return _Batch(logits, teacher if checked.distillation else labels, np.ones_like(logits))


def _value(checked: _Checked, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The loss of a batch, and its gradient by the logits."""
    logits, targets, weights = (tf.convert_to_tensor(part) for part in batch)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = collaborative_loss(
            logits,
            labels=targets,
            teacher=tf.zeros_like(logits),
            weights=weights,
            loss=checked.loss,
            group_size=1 + _NEGATIVES if checked.loss.by_position else 1,
            distillation_weight=0.0,
            temperature=1.0,
        )
    return value, tape.gradient(value, logits)


def _traced(checked: _Checked, rank: int) -> Callable[[_Batch], tuple[Array, Array]]:
    """`_value`, traced for open numbers of rows: a file has no other."""
    spec = tf.TensorSpec([None] * rank, tf.float32)
    traced = tf.function(
        lambda *parts: _value(checked, parts), input_signature=[spec] * 3, autograph=False
    )
    concrete = traced.get_concrete_function()

    def run(batch: _Batch) -> tuple[Array, Array]:
        value, gradient = concrete(*map(tf.constant, batch))
        return value.numpy(), gradient.numpy()

    return run


def _operators(checked: _Checked, seed: int) -> str:
    del seed
    check_loss_operators(checked.loss, what="the loss")
    return "builtin, forward and gradient, alone and stacked"


def _gradient(checked: _Checked, seed: int) -> str:
    """Against central differences; where a loss bends, most directions must agree."""
    run, batch = _traced(checked, 1), _batch(checked, seed)
    gradient, rng, errors = run(batch)[1], np.random.default_rng([seed, 1]), []
    if not np.abs(gradient).max() > 0:
        raise CheckFailedError("expected a gradient other than zero for random logits")
    for _ in range(7):
        direction = rng.standard_normal(len(gradient)).astype(np.float32)
        direction *= np.float32(_STEP / np.linalg.norm(direction))
        ahead, behind = (
            float(run(batch._replace(logits=batch.logits + sign * direction))[0])
            for sign in (np.float32(1), np.float32(-1))
        )
        scale = max(float(np.linalg.norm(gradient)) * _STEP * 0.2, 1e-6)
        errors.append(abs((ahead - behind) / 2 - float(gradient @ direction)) / scale)
    error = sorted(errors)[len(errors) // 2]
    if error > 0.05:
        raise CheckFailedError(f"{error:.0%} from finite differences, expected at most 5%")
    return f"{error:.1%} from finite differences"


def _apart(checked: _Checked, seed: int) -> str:
    """The loss of a batch is the mean over its parts, and padding counts for nothing."""
    run, batch = _traced(checked, 1), _batch(checked, seed)
    whole, half = run(batch)[0], len(batch.logits) // 2
    parts = [
        run(_Batch(*(part[rows] for part in batch)))[0]
        for rows in (slice(0, half), slice(half, None))
    ]
    _expect_close(np.mean(parts), whole, what="the loss of a batch and the mean of its halves")
    mask = batch.weights.copy()
    mask[half:] = 0.0
    padded, gradient = run(batch._replace(weights=mask))
    _expect_close(padded, parts[0], what="the loss of a batch with and without padding")
    if gradient[half:].any():
        raise CheckFailedError("padding has a gradient")
    return "a batch is the mean of its parts; padding counts for nothing"


def _stacked(checked: _Checked, seed: int) -> str:
    batch, alone = _batch(checked, seed, _DEVICES), _traced(checked, 1)
    values, gradients = _traced(checked, 2)(batch)
    for device in range(_DEVICES):
        value, gradient = alone(_Batch(*(part[device] for part in batch)))
        _expect_close(values[device], value, what="losses of a stack")
        _expect_close(gradients[device], gradient, what="gradients of a stack")
    return f"{_DEVICES} devices stacked and alone, losses and gradients"


def _finite(checked: _Checked, seed: int) -> str:
    run, batch = _traced(checked, 1), _batch(checked, seed)
    for what, logits in (
        ("zero", np.zeros_like(batch.logits)),
        ("100", np.full_like(batch.logits, 100.0)),
        ("±100", np.sign(batch.logits) * np.float32(100)),
    ):
        for name, values in zip(
            ("loss", "gradient"), run(batch._replace(logits=logits)), strict=True
        ):
            if not np.isfinite(values).all():
                raise CheckFailedError(f"the {name} is not finite for logits of {what}")
    return "for logits of 0 and ±100"


def _conversion(checked: _Checked, seed: int) -> str:
    def step(*parts: tf.Tensor) -> dict[str, tf.Tensor]:
        value, gradient = _value(checked, parts)
        return {"loss": tf.reshape(value, [1]), "gradient": gradient}

    run, traced = interpreted(step, _Batch._fields), _traced(checked, 1)
    for positions in (1, _POSITIONS):
        batch = _batch(checked, seed, positions=positions)
        got, (value, gradient) = run(batch._asdict()), traced(batch)
        _expect_close(got["loss"][0], value, what="the loss in a file", by=1e-4)
        _expect_close(got["gradient"], gradient, what="the gradient in a file", by=1e-4)
    return f"in a file with builtin operators, for 1 position and {_POSITIONS}"


def _expect_close(got: Any, expected: Any, *, what: str, by: float = _CLOSE) -> None:
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(np.asarray(got) - np.asarray(expected)).max())
    if not difference <= by * scale:
        raise CheckFailedError(f"{what} differ by {difference:.2g}")


def _name_of(loss: str | Callable[..., Any]) -> str:
    return loss if isinstance(loss, str) else getattr(loss, "__qualname__", repr(loss))


_CHECKS: dict[str, Callable[[_Checked, int], str]] = {
    "operators": _operators,
    "gradient": _gradient,
    "parts and padding": _apart,
    "stacked as single": _stacked,
    "finite": _finite,
    "conversion": _conversion,
}
