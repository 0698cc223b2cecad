"""How far poisoned devices push an item, and what defences against them cost honest users."""

import json
from typing import Any

from ecct_tf.reporting.run import Run
from ecct_tf.studies.drawings import quality_of_points
from ecct_tf.studies.study import Measure, Point, Study

__all__ = ["honest_hr", "pushed_rank", "refused_uplinks", "robustness"]

# In `simulation.attack_outcome`, which needs TensorFlow; what reads runs does not.
_FILE = "attack.json"

_OFF = (
    *("exchange.only_asked=false", "exchange.answer_by=item"),
    *("cloud.max_item_share=1.0", "cloud.answer_trim=0.0"),
    "exchange.recent_popularity.max_growth=null",
)
_ON = (
    *("exchange.only_asked=true", "cloud.max_item_share=0.005", "cloud.answer_trim=0.1"),
    "exchange.recent_popularity.max_growth=2",
)


def _pair(label: str, kind: str, share: float) -> tuple[Point, Point]:
    """One attack, without and with defences."""
    attack = (f"attack.kind={kind}", f"attack.share={share}")
    return Point(label, (*attack, *_OFF)), Point(f"{label} defended", (*attack, *_ON))


def robustness() -> Study:
    """Attacks of several kinds and sizes, each without and with defences."""
    return Study(
        name="robustness",
        question="How far can poisoned devices push an item, and what do defences against them "
        "cost honest users?",
        axis="attack",
        points=(
            *_pair("no attack", "none", 0.1),
            *_pair("push 1 %", "push", 0.01),
            *_pair("push 3 %", "push", 0.03),
            *_pair("push 10 %", "push", 0.1),
            *_pair("push 30 %", "push", 0.3),
            *_pair("sybils 10 %", "sybil", 0.1),
            *_pair("opposites 10 %", "clip", 0.1),
            *_pair("flipped labels 10 %", "flip", 0.1),
        ),
        methods=("ecct",),
        reference="no attack",
        measures=(
            Measure("pushed_rank", "pushed item", pushed_rank, digits=1),
            Measure("honest_hr", "honest HR", honest_hr),
            Measure("refused_uplinks", "refused", refused_uplinks, digits=0),
        ),
        drawings=(quality_of_points,),
        note="Pushed item: its median rank among the sampled candidates of honest users who had "
        "not met it, 1 being the first. Honest HR: HR@K of the users of honest devices, the same "
        "nine tenths at each point with 10 % and without an attack. Refused: uplinks that "
        "answered for what the cloud had not asked about. The quality and its intervals are of "
        "all users, those of poisoned devices among them.",
    )


def pushed_rank(run: Run, side: str) -> float | None:
    """Median rank of the pushed item."""
    return _of_side(run, "median_rank", side)


def honest_hr(run: Run, side: str) -> float | None:
    """HR@K of honest users."""
    return _of_side(run, "hr", side)


def refused_uplinks(run: Run, side: str) -> float | None:
    """Uplinks that answered for what the cloud had not asked about."""
    del side
    if run.metrics is None or run.metrics["refused_uplinks"].isna().all():
        return None
    return float(run.metrics["refused_uplinks"].sum())


def _of_side(run: Run, key: str, side: str) -> float | None:
    try:
        outcome: dict[str, Any] = json.loads((run.path / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    value = outcome.get(key, {}).get(side)
    return None if value is None else float(value)
