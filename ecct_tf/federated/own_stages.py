"""Custom stages: functions that make a stage of a round in place of the library's."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import tensorflow as tf

from ecct_tf.config import ServerConfig, Tier
from ecct_tf.errors import ConfigError
from ecct_tf.federated.cohort import Cohort
from ecct_tf.federated.device_result import Stage
from ecct_tf.federated.stage_types import (
    Aggregate,
    ChangeAggregate,
    Distribute,
    Finalize,
    SumAggregate,
    Work,
)
from ecct_tf.federated.stages import build_distribute
from ecct_tf.plugins import guarded

__all__ = [
    "RoundStages",
    "StageSpec",
    "Stages",
    "encoded_bytes",
    "sent_bytes",
    "stage_spec",
]

StageName = Literal["distribute", "work", "changes", "aggregate", "finalize"]


@dataclasses.dataclass(frozen=True)
class StageSpec:
    """What a stage is made for; a run has one for each tier of devices and stage of the exchange.

    Attributes:
      tier: of the devices; the section of a baseline.
      stage: of the exchange: 1 without logits, 2 with them.
      size: P_shared, how many weights are shared.
      devices: devices of the tier, of which some take part in a round.
      server: the settings that the library's own stages follow.
    """

    tier: Tier
    stage: Stage
    size: int
    devices: int
    server: ServerConfig


@dataclasses.dataclass(frozen=True)
class RoundStages:
    """The stages of one round.

    Attributes:
      distribute: how shared weights cross.
      work: what a client value's devices do.
      aggregate: how uplinks are joined, or summed; None where devices send none.
      finalize: how the mean change is applied.
      changes: what joins the devices' changes; None for their weighted sum.
    """

    distribute: Distribute
    work: Work
    aggregate: Aggregate | SumAggregate | None
    finalize: Finalize
    changes: ChangeAggregate | None = None


@dataclasses.dataclass(frozen=True)
class Stages:
    """Functions that make stages, each in place of the library's; None leaves that one.

    Each is called with a `StageSpec` and the stage of the library, and returns one of the same
    kind: a new one, or the library's with something changed.

    Attributes:
      distribute: makes how shared weights reach devices.
      work: makes what devices do.
      changes: makes what joins the devices' changes; called with the spec alone.
      aggregate: makes how uplinks are joined.
      finalize: makes how the mean change is applied.
      name: of the stages, for messages.
    """

    distribute: Callable[[StageSpec, Distribute], Distribute] | None = None
    work: Callable[[StageSpec, Work], Work] | None = None
    changes: Callable[[StageSpec], ChangeAggregate] | None = None
    aggregate: Callable[[StageSpec, Any], Any] | None = None
    finalize: Callable[[StageSpec, Finalize], Finalize] | None = None
    name: str = "stages"

    def check_round(self, *, shard_size: int, late: bool, witnessed: bool = False) -> None:
        """Refuses what the rounds of a process cannot have.

        Args:
          shard_size: devices in a client value.
          late: whether changes are applied in later rounds than those of their devices.
          witnessed: whether real devices repeat what simulated ones do.

        Raises:
          ConfigError: so it is.
        """
        if self.changes is not None and shard_size > 1:
            raise ConfigError(
                f"{self.name}: `changes` joins the changes of single devices; expected "
                f"runtime.shard_size=0, got {shard_size}, which adds up so many devices first. "
                "Set it to 0"
            )
        own = [name for name in ("changes", "finalize") if getattr(self, name) is not None]
        if late and own:
            raise ConfigError(
                f"{self.name}: {' and '.join(own)} would get changes of several rounds, which are "
                "applied by the rule of buffered asynchronous aggregation; expected "
                "participation.delay.max_rounds=0 and server.buffer=0, or none of these stages"
            )
        if witnessed:
            raise ConfigError(
                f"{self.name}: real devices, which run exported files, do not have these stages; "
                "expected runtime.real_devices=0"
            )

    def of(self, spec: StageSpec, own: RoundStages) -> RoundStages:
        """The stages of a round.

        Args:
          spec: what they are made for.
          own: the library's.

        Raises:
          ConfigError: a function raises, or returns something of another kind.
        """
        made = {
            "distribute": self.distributing(spec, own.distribute),
            "work": self._made("work", Work, spec, own.work),
            "finalize": self._made("finalize", Finalize, spec, own.finalize),
        }
        aggregate = own.aggregate
        if self.aggregate is not None:
            if own.aggregate is None:
                raise ConfigError(
                    f"{self.name}: aggregate joins uplinks, and these devices send none; expected "
                    "exchange.up=true and a method with a cloud, or no `aggregate`"
                )
            aggregate = self._made("aggregate", type(own.aggregate), spec, own.aggregate)
        changes = own.changes
        if self.changes is not None:
            changes = self._made("changes", ChangeAggregate, spec)
        return RoundStages(made["distribute"], made["work"], aggregate, made["finalize"], changes)

    def distributing(self, spec: StageSpec, own: Distribute) -> Distribute:
        """How shared weights reach the devices of a round.

        Raises:
          ConfigError: the function raises, or returns something of another kind.
        """
        found: Distribute = self._made("distribute", Distribute, spec, own)
        return found

    def _made(self, stage: StageName, kind: type[Any], *given: Any) -> Any:
        function = getattr(self, stage)
        if function is None:
            return given[-1]
        what = f"{self.name}: {stage}"
        with guarded(what, module=getattr(function, "__module__", None)):
            found = function(*given)
        if not isinstance(found, kind):
            raise ConfigError(
                f"{what}: expected a function that returns {_article(kind)} of "
                f"ecct_tf.federated.stages, got {type(found).__name__}"
            )
        return found


def stage_spec(cohort: Cohort, server: ServerConfig, *, stage: Stage) -> StageSpec:
    """What stages for a cohort are made for."""
    work = cohort.work
    return StageSpec(work.model.tier, stage, work.shared_size, len(cohort), server)


def sent_bytes(stages: Stages, cohorts: Sequence[Cohort], server: ServerConfig) -> list[int]:
    """By cohort, bytes of the shared weights that a device gets in a round.

    Raises:
      ConfigError: their number is not known beforehand.
    """
    found = []
    for cohort in cohorts:
        own = build_distribute(cohort.work.shared_size, cohort.work.weights_codec)
        made = stages.distributing(stage_spec(cohort, server, stage=2), own)
        found.append(encoded_bytes(stages, made))
    return found


def encoded_bytes(stages: Stages, distribute: Distribute) -> int:
    """Bytes of what crosses to a device.

    Raises:
      ConfigError: their number is not known beforehand.
    """
    leaves = tf.nest.flatten(distribute.encoded)
    if not all(leaf.shape.is_fully_defined() for leaf in leaves):
        raise ConfigError(
            f"{stages.name}: distribute: expected encoded weights of known shapes, whose bytes are "
            f"counted, got {distribute.encoded}"
        )
    return sum(leaf.shape.num_elements() * leaf.dtype.size for leaf in leaves)


def _article(kind: type[Any]) -> str:
    return f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
