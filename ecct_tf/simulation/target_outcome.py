"""What the heads of further targets reach at the tested interactions."""

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data import Candidates
from ecct_tf.data.outcomes import target_labels, target_names
from ecct_tf.evaluation import TargetQuality, target_quality
from ecct_tf.federated import Algorithm
from ecct_tf.files import write_text
from ecct_tf.simulation.ecct import EcctAlgorithm
from ecct_tf.simulation.experiment import Experiment

__all__ = ["TARGETS_FILE", "measured_targets", "tested_labels", "write_targets"]

TARGETS_FILE = "targets.json"


def measured_targets(
    experiment: Experiment, algorithm: Algorithm[Any], state: Any
) -> list[TargetQuality]:
    """The quality of each further target of a run; none for methods without edge models.

    Args:
      experiment: the data.
      algorithm: what was run.
      state: after its last round.
    """
    names, test = target_names(experiment.config.samples), experiment.test
    if not names or not isinstance(algorithm, EcctAlgorithm):
        return []
    # The tested item alone: what came of others nobody knows.
    own = Candidates(users=test.users, positions=test.positions, items=test.items[:, :1])
    labels = tested_labels(experiment, own)
    logits = functools.partial(
        algorithm.evaluator.scores, state.edge, algorithm.cloud_at(state), own
    )
    ranking = logits()[:, 0]
    return [
        target_quality(
            name,
            labels[:, place],
            logits=logits(target=place)[:, 0],
            ranking=ranking,
        )
        for place, name in enumerate(names)
    ]


def tested_labels(experiment: Experiment, tested: Candidates) -> npt.NDArray[np.float32]:
    """Labels of the further targets at tested interactions: `[k, T]`, below 0 for none."""
    split = experiment.split
    codes = split.context[split.offsets[tested.users] + tested.positions]
    return target_labels(codes, experiment.config.samples)[:, 0]


def write_targets(found: Sequence[TargetQuality], folder: Path) -> None:
    """Writes them into a run folder, where there are some."""
    if not found:
        return
    values = {
        each.name: {
            # JSON has no NaN.
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in dataclasses.asdict(each).items()
            if name != "name"
        }
        for each in found
    }
    write_text(folder / TARGETS_FILE, json.dumps(values, indent=2) + "\n")
