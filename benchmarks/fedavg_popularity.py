"""What FedAvg would gain if its devices told which items they met lately, as those of ECCT do.

To the logits of finished runs of FedAvg the attribute of ECCT's item table is added, times one
weight for all of them. The weight that ranks validation items best is marked; test items are
ranked with each, so that nothing depends on the choice.

    ecct baselines --methods fedavg --seeds 0,1,2 --set runtime.engine=local --out runs/fedavg
    python benchmarks/fedavg_popularity.py runs/fedavg/*
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from ecct_tf.data import Candidates
from ecct_tf.evaluation.ranking import discounted_gains, hits, ranks
from ecct_tf.knowledge.recent_popularity import recent_popularity
from ecct_tf.runs.scoring import RunScores
from ecct_tf.simulation.experiment import Experiment
from ecct_tf.simulation.run_folder import RunFolder

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4)
POSITIONS, K = 128, 10


def popularity(experiment: Experiment) -> npt.NDArray[np.float32]:
    """`[items + 1]`: the attribute of what devices met lately; no validation or test item."""
    counts = np.zeros(experiment.dataset.num_items + 1, np.int64)
    for group in experiment.groups:
        for view in group:
            counts[np.unique(view.recent[-POSITIONS:])] += 1
    return recent_popularity(counts)


def measured(
    scores: npt.NDArray[np.float32], added: npt.NDArray[np.float32], candidates: Candidates
) -> npt.NDArray[np.float64]:
    """`[weights, 2, n]`: hits and discounted gains of each user, with each weight."""
    found = []
    for weight in WEIGHTS:
        places = ranks(scores + np.float32(weight) * added[candidates.items])
        found.append(np.stack([hits(places, K), discounted_gains(places, K)]))
    return np.stack(found)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(runs: tuple[Path, ...]) -> None:
    """Prints HR@10 and NDCG@10 of all RUNS together, with each weight."""
    validation, test = [], []
    for path in runs:
        models = RunScores(RunFolder.open(path))
        experiment = models.experiment
        added = popularity(experiment)
        for candidates, into in ((experiment.validation, validation), (experiment.test, test)):
            into.append(measured(models.of("edge", candidates), added, candidates))
    chosen = np.concatenate(validation, axis=2).mean(axis=2)
    tested = np.concatenate(test, axis=2).mean(axis=2)
    best = int(chosen[:, 1].argmax())
    for row, weight in enumerate(WEIGHTS):
        mark = "  best on validation items" if row == best else ""
        click.echo(
            f"weight {weight:.1f}: validation NDCG@{K} {chosen[row, 1]:.4f}, "
            f"test HR@{K} {tested[row, 0]:.4f}, NDCG@{K} {tested[row, 1]:.4f}{mark}"
        )


if __name__ == "__main__":
    main()
