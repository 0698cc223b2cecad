"""Random search over a method's settings, on validation items only.

No test interaction is scored here: the experiment's test candidates are replaced by the
validation candidates before anything is built. The seed, and with it the candidates and
all random draws, differs from those that results are reported for.
"""

import contextlib
import csv
import dataclasses
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from ecct_tf.config import RunConfig, load_config
from ecct_tf.errors import DivergenceError
from ecct_tf.federated import RoundReport, federated_runtime
from ecct_tf.simulation.experiment import Experiment, build_experiment
from ecct_tf.simulation.loop import Callback, RoundResult, quality, run_rounds
from ecct_tf.simulation.methods import build_algorithm

REPORTED_SEEDS = (0, 1, 2)

_FED = "federated_baseline"
_AVERAGING: dict[str, Any] = {
    f"{_FED}.embedding_dim": [16, 32],
    f"{_FED}.initial_scale": [0.05, 0.1, 0.2],
    f"{_FED}.positions": ["all", "all", "recent"],
    f"{_FED}.negatives": [4, 8],
    f"{_FED}.epochs": [1, 2],
    f"{_FED}.batch_size": [4, 8, 16],
    f"{_FED}.learning_rate": (0.002, 0.04),
    f"{_FED}.embedding_learning_rate": (0.02, 0.8),
    f"{_FED}.server.learning_rate": (0.003, 0.03),
    f"{_FED}.server.momentum": [0.5, 0.8, 0.9],
}
# By method: setting -> choices, or (low, high) drawn evenly on a logarithmic scale.
SPACES: dict[str, dict[str, Any]] = {
    "fedavg": _AVERAGING,
    # Shares all settings but μ with FedAvg, as FedAvg was tuned.
    "fedprox": {f"{_FED}.proximal": (0.0003, 3.0)},
    # Acts on FedAvg's averaged weights: tuned on a state that FedAvg left (--state).
    "fine-tuning": {
        f"{_FED}.fine_tuning.epochs": [1, 2, 4],
        f"{_FED}.fine_tuning.learning_rate": (0.0002, 0.02),
        f"{_FED}.fine_tuning.embedding_learning_rate": (0.002, 0.4),
    },
    "pfedrec": {
        f"{_FED}.pfedrec.embedding_dim": [16, 32],
        f"{_FED}.pfedrec.initial_scale": [0.01, 0.1],
        f"{_FED}.pfedrec.negatives": [4, 8],
        f"{_FED}.pfedrec.epochs": [1, 2],
        f"{_FED}.pfedrec.batch_size": [20, 50, 200],
        f"{_FED}.pfedrec.learning_rate": (0.01, 1.0),
        f"{_FED}.pfedrec.embedding_learning_rate": (10.0, 300.0),
        f"{_FED}.pfedrec.server.learning_rate": (0.5, 8.0),
    },
    "fedrecon": {
        f"{_FED}.fedrecon.embedding_dim": [16, 32],
        f"{_FED}.fedrecon.initial_scale": [0.01, 0.1, 0.2],
        f"{_FED}.fedrecon.negatives": [4, 8],
        f"{_FED}.fedrecon.reconstruction_epochs": [2, 4, 8],
        f"{_FED}.fedrecon.batch_size": [20, 50, 200],
        f"{_FED}.fedrecon.learning_rate": (0.1, 10.0),
        f"{_FED}.fedrecon.embedding_learning_rate": (3.0, 100.0),
        f"{_FED}.fedrecon.server.learning_rate": (0.03, 3.0),
    },
    "fedmd": {
        f"{_FED}.embedding_dim": [16, 32],
        f"{_FED}.initial_scale": [0.05, 0.1, 0.2],
        f"{_FED}.negatives": [4, 8],
        f"{_FED}.batch_size": [4, 20, 50],
        f"{_FED}.fedmd.digest_rate": [0.2, 0.5, 1.0],
        f"{_FED}.fedmd.learning_rate": (0.01, 0.2),
        f"{_FED}.fedmd.embedding_learning_rate": (0.5, 100.0),
    },
    "dccl": {
        "samples.negatives": [4, 9, 19],
        "training.epochs": [1, 2],
        "training.batch_size": [16, 32, 64],
        "dccl.private_learning_rate": (0.0003, 0.03),
        "dccl.rounds": [5, 10, 20],
    },
    "centralized": {
        "centralized.batch_size": [256, 512, 1024],
        "centralized.learning_rate": (0.0005, 0.01),
        "centralized.weight_decay": (1e-5, 1e-2),
        "centralized.negatives": [4, 9, 19],
        "centralized.max_positions": [32, 128, 1000],
    },
    "ecct": {
        "samples.negatives": [4, 9, 19],
        "training.epochs": [1, 2],
        "training.batch_size": [16, 32, 64],
        "training.learning_rate": (0.003, 0.06),
        "training.private_learning_rate": (0.0003, 0.01),
        "training.distillation_weight": (0.005, 0.2),
        "server.learning_rate": (0.0005, 0.01),
        "server.momentum": [0.5, 0.8, 0.9],
        "cloud.next_item.epochs": [4, 6, 8],
        "cloud.next_item.rank": [24, 32, 48],
        "cloud.next_item.dropout": [0.1, 0.3, 0.5],
    },
}
ROUNDS_KEYS = {
    "fedavg": f"{_FED}.rounds",
    "fedprox": f"{_FED}.rounds",
    "fine-tuning": f"{_FED}.rounds",
    "pfedrec": f"{_FED}.pfedrec.rounds",
    "fedrecon": f"{_FED}.fedrecon.rounds",
    "fedmd": f"{_FED}.fedmd.rounds",
    "dccl": "dccl.rounds",
    "centralized": "centralized.epochs",
    "ecct": "rounds",
}


