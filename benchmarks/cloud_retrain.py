"""How fast the retraining job trains, as a ratio to a bare `model.fit` on the same tensors.

Both train the cloud recommender on MovieLens-100K's labelled positions, batch for batch, in
one process and in turns. The job draws fresh negatives for each epoch, measures itself on the
held-out items, and writes checkpoints, `metrics.csv` and TensorBoard events; the bare fit
gets the tensors of one epoch and does none of that. Each turn takes as many epochs.
"""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import tensorflow as tf

from cloud.retraining.config import JobConfig, load_job_config
from cloud.retraining.distribution import build_engine
from cloud.retraining.engines import rows_of
from cloud.retraining.history import hold_out, load_history
from cloud.retraining.progress import Progress
from cloud.retraining.quality import measure
from cloud.retraining.start import begin, known_before, starting_space
from cloud.retraining.trainer import Phase, Trainer


@click.command()
@click.option("--turns", default=5, show_default=True)
@click.option("--epochs", default=10, show_default=True, help="In each turn.")
@click.option("--tail", default=0.9, show_default=True, help="Share of positions to train on.")
@click.option("--batch-size", default=512, show_default=True)
def main(turns: int, epochs: int, tail: float, batch_size: int) -> None:
    """Train in turns and print both rates."""
    overrides = [f"cloud.tail={tail}", f"cloud.batch_size={batch_size}", "cloud.next_item.epochs=0"]
    config = load_job_config(None, overrides=overrides)
    config = dataclasses.replace(
        config, validation=dataclasses.replace(config.validation, patience=10**6)
    )
    job, fit = _job(config, epochs), _fit(config, epochs)
    job(), fit()  # Tracing is not training.
    ratios = []
    for turn in range(1, turns + 1):
        rates = []
        for run in (fit, job):
            start = time.perf_counter()
            rows = run()
            rates.append(rows / (time.perf_counter() - start))
        ratios.append(rates[1] / rates[0])
        print(
            f"turn {turn}: model.fit {rates[0]:,.0f} positions/s, job {rates[1]:,.0f} "
            f"positions/s, ratio {ratios[-1]:.2f}"
        )
    print(f"median ratio of the job to model.fit: {statistics.median(ratios):.2f}")


def _job(config: JobConfig, epochs: int):
    history = load_history(config, known=None, progress=False)
    held = hold_out(
        history.view,
        negatives=config.validation.negatives,
        gate=config.gate.held_out,
        seed=config.seed,
    )
    knowledge = known_before(config, None, num_users=history.view.num_users)
    engine = build_engine("none")
    cloud = begin(config, held.view, None, space=starting_space(config, held.view, None))

    def rows(epoch: int):
        return cloud.batches.labelled_rows(np.random.default_rng([config.seed, 1, 0, epoch]))

    def run() -> int:
        with tempfile.TemporaryDirectory(prefix="ecct-job-") as temporary:
            trainer = Trainer(
                cloud,
                engine,
                folder=Path(temporary),
                validation=config.validation,
                checkpoint=config.checkpoint,
                evaluate=lambda: measure(
                    cloud, held, knowledge=knowledge, round_number=0, k=config.validation.k
                ),
                progress=Progress(Path(temporary)),
            )
            trainer.run(Phase("fit", epochs, config.cloud.batch_size, rows))
        return epochs * len(cloud.batches.positions.users)

    return run


def _fit(config: JobConfig, epochs: int):
    history = load_history(config, known=None, progress=False)
    held = hold_out(
        history.view,
        negatives=config.validation.negatives,
        gate=config.gate.held_out,
        seed=config.seed,
    )
    cloud = begin(config, held.view, None, space=starting_space(config, held.view, None))
    rows = cloud.batches.labelled_rows(np.random.default_rng(0))
    data = tf.data.Dataset.from_tensor_slices(rows).batch(config.cloud.batch_size)

    def run() -> int:
        cloud.model.fit(data, epochs=epochs, verbose=0)
        return epochs * rows_of(rows)

    return run


if __name__ == "__main__":
    main()
