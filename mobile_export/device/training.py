"""Local training: a device's own interactions as padded batches, and one round over them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import SampleConfig
from ecct_tf.data.clock import clock_readings
from ecct_tf.data.outcomes import outcome_weights, sample_labels, target_labels, target_names
from ecct_tf.data.samples import batch_rows, draw_samples, position_weights, sample_order
from ecct_tf.errors import DeviceError
from mobile_export.device.given import finite_number, whole_number
from mobile_export.device.model import DeviceModel
from mobile_export.device.state import DeviceState

__all__ = ["TrainingPlan", "TrainingReport", "train_round", "train_rounds"]

Batch = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """How a device trains; what is None is as the file says.

    Attributes:
      seed: of the run; with the user's id it fixes samples and their order.
      samples: which samples to draw.
      redraw: whether each round draws its negatives anew. The simulation's devices keep
        theirs, whose features they compute once.
      epochs: passes over the samples.
      batch_size: of a dynamic file; whole positions of it, where the loss reads positions.
      learning_rate: of the shared weights, in 0..1.
      private_learning_rate: of the private ones, in 0..1.

    Raises:
      DeviceError: for counts below 1, and rates that no step is made with.
    """

    seed: int = 0
    samples: SampleConfig | None = None
    redraw: bool = False
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    private_learning_rate: float | None = None

    def __post_init__(self) -> None:
        whole_number(self.seed, what="plan: seed", most=2**63 - 1)
        for name in ("epochs", "batch_size"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), what=f"plan: {name}", least=1)
        for name in ("learning_rate", "private_learning_rate"):
            if getattr(self, name) is not None:
                finite_number(getattr(self, name), what=f"plan: {name}", most=1.0)


@dataclasses.dataclass(frozen=True)
class TrainingReport:
    """What training was.

    Attributes:
      samples: that the device has.
      steps: that changed the weights.
      refused: steps that the file's guards refused.
      loss: mean over the samples in the last epoch; 0 without samples.
      target_losses: of each further target likewise, before its weight in the loss.
    """

    samples: int
    steps: int
    refused: int
    loss: float
    target_losses: dict[str, float] = dataclasses.field(default_factory=dict)


def train_round(
    model: DeviceModel, state: DeviceState, plan: TrainingPlan
) -> tuple[DeviceState, TrainingReport]:
    """One round of local training, with a fresh optimiser as the simulation's devices have it.

    Where there is nothing to train on, the state is as it was and no round is counted: also where
    the user met every item, so that there is none for a negative.

    Args:
      model: the device's file.
      state: of the device; not changed.
      plan: how to train.

    Returns:
      The new state and what happened.

    Raises:
      DeviceError: when the file does not train, or the state is another file's.
    """
    training = model.file.metadata["training"]
    batch = _batch_size(model, plan)
    epochs = int(training["epochs"]) if plan.epochs is None else plan.epochs
    rates = {
        name: np.array([training[name] if value is None else value], np.float32)
        for name, value in (
            ("learning_rate", plan.learning_rate),
            ("private_learning_rate", plan.private_learning_rate),
        )
    }
    steps, refused, loss = 0, 0, 0.0
    names = model.file.sizes.targets
    of_targets = np.zeros(len(names))
    with model.alone():
        user = {**model.begin_training(state), **rates}
        samples = _samples(model, model.usable(state), plan)
        count = len(samples["labels"])
        if not count:
            return state, TrainingReport(0, 0, 0, 0.0, dict.fromkeys(names, 0.0))
        for epoch in range(epochs):
            for rows in _batches(samples, batch, padded=model.file.sizes.batch or batch):
                told = model.train_batch({**rows, **user})
                steps += int(told["applied"][0])
                refused += 1 - int(told["applied"][0])
                if epoch == epochs - 1:
                    share = np.count_nonzero(rows["mask"]) / count
                    loss += float(told["loss"][0]) * share
                    of_targets += told["target_losses"] * share if names else 0.0
        own = dict(zip(names, of_targets.tolist(), strict=True))
        return model.end_training(state), TrainingReport(count, steps, refused, loss, own)


def train_rounds(
    model: DeviceModel, state: DeviceState, plan: TrainingPlan, *, rounds: int
) -> tuple[DeviceState, TrainingReport]:
    """Several rounds of local training, one after another, on the same downlink.

    Args:
      model: the device's file.
      state: of the device; not changed.
      plan: how to train, in each.
      rounds: how many, at least 1.

    Returns:
      The state after the last, and what happened: the steps of all of them, the loss of the last.

    Raises:
      DeviceError: as `train_round`, or there are no rounds.
    """
    steps = refused = 0
    for _ in range(whole_number(rounds, what="training: rounds", least=1)):
        state, report = train_round(model, state, plan)
        steps, refused = steps + report.steps, refused + report.refused
    return state, dataclasses.replace(report, steps=steps, refused=refused)


def _batch_size(model: DeviceModel, plan: TrainingPlan) -> int:
    told = int(model.file.metadata["training"]["batch_size"])
    size = told if plan.batch_size is None else plan.batch_size
    wanted = batch_rows(size, group_size=model.file.group_size)
    fixed = model.file.sizes.batch
    if fixed is not None and wanted > fixed:
        raise DeviceError(
            f"{model.file.name} takes {fixed} rows, the plan trains batches of {wanted}; export "
            f"with --static {wanted},C or take a smaller batch_size"
        )
    return wanted


def _samples(model: DeviceModel, state: DeviceState, plan: TrainingPlan) -> Batch:
    """All samples of the device, in the order in which they are trained on.

    No labels where there is no item left for a negative.
    """
    wanted, group_size = plan.samples or model.file.samples, model.file.group_size
    if group_size not in (1, 1 + wanted.negatives):
        raise DeviceError(
            f"{model.file.name}: its loss reads positions of {group_size - 1} negatives, the plan "
            f"draws {wanted.negatives}; leave `samples.negatives` as the file has it, or export a "
            f"run with samples.negatives={wanted.negatives}"
        )
    if target_names(wanted) != model.file.sizes.targets:
        raise DeviceError(
            f"{model.file.name} has heads for the targets {list(model.file.sizes.targets)}, the "
            f"plan has {list(target_names(wanted))}; take `samples` from the file"
        )
    # Items that came after the file was made have no row to learn from.
    known = (state.history >= 1) & (state.history <= model.num_items)
    seeds: dict[str, Any] = {
        "seed": plan.seed,
        "user": state.user,
        "round_number": state.round_number if plan.redraw else None,
    }
    pool = None if state.rows is None else state.rows.pool
    # By count, so that a large catalog is not written out for it.
    met = np.unique(state.history[known])
    left = model.num_items - len(met) if pool is None else len(np.setdiff1d(pool, met))
    if not left:
        return {"labels": np.zeros(0, np.float32)}
    drawn = draw_samples(
        state.history[known],
        num_older=int(known[: state.num_older].sum()),
        num_items=model.num_items,
        history_length=model.file.sizes.history_length,
        samples=wanted,
        pool=pool,
        **seeds,
    )
    codes = state.context[known]
    labels = sample_labels(codes[drawn.positions], wanted).astype(np.float32)
    order = sample_order(labels.size, group_size=group_size, **seeds)
    width, features = labels.shape[1], model.file.features
    weights = position_weights(drawn.positions, half_life=wanted.half_life)
    weights *= outcome_weights(codes[drawn.positions], wanted)
    # What the clock said at each position, when its interaction happened.
    readings = clock_readings(state.times[known], drawn.positions, config=features, context=codes)
    timed = {"clock": np.repeat(readings, width, axis=0)[order]} if features.clock_width else {}
    heads = target_labels(codes[drawn.positions], wanted)
    others = {"target_labels": heads.reshape(-1, heads.shape[2])[order]} if heads.size else {}
    return {
        **timed,
        **others,
        "history": np.repeat(drawn.histories, width, axis=0)[order],
        "candidates": drawn.candidates.reshape(-1)[order],
        "labels": labels.reshape(-1)[order],
        "mask": np.repeat(weights, width)[order],
    }


def _batches(samples: Batch, batch: int, *, padded: int) -> Iterator[Batch]:
    """Batches, all padded to one size: a runtime plans its memory anew for every other."""
    for start in range(0, len(samples["labels"]), batch):
        rows = {name: values[start : start + batch] for name, values in samples.items()}
        missing = padded - len(rows["labels"])
        if missing:
            rows = {
                name: np.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))
                for name, values in rows.items()
            }
        yield rows
