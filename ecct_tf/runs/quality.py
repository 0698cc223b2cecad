"""What an exported file reaches on a run's test candidates, beside the float model."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data.outcomes import target_names
from ecct_tf.errors import ExportError
from ecct_tf.evaluation import Metrics, TargetQuality, evaluate_scores, target_quality
from ecct_tf.runs.models import RunModels
from ecct_tf.simulation.target_outcome import tested_labels
from mobile_export.checking.reference import Reference
from mobile_export.contract.held import held_room
from mobile_export.contract.samples import samples_of
from mobile_export.contract.signatures import Signature, contract_of
from mobile_export.flatbuffer.packing import check_digest, expected_digest, read_metadata
from mobile_export.making.examples import DeviceExample, example_inputs
from mobile_export.making.variants import find_variant
from mobile_export.runtime.interpreter import Interpreter

__all__ = ["Quality", "measure_quality"]

_USERS_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Quality:
    """Quality of a file and of its float source on the same rows.

    Attributes:
      name: of the file.
      runtime: that scored.
      own_weights: whether each user was scored with the weights of the own device.
      file: the file's.
      source: the float model's.
      rows: tested interactions.
      largest_logit_change: between the two.
      targets: the file's AUC of each further target.
    """

    name: str
    runtime: str
    own_weights: bool
    file: Metrics
    source: Metrics
    rows: int
    largest_logit_change: float
    targets: tuple[TargetQuality, ...] = ()

    def told(self) -> str:
        """For the command line."""
        k = self.file.k
        whose = "each device's own weights" if self.own_weights else "the file's weights"
        lines = [
            f"{self.name} in {self.runtime}: {self.rows} test rows, {whose}",
            f"             HR@{k}     NDCG@{k}",
            f"  file       {self.file.hr:.4f}    {self.file.ndcg:.4f}",
            f"  float      {self.source.hr:.4f}    {self.source.ndcg:.4f}",
            f"  change     {self.file.hr - self.source.hr:+.4f}   "
            f"{self.file.ndcg - self.source.ndcg:+.4f}",
            f"  largest change of a logit: {self.largest_logit_change:.2g}",
            *(f"  {target.told()}" for target in self.targets),
        ]
        return "\n".join(lines)


def measure_quality(
    path: Path, models: RunModels, interpreter: Interpreter, *, rows: int | None = None
) -> Quality:
    """Scores test candidates through `path` and through the float model of a run.

    Args:
      path: the file; its hash is checked first.
      models: the run.
      interpreter: an open one.
      rows: only the first test rows; None for all.

    Raises:
      ExportError: when the file is damaged, or not of this run as it stands.
    """
    content = path.read_bytes()
    check_digest(content, expected_digest(path), name=path.name)
    metadata = read_metadata(content)
    models.check_origin(path, metadata)
    if held_room(metadata) is not None:
        raise ExportError(
            f"{path.name} takes rows of items (exchange.items=candidates), expected one that holds "
            "the whole item table; the run itself measures its devices, and runtime.real_devices "
            "holds files against them"
        )
    variant, contract = find_variant(metadata["variant"]["name"]), contract_of(metadata)
    tier = str(metadata["tier"])
    user = metadata["provenance"].get("user")
    new_device = metadata["provenance"].get("new_device", False)
    reference = models.reference(tier, user=user, steps=0, new_device=new_device)
    own_weights = "set_weights" in contract and not variant.adapters and user is None
    candidates = models.experiment.test
    interpreter.load(path)
    tested = list(itertools.islice(models.tested(tier, candidates), rows))
    users = [int(candidates.users[row]) for row, _ in tested]
    examples = [example for _, example in tested]
    weights = np.repeat(reference.weights[None], len(users), axis=0)
    if own_weights:
        weights = models.weights_of(tier, users)
    names, labels = target_names(samples_of(metadata)), np.zeros((0, 0), np.float32)
    ours, others = [], []
    for own, example in zip(weights, examples, strict=True):
        if own_weights:
            interpreter.run("set_weights", {"weights": own})
        found = _scored(interpreter, contract["score"], example)
        ours.append(found["logit"])
        others.append(found["target_logits"][0] if names else np.zeros(0, np.float32))
    if names:
        labels = tested_labels(models.experiment, candidates)[[row for row, _ in tested]]
    scores, source = np.stack(ours), _float_scores(reference, weights, examples)
    k = models.experiment.config.evaluation.k
    return Quality(
        name=path.name,
        runtime=interpreter.name,
        own_weights=own_weights,
        file=evaluate_scores(scores, k=k, users=users),
        source=evaluate_scores(source, k=k, users=users),
        rows=len(users),
        largest_logit_change=float(np.abs(scores - source).max()),
        targets=tuple(
            target_quality(
                name,
                labels[:, place],
                logits=np.stack(others)[:, place],
                ranking=scores[:, 0],
            )
            for place, name in enumerate(names)
        ),
    )


def _scored(
    interpreter: Interpreter, signature: Signature, example: DeviceExample
) -> dict[str, npt.NDArray[Any]]:
    """What `score` says of all candidates, in as many calls as a static file needs."""
    extent = {port.name: port.shape for port in signature.inputs}["candidates"][0]
    count = len(example.candidates)
    step = extent or count
    parts = []
    for start in range(0, count, step):
        part = dataclasses.replace(example, candidates=example.candidates[start : start + step])
        parts.append(interpreter.run("score", example_inputs(part, signature)))
    return {name: np.concatenate([each[name] for each in parts])[:count] for name in parts[0]}


def _float_scores(
    reference: Reference, weights: npt.NDArray[np.float32], examples: Sequence[DeviceExample]
) -> npt.NDArray[np.float32]:
    """Logits of the float model, `[rows, C]`, many users at a time."""
    source = reference.float_source()
    parts = []
    for start in range(0, len(examples), _USERS_AT_ONCE):
        some = examples[start : start + _USERS_AT_ONCE]
        scales = np.array([[example.user_embedding_scale] for example in some], np.float32)
        inputs = {
            "history": np.stack([example.history for example in some]),
            "candidates": np.stack([example.candidates for example in some]),
            "profile": np.stack([example.profile for example in some]),
            "user_embedding": np.stack([example.user_embedding for example in some]),
            "user_embedding_scale": scales,
        }
        clocks = [example.clock for example in some if example.clock is not None]
        if clocks:
            inputs["clock"] = np.stack(clocks)
        parts.append(source.scores(weights[start : start + _USERS_AT_ONCE], inputs))
    return np.concatenate(parts)
