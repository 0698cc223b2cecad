"""A run folder, read and checked; it may be a copy, and neither TensorFlow nor TFF is needed."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ecct_tf.config import EvaluationConfig
from ecct_tf.config.flat import flat_config
from ecct_tf.config.parsing import near_sibling
from ecct_tf.config.stored import earlier_settings
from ecct_tf.config.yaml_text import parse_yaml, resolved, setting_text
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.reporting.csv_files import read_table

__all__ = ["CATALOG", "QUALITY", "SIDES", "Run", "read_run", "read_runs"]

QUALITY = ("hr", "ndcg", "mrr", "auc", "gauc", "log_loss")
# Over the whole catalog, where a run measured that.
CATALOG = (
    *("catalog_hr", "catalog_recall", "catalog_ndcg", "catalog_mrr"),
    *("coverage", "novelty"),
)
SIDES = ("edge", "cloud", "everything")

_COLD = EvaluationConfig().cold_interactions
_BYTES = ("downlink_bytes", "uplink_bytes", "weights_bytes", "item_table_bytes")
_REQUIRED: dict[str, type] = {
    "method": str,
    "rounds": int,
    "seed": int,
    "data.dataset": str,
    "data.split": str,
    "evaluation.k": int,
    "evaluation.negatives": int,
    "exchange.down": bool,
    "exchange.up": bool,
}
_STATUSES = ("running", "interrupted", "failed", "complete")


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What a run folder holds.

    Attributes:
      path: the folder, as it was named.
      config: settings by dotted key, in the order of `config.yaml`.
      config_text: `config.yaml` as it stands.
      environment: `environment.json`.
      status: `running`, `interrupted`, `failed` or `complete`.
      rounds_done: rounds that are finished.
      seconds: duration, all parts together.
      metrics: one row a round; None for a method without rounds.
      results: test quality by model; None until the run is complete.
      devices: rank of each test interaction by own model, among the candidates and, where it was
        measured, in the catalog and at the start; None where the file is missing.
      reference_ranks: the same by the models that the run carries for reference.
    """

    path: Path
    config: Mapping[str, Any]
    config_text: str
    environment: Mapping[str, Any]
    status: str
    rounds_done: int
    seconds: float | None
    metrics: pd.DataFrame | None
    results: pd.DataFrame | None
    devices: pd.DataFrame | None
    reference_ranks: pd.DataFrame | None = None

    @property
    def method(self) -> str:
        """`ecct`, or a baseline's name."""
        return str(self.config["method"])

    @property
    def data_title(self) -> str:
        """What people call the data; of own files an earlier release recorded no name."""
        named = self.environment.get("data") or self.config.get("data.name")
        return str(named or self.config["data.dataset"])

    @property
    def seed(self) -> int:
        """The seed of all its randomness."""
        return int(self.config["seed"])

    @property
    def k(self) -> int:
        """List length of HR@K and NDCG@K."""
        return int(self.config["evaluation.k"])

    @property
    def candidates(self) -> int:
        """Items that a held-out item is ranked among, itself included."""
        return int(self.config["evaluation.negatives"]) + 1

    @property
    def cold_interactions(self) -> int:
        """Training interactions up to which a device is cold; the default for an earlier run."""
        return int(self.config.get("evaluation.cold_interactions", _COLD))

    @property
    def complete(self) -> bool:
        """Whether it came to its end."""
        return self.status == "complete"

    @property
    def population(self) -> int:
        """Devices that could take part: edge nodes, or else one per evaluated user."""
        nodes = self.config.get("data.nodes")
        if nodes is not None:
            return int(nodes)
        users = 0 if self.results is None else int(self.results["num_users"].max())
        busiest = 0 if self.metrics is None else int(self.metrics["devices"].max())
        return max(users, busiest, 1)

    def own_results(self) -> pd.DataFrame:
        """The rows of the run's own models, without those that it carries for reference.

        Raises:
          RunFolderError: the run is not complete, or cannot tell its own models.
        """
        if self.results is None:
            raise RunFolderError(
                f"{self.path}/status.json: expected a complete run, got {self.status!r}"
            )
        rows = self.results[self.results["method"] == self.method]
        if self.devices is not None:
            rows = rows[rows["model"].isin(self.devices["model"].unique())]
        if rows.empty or rows["side"].duplicated().any():
            raise RunFolderError(
                f"{self.path}/results.csv: expected one row of method {self.method} for each side "
                f"of the run, found {sorted(rows['model'])}; devices.csv tells the run's own "
                "models, so copy it too, or run it again"
            )
        return rows

    def references(self) -> pd.DataFrame:
        """The rows of other models that the run carries for reference; see `own_results`."""
        own = self.own_results()
        # Without results, own_results has refused already.
        return own if self.results is None else self.results.drop(index=own.index)


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """Reads run folders; a folder that only holds run folders stands for all of them.

    Raises:
      RunFolderError: see `read_run`.
    """
    runs = []
    for path in paths:
        inner = sorted(found.parent for found in path.glob("[!.]*/config.yaml"))
        holds_runs = inner and not (path / "config.yaml").exists()
        runs += [read_run(folder) for folder in (inner if holds_runs else [path])]
    return runs


