"""What the gate lets through: the honest versions of a chain, and versions harmed on purpose.

    ecct cloud cycle --out cycles --cycles 6 --rounds-per-cycle 3
    python benchmarks/cloud_gate.py cycles

The first table is what the chain's jobs decided. The second compares the version in force with
itself after some harm, on the items that its gate held out: item vectors exchanged among items,
uplinks exchanged among users, and normal noise on every weight, as a share of the weight's
standard deviation. No harm at all stands in the first row.
"""

import dataclasses
import json
from pathlib import Path

import click
import numpy as np
import yaml

from cloud.registry import Registry
from cloud.retraining.comparison import Comparison
from cloud.retraining.config import JobConfig
from cloud.retraining.history import hold_out, load_history
from cloud.retraining.quality import by_user
from cloud.retraining.start import revived
from cloud.version_files import StoredCloud
from ecct_tf.config.parsing import build
from ecct_tf.knowledge import KnowledgeStore

_NOISE = (0.02, 0.05, 0.1, 0.2)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seed", default=0, show_default=True, help="Of the harm.")
def main(folder: Path, seed: int) -> None:
    """Print what the gates of the chain in FOLDER decided, and what its last gate refuses."""
    print("version  promoted  difference  interval            room")
    results = [
        json.loads((job / "result.json").read_text(encoding="utf-8"))
        for job in sorted((folder / "jobs").iterdir())
    ]
    for result in results[1:]:
        difference = result["quality"] - result["before"]
        interval = f"{result['low']:+.4f} to {result['high']:+.4f}"
        promoted = "yes" if result["promoted"] else "no"
        print(
            f"{result['version']:7}  {promoted:8}  {difference:+10.4f}  {interval}  "
            f"{result['room']:.4f}"
        )
    honest = sum(result["promoted"] for result in results[1:])
    print(f"{honest} of {len(results) - 1} jobs after the first were promoted\n")
    _harmed(folder, np.random.default_rng(seed))


def _harmed(folder: Path, rng: np.random.Generator) -> None:
    last = sorted((folder / "jobs").iterdir())[-1]
    config = build(JobConfig, yaml.safe_load((last / "config.yaml").read_text(encoding="utf-8")))
    version = Registry(folder / "registry").promoted()
    if version is None:
        raise SystemExit(f"{folder}: no version is in force")
    stored = StoredCloud.of(version)
    history = load_history(config, known=stored.vocabulary, progress=False)
    held = hold_out(
        history.view,
        negatives=config.validation.negatives,
        gate=config.gate.held_out,
        seed=config.seed,
    )
    cloud = revived(stored, held.view)
    snapshot = cloud.snapshot()

    def values(knowledge: KnowledgeStore) -> np.ndarray:
        measured = by_user(
            cloud,
            held.gate,
            knowledge=knowledge,
            round_number=stored.round_number,
            k=config.validation.k,
        )
        return measured[config.validation.metric]

    before = values(stored.knowledge)

    def row(name: str, after: np.ndarray) -> None:
        found = Comparison.of(
            after,
            before,
            confidence=config.gate.confidence,
            largest_loss=config.gate.largest_loss,
        )
        passed = found.passes(minimum_gain=config.gate.minimum_gain)
        print(f"{name:32}  {found.interval.mean:+10.4f}  {found.room:.4f}  {passed}")

    print(f"harm to version {version.number:<17}  difference  room    passes")
    row("none", values(stored.knowledge))
    order = rng.permutation(len(stored.knowledge.rounds))
    fields = dataclasses.fields(stored.knowledge)
    exchanged = {field.name: getattr(stored.knowledge, field.name)[order] for field in fields}
    row("uplinks exchanged among users", values(KnowledgeStore(**exchanged)))
    cloud.restore(_with_items_exchanged(snapshot, rng))
    row("item vectors exchanged", values(stored.knowledge))
    for share in _NOISE:
        cloud.restore(_with_noise(snapshot, share, rng))
        row(f"noise of {share:g} on every weight", values(stored.knowledge))


def _with_items_exchanged(
    snapshot: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    (name,) = (name for name in snapshot if "item_embedding" in name and name.startswith("model/"))
    (linear,) = (name for name in snapshot if "item_linear" in name and name.startswith("model/"))
    return {
        **snapshot,
        name: rng.permutation(snapshot[name]),
        linear: rng.permutation(snapshot[linear]),
    }


def _with_noise(
    snapshot: dict[str, np.ndarray],
    share: float,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    return {
        name: (value + share * value.std() * rng.normal(size=value.shape)).astype(value.dtype)
        if name.startswith("model/")
        else value
        for name, value in snapshot.items()
    }


if __name__ == "__main__":
    main()
