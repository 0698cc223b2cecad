"""Made-up weights and inputs for an edge model, reproducible and with histories of all lengths."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import EdgeInputs, EdgeModel, EdgeOutputs

__all__ = ["any_weights", "forward_and_gradient", "functional", "random_inputs", "shared_history"]

Array = npt.NDArray[np.float32]


def random_inputs(model: EdgeModel, *lead: int, seed: int = 0) -> EdgeInputs:
    """Inputs as arrays, with the leading shape `lead`, rows last; the first has no history."""
    spec, rng = model.spec, np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return rng.standard_normal((*lead, *shape)).astype(np.float32)

    length = spec.history_length
    counts = rng.integers(0, length + 1, lead)
    counts[..., 0] = 0
    mask = (np.arange(length) >= length - counts[..., None]).astype(np.float32)[..., None]
    sizes = np.array(model.profile.rows, np.int64)
    inputs = EdgeInputs(
        interactions=normal(spec.interaction_dim),
        slots=normal(length, spec.num_blocks) * mask,
        slot_mask=mask,
        profile=rng.integers(0, sizes, (*lead, len(sizes))).astype(np.int32),
        cloud_embedding=normal(spec.cloud_dim),
        cloud_logit=normal(),
    )
    if model.reads_dropout:
        keys = rng.integers(0, 2**15, lead).astype(np.int32)
        inputs = inputs._replace(dropout=keys)
    if not model.reads_items:
        return inputs
    return inputs._replace(
        history_items=normal(length, spec.item_dim) * mask,
        history_mask=mask,
        candidate_items=normal(spec.item_dim),
    )


def shared_history(inputs: EdgeInputs) -> tuple[EdgeInputs, EdgeInputs]:
    """Inputs whose rows are of one user: written once, as when a phone ranks, and for each row."""
    first = {
        name: value[-1:]
        for name in ("history_items", "history_mask", "profile")
        if (value := getattr(inputs, name)) is not None
    }
    rows = len(inputs.interactions)
    spread = {name: np.repeat(value, rows, axis=0) for name, value in first.items()}
    return inputs._replace(**first), inputs._replace(**spread)


def any_weights(model: EdgeModel, *devices: int, seed: int = 0) -> Array:
    """`[*devices, P] float32`: initial weights, moved so that none is zero."""
    rng = np.random.default_rng([seed, 1])
    noise = rng.normal(scale=0.3, size=(*devices, model.layout.size))
    moved: Array = (model.layout.initial(seed) + noise).astype(np.float32)
    return moved


def forward_and_gradient(
    model: EdgeModel, weights: Array, inputs: EdgeInputs, *, fixed_order: bool = False
) -> tuple[EdgeOutputs, Array]:
    """Answers as arrays, and the gradient of a functional that is a sum over rows and devices."""
    flat = tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch(flat)
        outputs = model.forward(flat, inputs.map(tf.constant), fixed_order=fixed_order)
        total = functional(outputs)
    gradient = tape.gradient(total, flat)
    found = np.zeros_like(weights) if gradient is None else np.asarray(gradient)
    return EdgeOutputs(*(None if part is None else part.numpy() for part in outputs)), found


def functional(outputs: EdgeOutputs) -> tf.Tensor:
    """What the gradient is of: it depends on all that a model answers."""
    total = tf.reduce_sum(tf.square(outputs.logit - 1.0)) + tf.reduce_sum(tf.sin(outputs.embedding))
    return total if outputs.targets is None else total + tf.reduce_sum(tf.sin(outputs.targets))