def read_run(path: Path) -> Run:
    """Reads a run folder, also of a run that is not complete.

    Raises:
      RunFolderError: a file is missing, damaged or of an earlier version; the message names
        it and the way out.
    """
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise RunFolderError(f"{path}: expected a run folder, found {found}{near_sibling(path)}")
    text = _text(path / "config.yaml", f"{path} is no run folder; `ecct simulate` makes one")
    config = _config(path, text)
    environment = _json(path / "environment.json")
    status = _json(path / "status.json")
    if status.get("status") not in _STATUSES:
        raise RunFolderError(
            f"{path}/status.json: expected a status of {', '.join(_STATUSES)}, "
            f"got {status.get('status')!r}"
        )
    metrics = _metrics(path)
    complete = status["status"] == "complete"
    if complete and not (path / "results.csv").exists():
        raise RunFolderError(
            f"{path}/results.csv is missing though the run is complete; copy the whole folder, "
            f"or repeat the run: `ecct simulate --config {path}/config.yaml`"
        )
    numbers = ("seconds", "round")
    seconds, done = (status.get(name) for name in numbers)
    for name, value in zip(numbers, (seconds, done), strict=True):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise RunFolderError(f"{path}/status.json: {name}: expected a number, got {value!r}")
    return Run(
        path=path,
        config=config,
        config_text=text,
        environment=environment,
        status=str(status["status"]),
        rounds_done=int(done if done is not None else 0 if metrics is None else len(metrics)),
        seconds=None if seconds is None else float(seconds),
        metrics=metrics,
        results=_results(path) if complete else None,
        devices=_ranks(path / "devices.csv") if complete else None,
        reference_ranks=_ranks(path / "references.csv") if complete else None,
    )


def _config(path: Path, text: str) -> dict[str, Any]:
    file = path / "config.yaml"
    try:
        values = resolved(parse_yaml(text, where=str(file)))
    except ConfigError as error:
        raise RunFolderError(f"{error}; it was damaged") from error
    if not isinstance(values, dict):
        raise RunFolderError(f"{file}: expected keys and values, got {type(values).__name__}")
    flat = flat_config(earlier_settings(values))
    for key, kind in _REQUIRED.items():
        if key not in flat:
            raise RunFolderError(
                f"{file} lacks {key}: an earlier version of ECCT-TF wrote it. Repeat the run: "
                f"`ecct simulate --config {file} --out NEW-FOLDER`"
            )
        # In Python, but for nobody else, true is a whole number.
        if not isinstance(flat[key], kind) or (kind is int and isinstance(flat[key], bool)):
            raise RunFolderError(
                f"{file}: {key}: expected {kind.__name__}, got {setting_text(flat[key])}; the "
                "file was changed after the run"
            )
    return flat


def _metrics(path: Path) -> pd.DataFrame | None:
    file = path / "metrics.csv"
    if not file.exists():
        return None
    required = ("round", "devices", *_BYTES)
    quality = [f"{side}_{name}" for side in SIDES for name in QUALITY]
    late = ("arrived", "under_way", "mean_age", "refused_uplinks")
    optional = (
        "weights_up_bytes",
        "sums_bytes",
        "stage",
        "seconds",
        "train_loss",
        "cloud_loss",
        *late,
        *quality,
    )
    metrics = read_table(file, required=required, optional=optional)
    rounds = metrics["round"]
    if not rounds.is_monotonic_increasing or rounds.duplicated().any():
        raise RunFolderError(
            f"{file}: expected each round once and in order; the file was changed after the run"
        )
    return metrics if len(metrics) else None


def _results(path: Path) -> pd.DataFrame:
    return read_table(
        path / "results.csv",
        text=("method", "model", "side", "sees"),
        required=("hr", "ndcg", "mrr", "num_users"),
        optional=("auc", "gauc", "log_loss", "k", "start_serves", *CATALOG),
    )


def _ranks(file: Path) -> pd.DataFrame | None:
    if not file.exists():
        return None
    return read_table(
        file,
        text=("model", "side"),
        required=("user", "interactions", "rank"),
        optional=("catalog_rank", "start_rank"),
    )


def _json(file: Path) -> dict[str, Any]:
    text = _text(file, "copy the whole folder, or repeat the run")
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise RunFolderError(f"{file} is not valid JSON, it was damaged: {error}") from error
    if not isinstance(values, dict):
        raise RunFolderError(f"{file}: expected names and values, got {type(values).__name__}")
    return values


def _text(file: Path, remedy: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunFolderError(f"{file} is missing: {remedy}") from error
    except OSError as error:
        raise RunFolderError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RunFolderError(f"cannot read {file}: it is not UTF-8 text, it was damaged") from error
