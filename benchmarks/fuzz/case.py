"""What a worker process does: it runs cases and says what each came to."""

import json
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np

from benchmarks.fuzz.data_run import DATA_KINDS, run_data
from benchmarks.fuzz.log_base import make_base
from benchmarks.fuzz.log_run import LOG_KINDS, run_log
from benchmarks.fuzz.verdict import Fault, Job, Verdict

__all__ = ["drawn", "run_case", "work"]

# Kind of the case, command, and the seconds that it may take.
Announce = Callable[[str, str, float], None]

_FAMILIES = {"data": (1, DATA_KINDS), "log": (2, LOG_KINDS), "base": (3, ("base",))}


def drawn(family: str, seed: int, number: int) -> tuple[str, np.random.Generator]:
    """The kind of a case, and what draws the rest of it."""
    code, kinds = _FAMILIES[family]
    rng = np.random.default_rng([seed, code, number])
    return str(rng.choice(kinds)), rng


def run_case(job: Job, announce: Announce) -> Verdict:
    """Makes the case `job` in its folder, runs its commands and checks what they did.

    Args:
      job: the case.
      announce: takes the kind of the case, each command and the seconds that it may take.
    """
    kind, rng = drawn(job.family, job.seed, job.number)
    job.folder.mkdir(parents=True, exist_ok=True)
    note = {"kind": kind}

    def step(command: str, seconds: float) -> None:
        announce(kind, command, seconds)

    try:
        if job.family == "data":
            outcome = run_data(job.folder, kind, rng, step, note)
        elif job.family == "log":
            outcome = run_log(job.folder, job.base, kind, rng, step, note)
        else:
            make_base(job.base, job.seed, step)
            outcome = "accepted"
        return Verdict(job.family, job.number, kind, outcome)
    except Fault as fault:
        why = str(fault)
    except Exception:
        why = f"the fuzzer itself: {traceback.format_exc()}"
    told = {**note, "seed": job.seed, "case": f"{job.family}:{job.number}", "fault": why}
    (job.folder / "fault.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return Verdict(job.family, job.number, kind, "fault", why)


def work(pipe: Connection) -> None:
    """Runs the cases that come through `pipe`, until the parent process is gone."""
    os.environ |= {
        "COLUMNS": "200",
        "CUDA_VISIBLE_DEVICES": "",
        "MPLBACKEND": "Agg",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_USE_LEGACY_KERAS": "1",
        "TQDM_DISABLE": "1",
    }
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        verdict = run_case(job, lambda *told: pipe.send(told))
        pipe.send(verdict)
