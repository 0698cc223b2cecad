"""The state of an ECCT process: everything of a run but the cloud's own weights."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ecct_tf.federated.cohort import Cohort, CohortState
from ecct_tf.federated.server import begin_server
from ecct_tf.federated.sharing import Shares, ShareSchedule
from ecct_tf.federated.under_way import Answers, SentUplinks
from ecct_tf.knowledge import KnowledgeStore
from ecct_tf.knowledge.item_means import ItemMeans
from ecct_tf.touched_rows import TouchedRows

__all__ = ["EcctState", "initial_state"]


@dataclasses.dataclass(frozen=True)
class EcctState:
    """Everything of a run but the cloud's own weights.

    Attributes:
      cohorts: shared and private weights by cohort.
      knowledge: what the cloud keeps of the uplinks.
      fetched: `[devices] bool`, which devices have the item table.
      round_number: rounds done.
      answers: answers of devices that have not arrived.
      uplinks: uplinks that have not arrived.
      unlearned: uplinks that arrived since the cloud last learned.
      items: what the cloud knows of items by sums over devices; None where rows leave devices.
      shares: the period whose mean of the shared weights each device has; None where they cross
        in every round.
    """

    cohorts: tuple[CohortState, ...]
    knowledge: KnowledgeStore
    fetched: npt.NDArray[np.bool_]
    round_number: int
    answers: Answers = dataclasses.field(default_factory=Answers.none)
    uplinks: tuple[SentUplinks, ...] = ()
    unlearned: int = 0
    items: ItemMeans | None = None
    shares: Shares | None = None


def initial_state(
    cohorts: Sequence[Cohort],
    *,
    seed: int,
    num_users: int,
    num_items: int,
    num_earlier: int,
    schedule: ShareSchedule,
) -> EcctState:
    """The state before the first round.

    Args:
      cohorts: the devices by architecture, at least one.
      seed: seed of weights that start at random.
      num_users: users of the data set, the length of the knowledge store.
      num_items: items of the catalog.
      num_earlier: answers of each user that the store keeps beside the newest.
      schedule: in which rounds shared weights cross.
    """
    work = cohorts[0].work
    exchange = work.exchange
    devices = sum(len(cohort) for cohort in cohorts)
    means = ItemMeans.none(num_items, exchange.embedding_dim) if work.sums is not None else None
    return EcctState(
        cohorts=tuple(_initial_cohort(cohort, seed) for cohort in cohorts),
        knowledge=KnowledgeStore.empty(
            num_users=num_users,
            num_queries=exchange.num_queries,
            embedding_dim=exchange.embedding_dim if exchange.with_embeddings else 0,
            num_earlier=num_earlier,
            by_row=True,
        ),
        fetched=np.zeros(devices, np.bool_),
        round_number=0,
        items=means,
        shares=schedule.none(devices),
    )


def _initial_cohort(cohort: Cohort, seed: int) -> CohortState:
    size = cohort.work.shared_size
    start = cohort.initial(seed)
    return CohortState(
        server=begin_server(start[:size]),
        private=TouchedRows(start[size:], length=len(cohort)),
        unshared=TouchedRows(np.zeros(size, np.float32), length=len(cohort))
        if cohort.work.waits
        else None,
    )
