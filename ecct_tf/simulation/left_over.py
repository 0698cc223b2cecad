"""What a run had not used when its rounds ended: answers under way, and what waited in a buffer."""

from typing import Any

from ecct_tf.baselines.federated import FederatedBaselineState
from ecct_tf.federated.changes import Changes
from ecct_tf.federated.under_way import Answers
from ecct_tf.reporting.spread import plural
from ecct_tf.simulation.ecct import EcctRunState

__all__ = ["left_over"]


def left_over(state: Any, *, rounds: int) -> str | None:
    """Says what a state after its last round has not used; None where there is nothing.

    Args:
      state: of any method.
      rounds: that are done.
    """
    answers, kept, unlearned = _parts(state)
    parts = []
    if len(answers.devices):
        first, last = int(answers.sent.min()) + 1, int(answers.sent.max()) + 1
        when = f"round {first}" if first == last else f"rounds {first} to {last}"
        parts.append(f"{plural(len(answers.devices), 'answer')} of {when} still under way")
    waiting = sum(int(each.devices[each.arrives < rounds].sum()) for each in kept)
    if waiting:
        parts.append(f"changes of {plural(waiting, 'device')} in the server's buffer")
    if unlearned:
        parts.append(f"{plural(unlearned, 'uplink')} that the cloud had not learned from yet")
    return f"When the rounds ended there were {'; '.join(parts)}." if parts else None


def _parts(state: Any) -> tuple[Answers, list[Changes], int]:
    if isinstance(state, EcctRunState):
        kept = [cohort.changes for cohort in state.edge.cohorts]
        return state.edge.answers, kept, state.edge.unlearned
    if isinstance(state, FederatedBaselineState):
        return state.answers, [state.changes], 0
    return Answers.none(), [], 0
