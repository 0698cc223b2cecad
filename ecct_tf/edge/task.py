"""What a device does with its model: one value that the simulation and an exported file share."""

import dataclasses
from typing import Any

from ecct_tf.config import FeatureConfig, SampleConfig, Sharing, TrainingConfig
from ecct_tf.edge.model import EdgeModel
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import ExchangeSpec

__all__ = ["DeviceTask"]


@dataclasses.dataclass(frozen=True)
class DeviceTask:
    """How devices of a run pool, draw samples, train and answer.

    A file for phones holds all of it: what a phone does by default is what the simulation's
    devices did.

    Attributes:
      features: how histories are pooled.
      samples: which samples a device trains on.
      training: how it trains.
      exchange: the payloads; without logits it is stage 1.
      sharing: which weights are a federated mean; they have a learning rate of their own.
      receives: whether devices get the cloud's knowledge (not so in some ablations).
    """

    features: FeatureConfig
    samples: SampleConfig
    training: TrainingConfig
    exchange: ExchangeSpec
    sharing: Sharing
    receives: bool = True

    @property
    def uses_logits(self) -> bool:
        """Whether the cloud's logit is an input and a teacher."""
        return self.exchange.with_logits and self.receives

    @property
    def distillation_weight(self) -> float:
        """λ_e, 0 where no teacher is at hand."""
        return self.training.distillation_weight if self.uses_logits else 0.0

    def changed(self, **fields: Any) -> "DeviceTask":
        """The same task but for `fields`."""
        return dataclasses.replace(self, **fields)

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
