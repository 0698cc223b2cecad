"""A registry that is damaged. Version 2 is in force and is the parent of the next job."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fuzz.file_alterations import flipped
from benchmarks.fuzz.log_case import LogCase

__all__ = ["REGISTRY_ALTERATIONS"]

Alteration = Callable[[LogCase, np.random.Generator], None]


def _damage(path: Path, rng: np.random.Generator, *, kinds: int = 7) -> None:
    """Does one of many things to a file; the last takes it away."""
    content = path.read_bytes()
    path.chmod(0o644)
    kind = int(rng.integers(kinds))
    if kind in (0, 1):
        path.write_bytes(flipped(content, rng))
        if path.read_bytes() == content:
            path.write_bytes(content + b" ")
    elif kind == 2:
        path.write_bytes(content[: int(rng.integers(len(content)))])
    else:
        path.unlink()
        if kind < 6:
            [path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(path.name)][kind - 3]()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _parent(case: LogCase, rng: np.random.Generator) -> None:
    files = _files(case.registry / "versions" / "000002")
    _damage(files[rng.integers(len(files))], rng)
    case.expect = "refuse"


def _parent_vocabulary(case: LogCase, rng: np.random.Generator) -> None:
    """Another vocabulary that is as well formed as the true one."""
    path = case.registry / "versions" / "000002" / "vocabulary.json"
    path.chmod(0o644)
    tokens = json.loads(path.read_text(encoding="utf-8"))
    side = str(rng.choice(["users", "items"]))
    kind = int(rng.integers(5))
    values = tokens[side]
    if kind == 0:
        values[0], values[1] = values[1], values[0]
    elif kind == 1:
        values[0] = values[0] + "1"
    elif kind == 2:
        values.append("another")
    elif kind == 3:
        values.pop()
    else:
        values[0] = [None, 1, ["x"], {}][rng.integers(4)]
    path.write_text(json.dumps(tokens), encoding="utf-8")
    case.expect = "refuse"


def _parent_manifest(case: LogCase, rng: np.random.Generator) -> None:
    """Another manifest that is as well formed as the true one."""
    path = case.registry / "versions" / "000002" / "manifest.json"
    path.chmod(0o644)
    body = json.loads(path.read_text(encoding="utf-8"))
    changes = [
        ("number", 1), ("number", 7), ("number", "2"), ("parents", []), ("parents", [9]),
        ("metrics", {}), ("metrics", {"validation/cloud_ndcg": 5.0}), ("data", {}), ("config", {}),
        ("files", {}), ("draft", "x"), ("created_at", "yesterday"), ("format", 2),
        ("libraries", []), ("parents", None), ("files", None),
    ]  # fmt: skip
    name, value = changes[rng.integers(len(changes))]
    body[name] = value
    path.write_text(json.dumps(body), encoding="utf-8")
    case.expect = "refuse"


def _older_version(case: LogCase, rng: np.random.Generator) -> None:
    """The version before the one in force: it stops nothing but itself."""
    files = _files(case.registry / "versions" / "000001")
    _damage(files[rng.integers(len(files))], rng)
    case.expect = "accept"


def _older_version_gone(case: LogCase, rng: np.random.Generator) -> None:
    shutil.rmtree(case.registry / "versions" / "000001")
    case.expect = "accept"


def _newest_promotion(case: LogCase, rng: np.random.Generator) -> None:
    # Gone without a trace, it would leave the one before in force.
    _damage(case.registry / "promotions" / "000002.json", rng, kinds=6)
    case.expect = "refuse"


def _promotion_values(case: LogCase, rng: np.random.Generator) -> None:
    path = case.registry / "promotions" / "000002.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    changes = [
        ("version", 1), ("version", 9), ("version", "2"), ("version", None), ("version", -1),
        ("version", 2.0), ("version", True), ("sequence", 1), ("sequence", 10**9),
        ("sequence", None), ("kind", "demote"), ("more", 1), ("version", [2]), ("version", 10**30),
        ("previous", 99), ("at", 5),
    ]  # fmt: skip
    name, value = changes[rng.integers(len(changes))]
    body[name] = value
    path.write_text(json.dumps(body), encoding="utf-8")
    case.expect = "refuse"


def _strays(case: LogCase, rng: np.random.Generator) -> None:
    """Entries that nobody asked for."""
    kind = int(rng.integers(10))
    names = ["versions/notes", "versions/000009/x", "versions/٣/x", "versions/000001.old/x",
             "promotions/readme.txt", "promotions/000003.json.tmp", "drafts/stray", "drafts/a/b",
             "trash/x", "model/99/saved_model.pb"]  # fmt: skip
    path = case.registry / names[kind]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("stray")
    case.expect = "either"


def _blocked(case: LogCase, rng: np.random.Generator) -> None:
    """Something else lies where the registry keeps its own."""
    name = str(rng.choice(["lock", "drafts", "trash", "model", "promotions", "versions"]))
    path = case.registry / name
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("in the way")
    else:
        path.unlink(missing_ok=True)
        [path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(path.name)][rng.integers(3)]()
    case.expect = "either"


REGISTRY_ALTERATIONS: dict[str, Alteration] = {
    "registry: parent damaged": _parent,
    "registry: parent vocabulary": _parent_vocabulary,
    "registry: parent manifest": _parent_manifest,
    "registry: older damaged": _older_version,
    "registry: older gone": _older_version_gone,
    "registry: promotion damaged": _newest_promotion,
    "registry: promotion forged": _promotion_values,
    "registry: strays": _strays,
    "registry: blocked": _blocked,
}
