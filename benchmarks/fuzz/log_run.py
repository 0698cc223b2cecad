"""An uplink log and a registry through `ecct cloud log check` and `ecct cloud retrain`."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.command import Ran, Step, run
from benchmarks.fuzz.container_alterations import CONTAINER_ALTERATIONS
from benchmarks.fuzz.log_case import LogCase, copy_base
from benchmarks.fuzz.log_truth import check_learned
from benchmarks.fuzz.record_alterations import RECORD_ALTERATIONS
from benchmarks.fuzz.registry_alterations import REGISTRY_ALTERATIONS
from benchmarks.fuzz.settings import odd_setting
from benchmarks.fuzz.verdict import Fault, Outcome

__all__ = ["LOG_KINDS", "run_log"]

_CHECK_SECONDS, _RETRAIN_SECONDS = 30.0, 240.0
_BOUND, _SETTINGS = "wrong bound", "settings"
LOG_KINDS = (
    *RECORD_ALTERATIONS, *CONTAINER_ALTERATIONS, *REGISTRY_ALTERATIONS,
    "registry: parent damaged", "registry: parent damaged", "registry: blocked",
    _BOUND, *[_SETTINGS] * 4,
)  # fmt: skip
_SOUND = re.compile(r"Sound: ([\d,]+)")
_REFUSED = re.compile(r"Refused: ([\d,]+)")


def run_log(
    folder: Path,
    base: Path,
    kind: str,
    rng: np.random.Generator,
    step: Step,
    note: dict[str, str],
) -> Outcome:
    """Makes a case in `folder` from a copy of `base` and runs it.

    Args:
      folder: to work in.
      base: what `make_base` made.
      kind: what is altered, out of `LOG_KINDS`.
      rng: of the case.
      step: announces each command.
      note: takes what is worth keeping of a fault.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    case = copy_base(base, folder, rng)
    _alter(case, kind, rng)
    job = ["--config", str(folder / "job.yaml")]
    job += [word for setting in case.settings for word in ("--set", setting)]
    step("cloud log check", _CHECK_SECONDS)
    checked = run("cloud", "log", "check", *job)
    note["check"] = f"{checked.command}\n{checked.out}\n{checked.error}"
    counts = _check_counts(case, checked)
    before = _state(case.registry)
    out = folder / "job"
    step("cloud retrain", _RETRAIN_SECONDS)
    ran = run("cloud", "retrain", *job, "--out", str(out))
    note["retrain"] = f"{ran.command}\n{ran.out}\n{ran.error}"
    if ran.code:
        words = ran.reason()
        if case.expect == "accept":
            raise Fault(f"expected the job to end, got: {words}")
        _unchanged(case, before)
        return "refused"
    if case.expect == "refuse":
        raise Fault(f"expected a refusal, got exit code 0: {ran.out}")
    check_learned(case, base, out, checked=counts)
    return "accepted"


def _alter(case: LogCase, kind: str, rng: np.random.Generator) -> None:
    if kind in RECORD_ALTERATIONS:
        RECORD_ALTERATIONS[kind](case, rng)
        case.write()
        _tolerate(case, rng)
    elif kind in CONTAINER_ALTERATIONS:
        CONTAINER_ALTERATIONS[kind](case, rng)
        _tolerate(case, rng)
    else:
        case.write()
        if kind in REGISTRY_ALTERATIONS:
            REGISTRY_ALTERATIONS[kind](case, rng)
        elif kind == _BOUND:
            bounds = ["exchange.clip_logit=0.5", "exchange.clip_norm=0.01", "exchange.queries=5",
                      "exchange.embedding_dim=3", "exchange.codec=float16"]  # fmt: skip
            case.settings.append(str(rng.choice(bounds)))
            case.expect, case.settings_decide = "refuse", True
        else:
            from cloud.retraining import JobConfig

            case.settings_decide = True
            case.settings.append(odd_setting(rng, JobConfig(), leave_out=("registry", "uplinks")))


def _tolerate(case: LogCase, rng: np.random.Generator) -> None:
    """Most jobs learn what is sound, however much beside it is not; some stop at too much."""
    if rng.random() < 0.7:
        case.settings.append("uplink_log.max_refused=1.0")


def _check_counts(case: LogCase, checked: Ran) -> tuple[int, int] | None:
    """Sound and refused records as `log check` reports them, if it does."""
    sound, refused = _SOUND.search(checked.out), _REFUSED.search(checked.out)
    if sound is None or refused is None:
        checked.reason()
        if checked.code == 0:
            raise Fault(f"expected the counts of the log, got exit code 0: {checked.out}")
        if not case.check_may_refuse:
            raise Fault(f"expected a report of a sound log, got {checked.error}")
        return None
    counts = tuple(int(found.group(1).replace(",", "")) for found in (sound, refused))
    if (checked.code == 0) != (counts[1] == 0):
        raise Fault(f"exit code {checked.code} with {counts[1]} refused: {checked.out}")
    fates = [entry.fate for entry in case.entries]
    least, most = fates.count("taken"), len(fates) - fates.count("refused")
    # A setting or a bound may well make records unsound.
    if not case.settings_decide and not least <= counts[0] <= most:
        raise Fault(
            f"{least} to {most} records are sound, reported were {counts[0]}: {checked.out}"
        )
    return counts[0], counts[1]


def _state(registry: Path) -> dict[str, Any]:
    """What must stay as it is when a job is refused: versions and promotions."""
    found: dict[str, Any] = {}
    for name in ("versions", "promotions"):
        folder = registry / name
        found[name] = (
            sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no folder"
        )
    return found


def _unchanged(case: LogCase, before: dict[str, Any]) -> None:
    after = _state(case.registry)
    if after != before and case.expect != "either":
        raise Fault(f"a job that was refused changed the registry: {before} became {after}")
