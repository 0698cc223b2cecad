"""What a device does with its model: one value that the simulation and an exported file share."""

import dataclasses
import functools
from typing import Any

import tensorflow as tf

from ecct_tf.config import FeatureConfig, SampleConfig, Sharing, TrainingConfig
from ecct_tf.data.outcomes import target_names
from ecct_tf.data.samples import batch_rows
from ecct_tf.edge.loss_registry import build_distillation, build_loss
from ecct_tf.edge.losses import EdgeLoss
from ecct_tf.edge.model import EdgeModel, EdgeOutputs
from ecct_tf.edge.target_loss import target_losses
from ecct_tf.edge.training_loss import collaborative_loss
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
      counts_newest: whether the last attribute of items counts what devices met lately, so that a
        sample is read without its own interaction.
    """

    features: FeatureConfig
    samples: SampleConfig
    training: TrainingConfig
    exchange: ExchangeSpec
    sharing: Sharing
    receives: bool = True
    counts_newest: bool = False

    @property
    def uses_logits(self) -> bool:
        """Whether the cloud's logit is an input and a teacher."""
        return self.exchange.with_logits and self.receives

    @property
    def uses_embeddings(self) -> bool:
        """Whether the cloud's embedding is an input (not so in an ablation)."""
        return self.exchange.with_embeddings

    @property
    def distillation_weight(self) -> float:
        """λ_e, 0 where no teacher is at hand."""
        return self.training.distillation_weight if self.uses_logits else 0.0

    @property
    def loss(self) -> EdgeLoss:
        """The loss of the labels."""
        return build_loss(self.training.loss)

    @property
    def distillation(self) -> EdgeLoss | None:
        """The loss of the cloud's logits; None for the tempered cross-entropy."""
        training = self.training
        return build_distillation(training.distillation_loss, training.temperature)

    @property
    def targets(self) -> tuple[str, ...]:
        """The further targets, in the order of their logits and labels."""
        return target_names(self.samples)

    @property
    def target_losses(self) -> tuple[EdgeLoss, ...]:
        """The loss of each."""
        return tuple(
            build_loss(self.samples.targets[name].loss, setting=f"samples.targets.{name}.loss")
            for name in self.targets
        )

    # Rounds ask for it, and to look a loss up reads what all installed packages register.
    @functools.cached_property
    def group_size(self) -> int:
        """Samples that stay together in a batch: those of a position, where a loss reads them."""
        losses = (self.loss, self.distillation, *self.target_losses)
        together = any(loss is not None and loss.by_position for loss in losses)
        return 1 + self.samples.negatives if together else 1

    @property
    def batch_size(self) -> int:
        """Rows of a batch: `training.batch_size`, in whole positions for losses by position."""
        return batch_rows(self.training.batch_size, group_size=self.group_size)

    def batch_loss(
        self,
        logits: tf.Tensor,
        *,
        labels: tf.Tensor,
        teacher: tf.Tensor,
        weights: tf.Tensor,
        taught: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The loss of a batch, `[...] float32`: what simulation and file train by.

        Args:
          logits: `[..., B] float32`.
          labels: `[..., B] float32`.
          teacher: `[..., B] float32`, the cloud's logits.
          weights: `[..., B] float32`, 0 for padding.
          taught: `[..., B] float32`, 0 where there is no teacher; None where there always is one.
        """
        return collaborative_loss(
            logits,
            labels=labels,
            teacher=teacher,
            weights=weights,
            taught=taught,
            loss=self.loss,
            distillation_loss=self.distillation,
            group_size=self.group_size,
            distillation_weight=self.distillation_weight,
            temperature=self.training.temperature,
        )

    def total_loss(
        self,
        outputs: EdgeOutputs,
        *,
        labels: tf.Tensor,
        target_labels: tf.Tensor | None,
        teacher: tf.Tensor,
        weights: tf.Tensor,
        taught: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """What a batch trains by, `[...] float32`: `batch_loss` and the weighted further targets'.

        Args:
          outputs: of the model, for B rows.
          labels: `[..., B] float32`.
          target_labels: `[..., B, T] float32`, below 0 for none; read if the task has targets.
          teacher: `[..., B] float32`, the cloud's logits.
          weights: `[..., B] float32`, 0 for padding.
          taught: `[..., B] float32`, 0 where there is no teacher; None where there always is one.

        Returns:
          It, and the loss of each target before its weight, `[..., T] float32`, None without.

        Raises:
          ConfigError: the model has no head for the targets.
        """
        loss = self.batch_loss(
            outputs.logit, labels=labels, teacher=teacher, weights=weights, taught=taught
        )
        if not self.targets:
            return loss, None
        if outputs.targets is None:
            raise ConfigError(
                f"samples.targets: the edge model has no logits of {', '.join(self.targets)}; "
                "end it in Head(spec.embedding_dim, width, spec.targets)"
            )
        others, each = target_losses(
            outputs.targets,
            labels=target_labels,
            weights=weights,
            losses=self.target_losses,
            strengths=[self.samples.targets[name].weight for name in self.targets],
            group_size=self.group_size,
        )
        # Its gradient asks for no shapes at run time, which phones could not tell.
        return tf.add_n([loss, others]), each

    def changed(self, **fields: Any) -> "DeviceTask":
        """The same task but for `fields`."""
        return dataclasses.replace(self, **fields)

    def check(self, model: EdgeModel) -> None:
        """Refuses a model of other sizes.

        Raises:
          ConfigError: when history length, widths or targets differ, or logits alone cross.
        """
        if not self.uses_embeddings:
            raise ConfigError(
                "export: only logits cross (exchange.embeddings=false), and a file for phones "
                "reads and sends embeddings; expected exchange.embeddings=true"
            )
        spec = model.spec
        for name, ours, models in (
            ("history_length", self.features.history_length, spec.history_length),
            ("cloud_dim", self.exchange.cloud_dim, spec.cloud_dim),
            ("embedding_dim", self.exchange.embedding_dim, spec.embedding_dim),
            ("targets", self.targets, spec.targets),
        ):
            if ours != models:
                raise ConfigError(
                    f"export: the task has {name} {ours}, the edge model {models}; build both "
                    "from one configuration"
                )
