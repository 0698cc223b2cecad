"""What a device does with its model: the settings that an exported file must repeat."""

import dataclasses

from ecct_tf.config import FeatureConfig, Sharing, TrainingConfig
from ecct_tf.edge import EdgeModel, build_optimizer
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import ExchangeSpec
from mobile_export.contract.signatures import Sizes

__all__ = ["DeviceTask", "file_sizes"]


@dataclasses.dataclass(frozen=True)
class DeviceTask:
    """How devices of a run pool, train and answer.

    Attributes:
      features: how histories are pooled.
      training: how to train; epochs and batch size are the caller's affair on a phone.
      exchange: the payloads; without logits it is stage 1.
      sharing: which weights are a federated mean; they have a learning rate of their own.
      receives: whether devices get the cloud's knowledge (not so in some ablations).
    """

    features: FeatureConfig
    training: TrainingConfig
    exchange: ExchangeSpec
    sharing: Sharing
    receives: bool = True

    @property
    def uses_logits(self) -> bool:
        """Whether the cloud's logit is an input and a teacher."""
        return self.exchange.with_logits and self.receives

    def check(self, model: EdgeModel) -> None:
        """Refuses a model of other sizes.

        Raises:
          ConfigError: when history length or widths differ.
        """
        spec = model.spec
        for name, ours, models in (
            ("history_length", self.features.history_length, spec.history_length),
            ("cloud_dim", self.exchange.cloud_dim, spec.cloud_dim),
            ("embedding_dim", self.exchange.embedding_dim, spec.embedding_dim),
        ):
            if ours != models:
                raise ConfigError(
                    f"export: the task has {name} {ours}, the edge model {models}; build both "
                    "from one configuration"
                )


def file_sizes(
    model: EdgeModel,
    task: DeviceTask,
    *,
    trained: int,
    batch: int | None = None,
    candidates: int | None = None,
) -> Sizes:
    """The sizes of a file.

    Args:
      model: the edge model.
      task: what the device does.
      trained: P, trained values.
      batch: B, None for a dynamic file.
      candidates: C, None for a dynamic file.
    """
    slots = len(build_optimizer(task.training.optimizer).slot_starts)
    return Sizes(
        history_length=task.features.history_length,
        profile_columns=len(model.spec.profile_sizes),
        cloud_dim=model.spec.cloud_dim,
        embedding_dim=model.spec.embedding_dim,
        num_queries=task.exchange.num_queries,
        codec=task.exchange.codec,
        with_logits=task.exchange.with_logits,
        with_noise=task.exchange.noise_multiplier > 0,
        weights=trained,
        state=trained * (1 + slots) + 1,
        batch=batch,
        candidates=candidates,
        clock_width=task.features.clock_width,
    )