class _StandstillError(Exception):
    """No better validation for a while."""


class _Best(Callback):
    """Keeps the best validation of a trial, by NDCG, and ends a trial that stands still."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self.state: Any = None
        self.found: dict[str, float] = {"round": 0, "hr": 0.0, "ndcg": 0.0}
        self.seconds: list[float] = []

    def on_round(self, result: RoundResult, state: Any) -> None:
        self.seconds.append(result.seconds)
        sides = [side for side in ("edge", "everything") if side in result.validation]
        for side in sides:
            metrics = result.validation[side]
            if metrics.ndcg > self.found["ndcg"]:
                self.state = state
                self.found = {
                    "round": result.round_number,
                    "hr": metrics.hr,
                    "ndcg": metrics.ndcg,
                }
        if sides and result.round_number - self.found["round"] >= self._patience:
            raise _StandstillError


def draw(space: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """One setting out of each choice or range."""
    drawn: dict[str, Any] = {}
    for key, choices in space.items():
        if isinstance(choices, tuple):
            low, high = np.log(choices)
            drawn[key] = float(f"{np.exp(rng.uniform(low, high)):.3g}")
        else:
            drawn[key] = choices[int(rng.integers(len(choices)))]
    return drawn


def blind(config: RunConfig) -> Experiment:
    """An experiment without test candidates: whoever asks for them gets validation ones."""
    experiment = build_experiment(config, progress=False)
    return dataclasses.replace(experiment, test=experiment.validation)


class Files(NamedTuple):
    """Where a trial begins and what it leaves.

    Attributes:
      state: state to score instead of training one; for settings that act at scoring only.
      keep: where the best state of the newest trial goes.
    """

    state: Path | None
    keep: Path | None


def trial(
    settings: dict[str, Any], *, common: list[str], patience: int, files: Files
) -> dict[str, Any]:
    """Runs one trial; needs a `federated_runtime()` around it."""
    overrides = [f"{key}={value}" for key, value in settings.items()]
    experiment = blind(load_config(overrides=[*common, *overrides]))
    algorithm = build_algorithm(experiment)
    best = _Best(patience)
    start = time.perf_counter()
    if files.state is not None:
        with np.load(files.state) as arrays:
            best.state = algorithm.from_arrays(dict(arrays))
        validation = quality(
            algorithm, best.state, experiment.validation, k=experiment.config.evaluation.k
        )
        best.on_round(RoundResult(0, RoundReport(0, 0, 0.0), 0.0, validation), best.state)
    else:
        # One that diverges is a trial like any other, with what it had reached before.
        with contextlib.suppress(_StandstillError, DivergenceError):
            run_rounds(algorithm, experiment, callbacks=[best])
    if files.keep is not None and best.state is not None:
        np.savez_compressed(files.keep, **algorithm.to_arrays(best.state))
    return {
        **best.found,
        "seconds": round(time.perf_counter() - start, 1),
        "seconds_per_round": round(float(np.median(best.seconds or [np.nan])), 2),
    }


@click.command()
@click.option("--method", type=click.Choice(sorted(SPACES)), required=True)
@click.option("--trials", default=10, show_default=True)
@click.option("--seed", default=100, show_default=True, help="Not one of the reported seeds.")
@click.option("--first", default=0, show_default=True, help="Number of the first trial.")
@click.option("--rounds", default=None, type=int, help="At most; the configuration's otherwise.")
@click.option("--every", default=5, show_default=True, help="Rounds between validations.")
@click.option("--patience", default=20, show_default=True, help="Rounds without a better one.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="CSV to append to.")
@click.option("--state", type=click.Path(path_type=Path), help="Score this state, train none.")
@click.option("--keep", type=click.Path(path_type=Path), help="Where the best state goes, .npz.")
@click.option("--set", "overrides", multiple=True, help="key=value, fixed in all trials.")
def main(
    method: str,
    trials: int,
    seed: int,
    first: int,
    rounds: int | None,
    every: int,
    patience: int,
    out: Path | None,
    state: Path | None,
    keep: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Random search; trial 0 is the configuration as it stands."""
    if seed in REPORTED_SEEDS:
        raise click.BadParameter(f"{seed} is a reported seed; tune with another", param_hint="seed")
    logging.disable(logging.INFO)
    out = out or Path(__file__).parent / "tuning" / f"{method}.csv"
    out.parent.mkdir(parents=True, exist_ok=True)
    common = [f"method={method}", f"seed={seed}", f"evaluation.every={every}", "baselines=false"]
    common += [] if rounds is None else [f"{ROUNDS_KEYS[method]}={rounds}"]
    common += overrides
    fixed = {override.partition("=")[0] for override in overrides}
    space = {key: choices for key, choices in SPACES[method].items() if key not in fixed}
    rows: list[dict[str, Any]] = []
    with federated_runtime():
        for number in range(first, first + trials):
            rng = np.random.default_rng([seed, number])
            settings = {} if number == 0 else draw(space, rng)
            found = trial(settings, common=common, patience=patience, files=Files(state, keep))
            shown = " ".join(f"{key}={value}" for key, value in settings.items())
            row = {
                "method": method,
                "trial": number,
                "seed": seed,
                "fixed": " ".join(overrides),
                **found,
                "settings": shown or "as configured",
            }
            rows.append(row)
            append_row(out, row)
            click.echo(
                f"{number}: NDCG {found['ndcg']:.4f} HR {found['hr']:.4f} in round "
                f"{found['round']} ({found['seconds']} s) {row['settings']}"
            )
    best = max(rows, key=lambda row: row["ndcg"])
    click.echo(f"best: trial {best['trial']}, NDCG {best['ndcg']:.4f}, HR {best['hr']:.4f}")
    click.echo(f"  {best['fixed']} {best['settings']}, {best['round']} rounds")


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Adds a line to a CSV, which begins with the names of the columns."""
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow({key: _short(value) for key, value in row.items()})


def _short(value: Any) -> Any:
    return f"{value:.5f}" if isinstance(value, float) and abs(value) < 1 else value


if __name__ == "__main__":
    main()
