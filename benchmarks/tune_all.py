"""One random search over several data sets at once: settings that are not one data set's.

A trial has the same settings on every data set, and its score is the mean of its validation
NDCG@10 relative to that of the configuration as it stands, trial 0. Each method gets the same
number of trials; `tune.py` has their spaces, and no test item is scored, as there. Every run is a
line of `tuning/all-METHOD.csv`: a search that was stopped goes on with what is missing.
"""

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.tune import REPORTED_SEEDS, ROUNDS_KEYS, SPACES, Files, append_row, draw, trial
from ecct_tf.config import load_config
from ecct_tf.federated import federated_runtime

DATASETS: dict[str, tuple[str, ...]] = {
    "movielens-100k": ("data.dataset=movielens-100k",),
    "complete-journey": ("data.dataset=complete-journey",),
    "movielens-latest-small": ("data.dataset=movielens-latest-small",),
    "first-eight": ("data.dataset=movielens-100k", "data.keep_first=8"),
}
METHODS = ("ecct", "fedavg", "pfedrec", "fedrecon")

_AS_CONFIGURED = "as configured"


def shown(settings: Mapping[str, Any]) -> str:
    """Settings as a line of the records has them.

    >>> shown({"training.epochs": 2}), shown({})
    ('training.epochs=2', 'as configured')
    """
    return " ".join(f"{key}={value}" for key, value in settings.items()) or _AS_CONFIGURED


def settings_of(number: int, *, method: str, seed: int, fixed: Sequence[str]) -> dict[str, Any]:
    """The settings of a trial, the same on every data set; trial 0 has none of its own."""
    if number == 0:
        return {}
    kept = {override.partition("=")[0] for override in fixed}
    space = {key: choices for key, choices in SPACES[method].items() if key not in kept}
    return draw(space, np.random.default_rng([seed, number]))


def scores(
    rows: Sequence[Mapping[str, Any]], *, datasets: Sequence[str]
) -> dict[int, dict[str, float]]:
    """What each trial is worth: by number, its `score` and its ratio on each data set.

    Args:
      rows: of the records, all of one method.
      datasets: names of the data sets that count.

    Returns:
      The trials that ran on all of them, if trial 0 did; the best comes first.

    Example:
      >>> rows = [dict(trial=0, data="a", ndcg=0.5), dict(trial=0, data="b", ndcg=0.2)]
      >>> rows += [dict(trial=1, data="a", ndcg=0.4), dict(trial=1, data="b", ndcg=0.3)]
      >>> {trial: found["score"] for trial, found in scores(rows, datasets=["a", "b"]).items()}
      {1: 1.15, 0: 1.0}
    """
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        found.setdefault(int(row["trial"]), {})[str(row["data"])] = float(row["ndcg"])
    default = found.get(0, {})
    ratios = {
        number: {name: of[name] / default[name] for name in datasets}
        for number, of in found.items()
        if all(name in of and default.get(name) for name in datasets)
    }
    means = {
        number: {"score": round(sum(each.values()) / len(each), 6), **each}
        for number, each in ratios.items()
    }
    return dict(sorted(means.items(), key=lambda pair: -pair[1]["score"]))


