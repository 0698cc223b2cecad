"""Runs side by side: each model over its seeds."""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ecct_tf.config.baselines import FEDERATED_BASELINES
from ecct_tf.config.flat import settings_with_effect
from ecct_tf.config.yaml_text import setting_text
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.reporting.csv_files import printable
from ecct_tf.reporting.run import CATALOG, QUALITY, Run
from ecct_tf.reporting.same_data import check_same_data
from ecct_tf.reporting.spread import Spread, plural
from ecct_tf.reporting.traffic import Traffic, traffic_of

__all__ = [
    "FEDERATED",
    "KINDS",
    "Comparison",
    "Model",
    "compare_runs",
    "missing_files",
    "reason_left_out",
]

FEDERATED: tuple[str, ...] = FEDERATED_BASELINES
KINDS = (
    "ECCT",
    "Ablations of the exchange",
    "Federated learning without a cloud model",
    "One side alone",
    "All data in one place",
    "Others",
)
_ALONE = ("cloud-only", "edge-only", "dccl")
_WITHOUT_ROUNDS = ("cloud-only", "popularity", "ease", "ease-recency")
_EVERYTHING = ("centralized", "popularity", "ease", "ease-recency")


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """One model over its seeds.

    Attributes:
      name: what it is called, with the settings that set it apart where two have one name.
      method: `ecct`, or a baseline's name.
      kind: one of `KINDS`.
      side: `edge`, `cloud` or `everything`: whose model it is.
      sees: what it may look at.
      model: its name in the run folders.
      seeds: ascending.
      quality: figures by name; None where a method has no such figure.
      runs: its own runs in the order of the seeds; empty for a row that another run carries.
      sources: the runs that hold its figures, in the order of the seeds: `runs`, or those that
        carry it.
      traffic: what a device transmits; None without rounds.
      seconds: duration of a run; None where unknown.
    """

    name: str
    method: str
    kind: str
    side: str
    sees: str
    model: str
    seeds: tuple[int, ...]
    quality: Mapping[str, Spread | None]
    runs: tuple[Run, ...] = ()
    sources: tuple[Run, ...] = ()
    traffic: Traffic | None = None
    seconds: Spread | None = None

    @property
    def name_without_side(self) -> str:
        """What both sides of ECCT, or of an ablation, have in common."""
        start = self.model.removesuffix(f" {self.side}")
        return start + self.name.removeprefix(self.model)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Models that were measured on the same data.

    Attributes:
      models: by kind, each kind by falling HR@K.
      runs: the complete runs.
      left_out: runs that are not complete, each with the reason.
      notes: what a reader has to know to compare fairly.
    """

    models: tuple[Model, ...]
    runs: tuple[Run, ...]
    left_out: tuple[tuple[Run, str], ...]
    notes: tuple[str, ...]

    @property
    def k(self) -> int:
        """List length of HR@K and NDCG@K."""
        return self.runs[0].k

    def label(self, quality: str) -> str:
        """How a figure of quality is written, such as `HR@10`."""
        names = {
            "hr": f"HR@{self.k}",
            "ndcg": f"NDCG@{self.k}",
            "log_loss": "log loss",
            "catalog_hr": f"catalog HR@{self.k}",
            "catalog_recall": f"catalog Recall@{self.k}",
            "catalog_ndcg": f"catalog NDCG@{self.k}",
            "catalog_mrr": "catalog MRR",
            "coverage": "coverage",
            "novelty": "novelty",
        }
        return names.get(quality, quality.upper())

    @property
    def over_catalog(self) -> bool:
        """Whether a model was ranked over the whole catalog."""
        return any(model.quality["catalog_hr"] is not None for model in self.models)

    @property
    def subject(self) -> Model:
        """The model that a comparison is about: ECCT's edge model, where there is one."""
        own = [model for model in self.models if model.runs]
        ours = [model for model in own if model.kind == KINDS[0]] or own
        edges = [model for model in ours if model.side == "edge"]
        return (edges or ours)[0]

    def of_kind(self, kind: str) -> tuple[Model, ...]:
        """The models of one kind."""
        return tuple(model for model in self.models if model.kind == kind)


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Groups runs by model over their seeds.

    Raises:
      ConfigError: the runs differ in their data, or one model has a seed twice.
      RunFolderError: none of them is complete.
    """
    left_out = tuple((run, reason_left_out(run)) for run in runs if not run.complete)
    complete = tuple(run for run in runs if run.complete)
    if not complete:
        reasons = "; ".join(f"{run.path}: {reason}" for run, reason in left_out)
        raise RunFolderError(f"expected at least one complete run, got none ({reasons})")
    check_same_data(complete)
    own = _own_models(complete)
    models = [*own, *_reference_models(complete, {model.model for model in own})]
    # A stable sort: where two are equal, the order of the command line remains.
    models.sort(key=lambda model: (KINDS.index(model.kind), -_mean(model.quality["hr"])))
    notes = (*_notes(models), *(note for run in complete for note in missing_files(run)))
    return Comparison(tuple(models), complete, left_out, notes)


def reason_left_out(run: Run) -> str:
    """Why a run that is not complete is left out, and what completes it."""
    if run.status == "running":
        return (
            f"still running, or killed, after {plural(run.rounds_done, 'round')}; "
            f"`ecct resume {run.path}` resumes a killed one"
        )
    return f"{run.status} after {plural(run.rounds_done, 'round')}; " + (
        f"`ecct resume {run.path}` resumes it"
    )


def missing_files(run: Run) -> list[str]:
    """What a complete run should have left and has not, and what cannot be shown for want of it."""
    told = []
    if run.metrics is None and run.rounds_done and run.method not in _WITHOUT_ROUNDS:
        told.append(
            f"{run.path}/metrics.csv is missing though the run has "
            f"{plural(run.rounds_done, 'round')} behind it: nothing by round and no bytes of it "
            "are shown. Copy the file too."
        )
    elif run.metrics is not None and len(run.metrics) < run.rounds_done:
        told.append(
            f"{run.path}/metrics.csv has {plural(len(run.metrics), 'row')} for "
            f"{plural(run.rounds_done, 'round')}: what is shown by round, and its bytes, are of "
            "these alone. Copy the whole file."
        )
    if run.devices is None:
        told.append(
            f"{run.path}/devices.csv is missing: no intervals and no gains of single devices are "
            "shown for it. Copy the file too."
        )
    if not (run.path / "candidates_test.npz").exists():
        told.append(
            f"{run.path}/candidates_test.npz is missing: that it was measured on the candidates of "
            "the other runs follows from its settings alone, and was not checked."
        )
    return told


def _own_models(runs: Sequence[Run]) -> list[Model]:
    groups: dict[tuple[str, str], dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        settings = repr(sorted(_effective(run).items()))
        for row in run.own_results().itertuples():
            groups[row.model, row.side][settings].append(run)
    models = []
    for (name, side), variants in groups.items():
        differing = _differing([members[0] for members in variants.values()])
        for members in variants.values():
            ordered = sorted(members, key=lambda run: run.seed)
            for first, second in itertools.pairwise(ordered):
                if first.seed == second.seed:
                    raise ConfigError(
                        f"{first.path} and {second.path} are the same run ({name}, seed "
                        f"{first.seed}, equal settings); name only one of them"
                    )
            settings = ", ".join(
                f"{key}={setting_text(_effective(ordered[0]).get(key), quotes=False)}"
                for key in differing
            )
            models.append(_model(ordered, model=name, side=side, settings=printable(settings)))
    return models


def _model(runs: Sequence[Run], *, model: str, side: str, settings: str) -> Model:
    tables = [run.own_results() for run in runs]
    # A run has one row for each side, so the side is enough.
    rows = [table[table["side"] == side].iloc[0] for table in tables]
    return Model(
        name=f"{model} ({settings})" if settings else model,
        method=runs[0].method,
        kind=_kind(runs[0].method, model),
        side=side,
        sees=str(rows[0]["sees"]),
        model=model,
        seeds=tuple(run.seed for run in runs),
        quality=_quality(rows),
        runs=tuple(runs),
        sources=tuple(runs),
        # A bound with all data in one place has no devices.
        traffic=None if side == "everything" else traffic_of(runs),
        seconds=Spread.of(float("nan") if run.seconds is None else run.seconds for run in runs),
    )


def _reference_models(runs: Sequence[Run], known: set[str]) -> list[Model]:
    """Rows that runs carry for reference, where no run of the model's own is at hand."""
    found: dict[tuple[str, str, str], dict[int, tuple[Any, Run]]] = defaultdict(dict)
    for run in runs:
        for _, row in run.references().iterrows():
            if row["model"] not in known:
                # Several runs of one seed carry the same reference: the first has it.
                found[row["method"], row["model"], row["side"]].setdefault(run.seed, (row, run))
    return [
        Model(
            name=model,
            method=method,
            kind=_kind(method, model),
            side=side,
            sees=str(next(iter(rows.values()))[0]["sees"]),
            model=model,
            seeds=tuple(sorted(rows)),
            quality=_quality([rows[seed][0] for seed in sorted(rows)]),
            sources=tuple(rows[seed][1] for seed in sorted(rows)),
        )
        for (method, model, side), rows in found.items()
    ]


