"""How far the attack of a run got among the users of honest devices."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data import Candidates
from ecct_tf.evaluation import hit_rate, ranks
from ecct_tf.federated import Algorithm
from ecct_tf.federated.attack import poisoned_devices
from ecct_tf.files import write_text
from ecct_tf.reporting.spread import plural
from ecct_tf.simulation.attack import attack_of
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.results import ResultRow

__all__ = ["ATTACK_FILE", "AttackOutcome", "attack_outcome"]

ATTACK_FILE = "attack.json"


@dataclasses.dataclass(frozen=True)
class AttackOutcome:
    """How far an attack got, among the users of honest devices.

    Attributes:
      kind: of the attack.
      item: the pushed item, as the data names it.
      devices: in the attacker's hands.
      users: honest ones, who had not met the item.
      candidates: among which the item is ranked.
      median_rank: of the item, by side.
      hr: HR@K of all honest users, by side.
    """

    kind: str
    item: str
    devices: int
    users: int
    candidates: int
    median_rank: Mapping[str, float]
    hr: Mapping[str, float]

    def write(self, folder: Path) -> None:
        """Writes it into a run folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        write_text(folder / ATTACK_FILE, text + "\n")

    def told(self) -> str:
        """One sentence."""
        ranks_told = ", ".join(f"{side} {rank:g}" for side, rank in self.median_rank.items())
        return (
            f"Attack ({self.kind}) by {plural(self.devices, 'device')}: median rank of item "
            f"{self.item} among {self.candidates} candidates of "
            f"{plural(self.users, 'honest user')}: {ranks_told}."
        )


def attack_outcome(
    experiment: Experiment,
    algorithm: Algorithm[Any],
    state: Any,
    rows: Sequence[ResultRow],
) -> AttackOutcome | None:
    """How far a run's attack got; None without one.

    Args:
      experiment: the data.
      algorithm: what was run.
      state: after its last round.
      rows: of the run's own models, on the test interactions.
    """
    attack = attack_of(experiment)
    if attack is None:
        return None
    test, evaluation = experiment.test, experiment.config.evaluation
    honest = ~np.isin(test.users, attack.users)
    asked = honest & _strangers(experiment, attack.item)
    # The pushed item stands where the held-out one stood.
    items = test.items[asked].copy()
    items[:, 0] = attack.item
    pushed = Candidates(users=test.users[asked], positions=test.positions[asked], items=items)
    scores = algorithm.scores(state, pushed) if asked.any() else {}
    return AttackOutcome(
        kind=experiment.config.attack.kind,
        item=experiment.dataset.item_tokens[attack.item - 1],
        devices=len(
            poisoned_devices(
                experiment.config.attack,
                num_devices=len(experiment.groups),
                seed=experiment.config.seed,
            )
        ),
        users=len(np.unique(pushed.users)),
        candidates=items.shape[1],
        median_rank={side: float(np.median(ranks(found))) for side, found in scores.items()},
        hr={row.side: float(hit_rate(row.places[honest], evaluation.k)) for row in rows},
    )


def _strangers(experiment: Experiment, item: int) -> npt.NDArray[np.bool_]:
    """`[k] bool`: test rows of users who have not met `item`, and whose candidates lack it."""
    test, split = experiment.test, experiment.split
    met = [
        item in split.before(int(u), int(p))
        for u, p in zip(test.users, test.positions, strict=True)
    ]
    return ~np.array(met, np.bool_) & ~(test.items == item).any(axis=1)
