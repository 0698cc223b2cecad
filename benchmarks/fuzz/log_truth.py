"""What a job must have learned: the sound records, on top of what its parent knew."""

import json
from pathlib import Path

import numpy as np

from benchmarks.fuzz.log_case import Entry, LogCase
from benchmarks.fuzz.record_alterations import header, payload
from benchmarks.fuzz.verdict import Fault

__all__ = ["check_learned"]

_PARENT = 2


def check_learned(case: LogCase, base: Path, out: Path, *, checked: tuple[int, int] | None) -> None:
    """Checks the version that a job stored.

    Args:
      case: what the job was given.
      base: of which the case is a copy, undamaged.
      out: the job's folder.
      checked: sound and refused records as `log check` reported them.

    Raises:
      Fault: it learned something else, from another parent, or lost count of it.
    """
    from cloud.registry import Registry
    from cloud.version_files import StoredCloud

    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    registry = Registry(case.registry)
    version = registry.version(result["version"])
    version.verify()
    manifest = version.manifest
    if manifest.parents != (_PARENT,):
        raise Fault(f"expected version {_PARENT} as the parent, got {manifest.parents}")
    promoted = registry.promoted()
    expected = version.number if result["promoted"] else _PARENT
    if promoted is None or promoted.number != expected:
        raise Fault(f"expected version {expected} in force, got {promoted and promoted.number}")
    stored = StoredCloud.read(version.path)
    parent = StoredCloud.read(base / "registry" / "versions" / "000002")
    for side, grown in (("users", case.new_users), ("items", case.new_items)):
        before, after = getattr(parent.vocabulary, side), getattr(stored.vocabulary, side)
        if after[: len(before)] != before or sorted(after[len(before) :]) != sorted(grown):
            raise Fault(f"the vocabulary's {side} are not the parent's and {grown}")
    uplinks = manifest.data["uplinks"]
    read, refused = uplinks["read"], sum(uplinks["rejected"].values())
    if checked is not None and (read, refused) != checked:
        raise Fault(f"log check reported {checked} sound and refused, the job {read, refused}")
    if not case.settings_decide:
        _check_knowledge(case.entries, stored.knowledge, parent.knowledge)
        fates = [entry.fate for entry in case.entries]
        least, most = fates.count("taken"), len(fates) - fates.count("refused")
        if not least <= read <= most:
            raise Fault(f"{least} to {most} records are sound, the job read {read}")


def _check_knowledge(entries: list[Entry], stored: object, parent: object) -> None:
    """Of each user the newest sound record counts, or else what the parent knew."""
    candidates: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.fate != "refused":
            candidates.setdefault(header(entry.content, "user"), []).append(entry)
    for user in range(len(stored.rounds)):
        known = user < len(parent.rounds)
        allowed = [_answer(entry) for entry in candidates.get(user, [])]
        if not any(entry.fate == "taken" for entry in candidates.get(user, [])):
            allowed.append(
                (int(parent.rounds[user]), parent.items[user], parent.embeddings[user],
                 parent.logits[user])
                if known else (-1, None, None, None)
            )  # fmt: skip
        found = (int(stored.rounds[user]), stored.items[user], stored.embeddings[user],
                 stored.logits[user])  # fmt: skip
        if not any(_same(found, each) for each in allowed):
            expected = [
                (each[0], None if each[1] is None else each[1].tolist()) for each in allowed
            ]
            raise Fault(
                f"user {user}: expected one of (round, items) {expected}, the version has "
                f"{found[0], found[1].tolist()}"
            )


def _answer(entry: Entry) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    row = payload(entry.content)
    embeddings = row["embeddings"].astype(np.float32) * row["embedding_scales"].astype(np.float32)
    logits = row["logits"].astype(np.float32) * np.float32(row["logit_scale"][0])
    return header(entry.content, "round"), row["items"], embeddings, logits


def _same(found: tuple, expected: tuple) -> bool:
    if found[0] != expected[0]:
        return False
    return expected[1] is None or (
        np.array_equal(found[1], expected[1])
        and np.allclose(found[2], expected[2], atol=1e-5)
        and np.allclose(found[3], expected[3], atol=1e-5)
    )