def _quality(rows: Sequence[Any]) -> dict[str, Spread | None]:
    return {name: Spread.of(row[name] for row in rows) for name in (*QUALITY, *CATALOG)}


def _effective(run: Run) -> dict[str, Any]:
    return settings_with_effect(run.config)


def _differing(runs: Sequence[Run]) -> list[str]:
    settings = [_effective(run) for run in runs]
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if len({repr(each.get(key)) for each in settings}) > 1]


def _kind(method: str, model: str) -> str:
    if method == "ecct":
        return KINDS[0] if model.startswith("ECCT") else KINDS[1]
    for kind, methods in zip(KINDS[2:], (FEDERATED, _ALONE, _EVERYTHING), strict=False):
        if method in methods:
            return kind
    return KINDS[-1]


def _mean(spread: Spread | None) -> float:
    return 0.0 if spread is None else spread.mean


def _notes(models: Sequence[Model]) -> list[str]:
    seeds = {model.seeds for model in models}
    if len(seeds) == 1:
        return []
    most = max(seeds, key=len)
    others = [
        f"{model.name} ({', '.join(map(str, model.seeds))})"
        for model in models
        if model.seeds != most
    ]
    return [
        f"Each seed draws its own candidates. Most models have seeds {', '.join(map(str, most))}; "
        f"not so {'; '.join(others)}."
    ]
