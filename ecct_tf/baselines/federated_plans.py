"""What tells FedAvg, FedProx, fine-tuning, PFedRec, FedRecon and FedMD apart, as values."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from ecct_tf.baselines.averaging import AveragingWork
from ecct_tf.baselines.consensus import ConsensusWork, draw_public_items
from ecct_tf.baselines.local_data import LocalDevice, NegativeSampler, prepare_local_devices
from ecct_tf.baselines.local_models import (
    LocalModel,
    factorization_model,
    history_model,
    score_function_model,
)
from ecct_tf.baselines.local_training import LocalTraining
from ecct_tf.baselines.reconstruction import ReconstructionTraining
from ecct_tf.config import RunConfig, ServerConfig
from ecct_tf.config.baselines import (
    FederatedBaselineName,
    PersonalEmbeddingConfig,
    ReconstructionConfig,
)
from ecct_tf.data import DeviceView
from ecct_tf.data.profile import profile_shape
from ecct_tf.edge.loss_registry import build_loss

__all__ = ["PLANS", "BaselinePlan"]


@dataclasses.dataclass(frozen=True)
class BaselinePlan:
    """A federated baseline, ready to be composed.

    Attributes:
      rounds: of a run.
      devices: their samples.
      sampler: of their negatives.
      work: what a shard does in a round.
      server: how changes are averaged.
      personal: what a device trains on its own copy before it scores, with fresh negatives
        in each epoch; None for nothing.
      section: of the configuration that its rates come from.
    """

    rounds: int
    devices: tuple[LocalDevice, ...]
    sampler: NegativeSampler
    work: AveragingWork
    server: ServerConfig
    personal: LocalTraining | None
    section: str


def _averaging_plan(
    config: RunConfig,
    *,
    method: FederatedBaselineName,
    num_items: int,
    groups: Sequence[Sequence[DeviceView]],
) -> BaselinePlan:
    """FedAvg (McMahan et al., arXiv 1602.05629), and what differs from it in one point.

    FedProx (Li et al., arXiv 1812.06127) holds each device to the weights it received;
    fine-tuning lets each device train its own copy further before it scores. All weights
    are shared, the item embeddings included.
    """
    own = config.federated_baseline
    model = _model_of_histories(config, num_items=num_items, groups=groups)
    training = LocalTraining(
        model,
        epochs=own.epochs,
        batch_size=own.batch_size,
        learning_rate=own.learning_rate,
        embedding_learning_rate=own.embedding_learning_rate,
        proximal=own.proximal if method == "fedprox" else 0.0,
        loss=build_loss(own.loss, setting="federated_baseline.loss"),
    )
    tuning = dataclasses.replace(
        training,
        epochs=own.fine_tuning.epochs,
        learning_rate=own.fine_tuning.learning_rate,
        embedding_learning_rate=own.fine_tuning.embedding_learning_rate,
    )
    return _plan_with_histories(
        config,
        groups,
        rounds=own.rounds,
        work=AveragingWork(training, model.size, config.exchange.weights_codec),
        server=own.server,
        personal=tuning if method == "fine-tuning" else None,
        section="federated_baseline",
    )


def _fedmd_plan(
    config: RunConfig,
    *,
    method: FederatedBaselineName,
    num_items: int,
    groups: Sequence[Sequence[DeviceView]],
) -> BaselinePlan:
    """FedMD (Li & Wang 2019, arXiv 1910.03581): private models, averaged logits of public items.

    The model and its samples are FedAvg's; nothing of it leaves its device.
    """
    own = config.federated_baseline.fedmd
    model = _model_of_histories(config, num_items=num_items, groups=groups)
    items = draw_public_items(num_items, count=own.public_items, seed=config.seed)
    work = ConsensusWork(
        LocalTraining(
            model,
            epochs=own.epochs,
            batch_size=config.federated_baseline.batch_size,
            learning_rate=own.learning_rate,
            embedding_learning_rate=own.embedding_learning_rate,
            loss=build_loss(own.loss, setting="federated_baseline.fedmd.loss"),
        ),
        len(items),
        config.exchange.weights_codec,
        weighting="devices",
        public_items=items,
        digest_rate=own.digest_rate,
    )
    return _plan_with_histories(
        config,
        groups,
        rounds=own.rounds,
        work=work,
        server=own.server,
        personal=None,
        section=f"federated_baseline.{method}",
    )


def _model_of_histories(
    config: RunConfig, *, num_items: int, groups: Sequence[Sequence[DeviceView]]
) -> LocalModel:
    own = config.federated_baseline
    return history_model(
        num_items=num_items,
        features=config.features,
        profile=profile_shape(groups[0][0].profile.columns),
        embedding_dim=own.embedding_dim,
        hidden_dim=own.hidden_dim,
        profile_dim=own.profile_dim,
        initial_scale=own.initial_scale,
    )


def _plan_with_histories(
    config: RunConfig,
    groups: Sequence[Sequence[DeviceView]],
    *,
    rounds: int,
    work: AveragingWork,
    server: ServerConfig,
    personal: LocalTraining | None,
    section: str,
) -> BaselinePlan:
    """The plan of a method whose model reads histories, with the samples of FedAvg."""
    own, model = config.federated_baseline, work.training.model
    return BaselinePlan(
        rounds=rounds,
        devices=prepare_local_devices(
            groups,
            history_length=model.history_length,
            positions=own.positions,
            max_positions=own.max_positions,
            seed=config.seed,
            features=model.features,
        ),
        sampler=NegativeSampler(own.negatives, model.num_items, config.seed),
        work=work,
        server=server,
        personal=personal,
        section=section,
    )


def _pfedrec_plan(
    config: RunConfig,
    *,
    method: FederatedBaselineName,
    num_items: int,
    groups: Sequence[Sequence[DeviceView]],
) -> BaselinePlan:
    """PFedRec (Zhang et al., IJCAI 2023): private score functions, averaged item embeddings.

    Before it scores, a device trains what it holds, the averaged embeddings included, as it
    does in a round: the second of the two personalisations. Published figures draw training
    negatives outside *all* of a user's items, the test item included; this one draws them
    outside the training items.
    """
    own = config.federated_baseline.pfedrec
    model = score_function_model(
        num_items=num_items, embedding_dim=own.embedding_dim, initial_scale=own.initial_scale
    )
    training = LocalTraining(
        model,
        epochs=own.epochs,
        batch_size=own.batch_size,
        learning_rate=own.learning_rate,
        embedding_learning_rate=own.embedding_learning_rate,
        alternating=True,
    )
    work = AveragingWork(
        training, model.table_size, config.exchange.weights_codec, weighting="devices"
    )
    return _plan_without_histories(config, own, groups, method=method, work=work, personal=training)


def _fedrecon_plan(
    config: RunConfig,
    *,
    method: FederatedBaselineName,
    num_items: int,
    groups: Sequence[Sequence[DeviceView]],
) -> BaselinePlan:
    """FedRecon (Singhal et al., NeurIPS 2021): averaged item embeddings, users found anew.

    Before it scores, a device finds its user's vector from all its positions.
    """
    own = config.federated_baseline.fedrecon
    model = factorization_model(
        num_items=num_items, embedding_dim=own.embedding_dim, initial_scale=own.initial_scale
    )
    training = ReconstructionTraining(
        model,
        epochs=own.epochs,
        batch_size=own.batch_size,
        learning_rate=own.learning_rate,
        embedding_learning_rate=own.embedding_learning_rate,
        reconstruction_epochs=own.reconstruction_epochs,
    )
    personal = LocalTraining(
        model,
        epochs=own.reconstruction_epochs,
        batch_size=own.batch_size,
        learning_rate=own.learning_rate,
        embedding_learning_rate=0.0,
    )
    work = AveragingWork(training, model.table_size, config.exchange.weights_codec)
    return _plan_without_histories(config, own, groups, method=method, work=work, personal=personal)


def _plan_without_histories(
    config: RunConfig,
    own: PersonalEmbeddingConfig | ReconstructionConfig,
    groups: Sequence[Sequence[DeviceView]],
    *,
    method: FederatedBaselineName,
    work: AveragingWork,
    personal: LocalTraining,
) -> BaselinePlan:
    """The plan of a method whose model reads no history and trains on all positions."""
    model = work.training.model
    return BaselinePlan(
        rounds=own.rounds,
        devices=prepare_local_devices(
            groups,
            history_length=0,
            positions="all",
            max_positions=own.max_positions,
            seed=config.seed,
            features=model.features,
        ),
        sampler=NegativeSampler(own.negatives, model.num_items, config.seed),
        work=work,
        server=own.server,
        personal=personal,
        section=f"federated_baseline.{method}",
    )


PLANS: Mapping[FederatedBaselineName, Callable[..., BaselinePlan]] = {
    "fedavg": _averaging_plan,
    "fedprox": _averaging_plan,
    "fine-tuning": _averaging_plan,
    "pfedrec": _pfedrec_plan,
    "fedrecon": _fedrecon_plan,
    "fedmd": _fedmd_plan,
}
"""How each federated baseline is made, from `(config, *, method, num_items, groups)`."""