def done_rows(path: Path, *, method: str, seed: int, fixed: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of a search that was begun.

    Args:
      path: of the records; nothing is done where there is none.
      method: whose.
      seed: of the search.
      fixed: `key=value`, in all trials.

    Raises:
      click.ClickException: its settings are not those that would be drawn now, so that scores
        could not be compared.
    """
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        number = int(row["trial"])
        drawn = shown(settings_of(number, method=method, seed=seed, fixed=fixed))
        expected = {"method": method, "seed": str(seed), "fixed": " ".join(fixed)}
        expected["settings"] = drawn
        for name, value in expected.items():
            if row[name] != value:
                raise click.ClickException(
                    f"{path}: trial {number} has {name} {row[name]!r}, expected {value!r}: it is "
                    "another search's; give another --out"
                )
    return rows


@click.command()
@click.option("--methods", default=",".join(METHODS), show_default=True)
@click.option("--datasets", default=",".join(DATASETS), show_default=True)
@click.option("--trials", default=10, show_default=True, help="Of each method, trial 0 included.")
@click.option("--seed", default=100, show_default=True, help="Not one of the reported seeds.")
@click.option("--rounds", default=None, type=int, help="At most; the configuration's otherwise.")
@click.option("--every", default=5, show_default=True, help="Rounds between validations.")
@click.option("--patience", default=20, show_default=True, help="Rounds without a better one.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of records.")
@click.option("--set", "overrides", multiple=True, help="key=value, fixed in all trials.")
def main(
    methods: str,
    datasets: str,
    trials: int,
    seed: int,
    rounds: int | None,
    every: int,
    patience: int,
    out: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Random search over all data sets; the same command goes on after a stop."""
    names, data = _chosen(methods, SPACES, "methods"), _chosen(datasets, DATASETS, "datasets")
    if seed in REPORTED_SEEDS:
        raise click.BadParameter(f"{seed} is a reported seed; tune with another", param_hint="seed")
    logging.disable(logging.INFO)
    folder = out or Path(__file__).parent / "tuning"
    folder.mkdir(parents=True, exist_ok=True)
    fixed = [f"evaluation.every={every}", "baselines=false", *overrides]
    with federated_runtime(engine=load_config(overrides=fixed).runtime.engine):
        # Trial by trial, so that methods have the same number wherever a search is stopped.
        for number in range(trials):
            for method in names:
                limit = [] if rounds is None else [f"{ROUNDS_KEYS[method]}={rounds}"]
                _run(
                    number,
                    method=method,
                    data=data,
                    path=folder / f"all-{method}.csv",
                    seed=seed,
                    fixed=[*fixed, *limit],
                    patience=patience,
                )
    for method in names:
        _tell(method, folder / f"all-{method}.csv", data)


def _run(
    number: int,
    *,
    method: str,
    data: Sequence[str],
    path: Path,
    seed: int,
    fixed: Sequence[str],
    patience: int,
) -> None:
    """One trial of a method, on the data sets that have no line yet."""
    rows = done_rows(path, method=method, seed=seed, fixed=fixed)
    done = {(int(row["trial"]), row["data"]) for row in rows}
    settings = settings_of(number, method=method, seed=seed, fixed=fixed)
    for name in data:
        if (number, name) in done:
            continue
        common = [f"method={method}", f"seed={seed}", *DATASETS[name], *fixed]
        found = trial(settings, common=common, patience=patience, files=Files(None, None))
        row = {"method": method, "trial": number, "data": name, "seed": seed}
        append_row(path, {**row, "fixed": " ".join(fixed), **found, "settings": shown(settings)})
        click.echo(f"{method} {number} {name}: NDCG {found['ndcg']:.4f} ({found['seconds']} s)")


def _tell(method: str, path: Path, data: Sequence[str]) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ranked = scores(rows, datasets=data)
    if not ranked:
        click.echo(f"{method}: no trial has run on all of {', '.join(data)} yet")
        return
    of_trial = {int(row["trial"]): row["settings"] for row in rows}
    for number, found in list(ranked.items())[:3]:
        parts = ", ".join(f"{name} {found[name]:.4f}" for name in data)
        click.echo(f"{method}: trial {number}, score {found['score']:.4f} ({parts})")
        click.echo(f"  {of_trial[number]}")


def _chosen(given: str, known: Mapping[str, Any], option: str) -> list[str]:
    names = given.split(",")
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) != len(names):
        raise click.BadParameter(
            f"expected different ones of {', '.join(known)}, got {given!r}", param_hint=option
        )
    return names


if __name__ == "__main__":
    main()
