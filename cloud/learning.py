"""How the cloud learns: a fit before the first round, and an update from the uplinks of each."""

import logging

import numpy as np

from cloud.batches import CloudBatches
from cloud.divergence import check_learned
from cloud.exchange_model import ExchangeModel
from cloud.influence import bounded_answers
from ecct_tf.config import CloudConfig
from ecct_tf.knowledge import KnowledgeStore

__all__ = ["fit_positions", "learn_answers"]

_log = logging.getLogger(__name__)


def fit_positions(
    model: ExchangeModel, batches: CloudBatches, *, config: CloudConfig, seed: int
) -> list[float]:
    """Trains a model on labelled positions alone; the loss of each epoch.

    Args:
      model: compiled.
      batches: what it learns from.
      config: `fit_epochs`.
      seed: from which the order and the negatives of each epoch derive.

    Raises:
      DivergenceError: when weights or loss are not finite after an epoch.
    """
    losses = []
    for epoch in range(config.fit_epochs):
        data = batches.labelled(np.random.default_rng([seed, 1, epoch]))
        history = model.fit(data, epochs=1, verbose=0)
        losses.append(float(history.history["loss"][-1]))
        when = f"epoch {epoch + 1} of the fit before the first round"
        _check_finite(model, losses[-1], config=config, when=when)
        _log_measured(model, f"the cloud's fit, epoch {epoch + 1}")
    if losses:
        _log.info("cloud fitted on %d positions, loss %s", len(batches.positions.users), losses)
    return losses


def learn_answers(
    model: ExchangeModel,
    batches: CloudBatches,
    knowledge: KnowledgeStore,
    *,
    config: CloudConfig,
    seed: int,
    round_number: int,
    labelled: bool,
    taught: bool,
) -> float:
    """Trains a model on uplinks, within the bounds on each answer; the mean loss of the epochs.

    Args:
      model: compiled.
      batches: what it learns from.
      knowledge: the store after the round.
      config: `update_epochs`, at least 1, and the bounds.
      seed: from which the round's draws derive.
      round_number: the present round.
      labelled: whether labelled positions take part.
      taught: whether the devices' logits do.

    Raises:
      DivergenceError: when weights or loss are not finite after an epoch.
    """
    rng = np.random.default_rng([seed, 3, round_number])
    knowledge, weights = bounded_answers(knowledge, config, round_number=round_number)
    losses = []
    for _ in range(config.update_epochs):
        data = batches.update(
            rng,
            knowledge,
            round_number=round_number,
            labelled=labelled,
            taught=taught,
            answer_weights=weights,
        )
        losses.append(float(model.fit(data, epochs=1, verbose=0).history["loss"][-1]))
        when = f"its update in round {round_number + 1}"
        _check_finite(model, losses[-1], config=config, when=when)
    _log_measured(model, f"the cloud's update of round {round_number + 1}")
    return float(np.mean(losses))


def _log_measured(model: ExchangeModel, when: str) -> None:
    measured = model.measured()
    if measured:
        _log.info("%s: %s", when, ", ".join(f"{k} {v:.4f}" for k, v in measured.items()))


def _check_finite(model: ExchangeModel, loss: float, *, config: CloudConfig, when: str) -> None:
    names = ("learning_rate", "l2", "distillation_weight")
    check_learned(
        model.trainable_variables,
        loss=loss,
        when=f"the cloud, in {when}",
        settings={f"cloud.{name}": getattr(config, name) for name in names},
    )
