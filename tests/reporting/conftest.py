"""Run folders made by hand, with the columns that runs write."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from ecct_tf.config import RunConfig

QUALITY = ("hr", "ndcg", "mrr", "auc", "gauc", "log_loss")
BYTES = ("downlink_bytes", "uplink_bytes", "weights_bytes", "item_table_bytes")

MakeRun = Callable[..., Path]


def _result(
    model: str, side: str, hr: float, *, method: str = "ecct", **more: Any
) -> dict[str, Any]:
    """A row of `results.csv`; all other figures follow from `hr`."""
    return {
        "method": method,
        "model": model,
        "side": side,
        "sees": "what it sees",
        **dict.fromkeys(QUALITY, hr / 2),
        "hr": hr,
        "k": 10,
        "num_users": 4,
        **more,
    }


def _course(*hr: float, side: str = "edge", devices: int = 4, **sizes: int) -> list[dict[str, Any]]:
    """Rows of `metrics.csv`: stage 1 in round 1, then 2; `sizes` are totals of a round."""
    return [
        {
            "round": number,
            "stage": min(number, 2),
            "devices": devices,
            "seconds": 0.5,
            "train_loss": 0.7 / number,
            **{name: sizes.get(name, 0) for name in BYTES},
            "item_table_bytes": sizes.get("item_table_bytes", 0) if number == 1 else 0,
            "cloud_loss": "",
            **{f"{side}_{name}": value for name in QUALITY},
        }
        for number, value in enumerate(hr, start=1)
    ]


@pytest.fixture
def result() -> Callable[..., dict[str, Any]]:
    return _result


@pytest.fixture
def course() -> Callable[..., list[dict[str, Any]]]:
    return _course


def _maker(folder: Path) -> MakeRun:
    def make(
        name: str = "run",
        *,
        method: str = "ecct",
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        results: Sequence[Mapping[str, Any]] | None = None,
        metrics: Sequence[Mapping[str, Any]] | None = None,
        ranks: Mapping[tuple[str, str], Sequence[int]] | None = None,
        users: Sequence[int] = (1, 2, 3, 4),
        interactions: Sequence[int] = (10, 20, 30, 40),
        catalog_ranks: Mapping[tuple[str, str], Sequence[int]] | None = None,
        start_ranks: Mapping[tuple[str, str], Sequence[int]] | None = None,
        status: str = "complete",
        seconds: float = 12.0,
    ) -> Path:
        path = folder / name
        path.mkdir(parents=True)
        config = dataclasses.asdict(RunConfig())
        config["features"]["decays"] = list(config["features"]["decays"])
        config.update(method=method, seed=seed, rounds=2)
        config["exchange"]["stage_1_rounds"] = 1
        for key, value in (settings or {}).items():
            *sections, last = key.split(".")
            target = config
            for section in sections:
                target = target[section]
            target[last] = value
        (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        environment = {
            "seed": seed,
            "command": ["ecct", "simulate", "--seed", str(seed), "--out", name],
            "python": "3.11.7",
            "platform": "Linux",
            "cpus": 2,
            "packages": {"ecct-tf": "0.1.0", "numpy": "1.25.2", "jax": None},
            "started": "2026-11-23T08:06:12+00:00",
            "resumed": [],
        }
        (path / "environment.json").write_text(json.dumps(environment))
        state = {"status": status, "round": 2, "seconds": seconds}
        (path / "status.json").write_text(json.dumps(state))
        if results is None:
            results = [_result("ECCT edge", "edge", 0.75), _result("ECCT cloud", "cloud", 0.5)]
        own = [row for row in results if row["method"] == method]
        if ranks is None:
            ranks = {(row["model"], row["side"]): (1, 2, 11, 4) for row in own}
        if status == "complete":
            pd.DataFrame(results).to_csv(path / "results.csv", index=False)
            devices = [
                {"model": model, "side": side, "user": user, "interactions": count, "rank": rank}
                for (model, side), places in ranks.items()
                for user, count, rank in zip(users, interactions, places, strict=True)
            ]
            for column, found in (("catalog_rank", catalog_ranks), ("start_rank", start_ranks)):
                if found is not None:
                    models = dict.fromkeys((row["model"], row["side"]) for row in devices)
                    cells = [rank for key in models for rank in found.get(key, [""] * len(users))]
                    for row, cell in zip(devices, cells, strict=True):
                        row[column] = cell
            pd.DataFrame(devices).to_csv(path / "devices.csv", index=False)
        if metrics is None:
            sizes = dict(zip(BYTES, (400, 800, 4000, 40960), strict=True))
            metrics = _course(0.5, 0.7, **sizes)
        if metrics:
            pd.DataFrame(metrics).to_csv(path / "metrics.csv", index=False)
        items = np.random.default_rng(seed).integers(1, 50, (4, 100))
        np.savez(path / "candidates_test.npz", users=np.arange(1, 5), items=items)
        return path

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run folder; by default ECCT's, complete, of four devices."""
    return _maker(tmp_path)


@pytest.fixture(scope="session")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """ECCT, an ablation, FedAvg and the cloud alone, two seeds each; not to be changed."""
    make_run = _maker(tmp_path_factory.mktemp("campaign"))
    paths = []
    for seed, shift in ((0, 0.0), (1, 0.02)):
        ecct = [
            _result("ECCT edge", "edge", 0.75 + shift),
            _result("ECCT cloud", "cloud", 0.5),
            _result("popularity", "everything", 0.4, method="popularity", auc="", log_loss=""),
            _result("no exchange edge", "edge", 0.6),
        ]
        ranks = {("ECCT edge", "edge"): (1, 2, 11, 4), ("ECCT cloud", "cloud"): (3, 3, 3, 3)}
        down = [_result("down only edge", "edge", 0.7), _result("down only cloud", "cloud", 0.45)]
        averaged = {
            "method": "fedavg",
            "results": [_result("FedAvg", "edge", 0.6, method="fedavg")],
            "ranks": {("FedAvg", "edge"): (2, 2, 11, 20)},
            "metrics": _course(0.3, 0.5, weights_bytes=40000),
        }
        cloud = {
            "method": "cloud-only",
            "results": [_result("cloud only", "cloud", 0.55, method="cloud-only")],
            "metrics": (),
        }
        paths += [
            make_run(f"ecct-{seed}", seed=seed, results=ecct, ranks=ranks),
            make_run(f"down-{seed}", seed=seed, results=down, settings={"exchange.up": False}),
            make_run(f"fedavg-{seed}", seed=seed, **averaged),
            make_run(f"cloud-only-{seed}", seed=seed, **cloud),
        ]
    return paths
