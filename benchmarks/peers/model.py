"""The `mlp` edge model and its loss, for any library of arrays: what the peers train.

A test holds it equal to the library's own. With a weight `item_table` it has what the library has
not: a trainable table of items, as plain federated recommenders have it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Operations", "Samples", "batch_losses", "logits"]


class Operations(NamedTuple):
    """What a library of arrays calls them; `concat` joins along the last axis."""

    concat: Callable[[Sequence[Any]], Any]
    relu: Callable[[Any], Any]
    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]
    softplus: Callable[[Any], Any]


class Samples(NamedTuple):
    """Samples of a device, or a batch of them.

    Attributes:
      dense: `[B, width] float32`, features of the interaction, the cloud's embedding and its logit.
      profile: `[B, columns] int32`.
      item: `[B] int32`.
      label: `[B] float32`.
      teacher: `[B] float32`, the cloud's logit as a teacher.
    """

    dense: Any
    profile: Any
    item: Any
    label: Any
    teacher: Any


def logits(ops: Operations, weights: Mapping[str, Any], samples: Samples) -> Any:
    """`[B] float32`."""
    columns = samples.profile.shape[-1]
    profile = [weights[f"profile_{k}"][samples.profile[:, k]] for k in range(columns)]
    if "item_table" in weights:
        profile.append(weights["item_table"][samples.item])
    joined = ops.concat([samples.dense, *profile])
    hidden = ops.relu(joined @ weights["hidden/kernel"] + weights["hidden/bias"])
    embedding = ops.tanh(hidden @ weights["embedding/kernel"] + weights["embedding/bias"])
    of_inputs = joined @ weights["head/inputs"] + weights["head/bias"]
    return embedding @ weights["head/embedding"] + of_inputs


def batch_losses(
    ops: Operations,
    logit: Any,
    samples: Samples,
    *,
    distillation_weight: float,
    temperature: float,
) -> Any:
    """`[B] float32`: cross-entropy with labels, and the tempered one with the cloud's logits."""
    taught = ops.sigmoid(samples.teacher / temperature)
    tempered = logit / temperature
    soft = ops.softplus(tempered) - tempered * taught
    hard = ops.softplus(logit) - logit * samples.label
    return hard + distillation_weight * temperature**2 * soft
