"""What a job trains on, phase by phase; an epoch's rows follow from its number alone."""

import numpy as np

from cloud.influence import answer_weights
from cloud.recommender import CloudRecommender
from cloud.retraining.config import JobConfig
from cloud.retraining.engines import Rows
from cloud.retraining.preparation import Prepared
from cloud.retraining.trainer import Phase

__all__ = ["fit_phase", "later_phase"]


def fit_phase(config: JobConfig, prepared: Prepared, cloud: CloudRecommender) -> Phase | None:
    """From scratch: the labelled positions, the item side learning too, before it is frozen."""
    if prepared.inputs.warm:
        return None
    return _labelled("fit", config, prepared, cloud, epochs=config.cloud.fit_epochs)


def later_phase(config: JobConfig, prepared: Prepared, cloud: CloudRecommender) -> Phase | None:
    """The uplinks with labelled positions beside them; without uplinks the history alone.

    A job from scratch has had the history in its first phase.
    """
    knowledge, cloud_config = prepared.knowledge, config.cloud
    heard = bool((knowledge.rounds >= 0).any())
    labelled = heard and cloud_config.label_visibility == "both"
    taught = bool((knowledge.logit_rounds >= 0).any()) and config.exchange.use_logits
    taught = taught and cloud_config.distillation_weight > 0
    epochs = cloud_config.update_epochs
    if not (labelled or taught):
        warm = prepared.inputs.warm
        return _labelled("history", config, prepared, cloud, epochs=epochs) if warm else None
    if not epochs:
        return None
    present = prepared.inputs.round_number
    weights = answer_weights(
        knowledge,
        trust=knowledge.trust(round_number=present, half_life=cloud_config.staleness_half_life),
        max_device_share=config.uplink_log.max_device_share,
        max_item_share=config.uplink_log.max_item_share,
    )

    def rows(epoch: int) -> Rows:
        return cloud.batches.update_rows(
            np.random.default_rng([config.seed, 3, _number(prepared), epoch]),
            knowledge,
            round_number=present,
            labelled=labelled,
            taught=taught,
            answer_weights=weights,
        )

    return Phase("uplinks", epochs, cloud_config.update_batch_size, rows)


def _labelled(
    name: str, config: JobConfig, prepared: Prepared, cloud: CloudRecommender, *, epochs: int
) -> Phase | None:
    if not epochs or config.cloud.label_visibility == "edge_only":
        return None

    def rows(epoch: int) -> Rows:
        rng = np.random.default_rng([config.seed, 1, _number(prepared), epoch])
        return cloud.batches.labelled_rows(rng)

    return Phase(name, epochs, config.cloud.batch_size, rows)


def _number(prepared: Prepared) -> int:
    """Keeps the jobs of a chain from drawing the same negatives again."""
    return prepared.inputs.parent or 0
