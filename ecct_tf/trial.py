"""A first computation, as `ecct doctor` tries it: in a process of its own, with a deadline.

What hangs or crashes there, in the import of TensorFlow, in its look for GPUs or in TFF's
worker, neither stops nor silences the doctor. `try_out` runs in the doctor and imports no
TensorFlow; `main` is what the process runs.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecct_tf.doctor import Check
from ecct_tf.user_folders import keep_keras_out_of_here

__all__ = ["main", "try_out"]

_COMMAND = "from ecct_tf.trial import main; main()"
_STEPS = {
    "start": "starting Python",
    "tensorflow": "importing TensorFlow",
    "gpu": "looking for GPUs",
    "federated": "importing TensorFlow Federated",
    "computation": "computing 1 + 2 in TFF's worker",
}
_LATER = "run the doctor again, on a loaded machine with a longer `--deadline`"
_TAIL_LINES = 3


def try_out(
    *, deadline_seconds: float, command: str = _COMMAND, federated: bool | None = None
) -> list[Check]:
    """Computes in a process of its own what every run depends on.

    Args:
      deadline_seconds: after which the process is killed, and the step named that it was at.
      command: Python source to run instead of the trial.
      federated: whether TFF is tried too; by default where it is installed.

    Returns:
      One row for the first computation, and one for the GPUs that TensorFlow sees.
    """
    if importlib.util.find_spec("tensorflow") is None:
        return [Check("First computation", "warning", "not tried: TensorFlow is not installed")]
    if federated is None:
        federated = importlib.util.find_spec("tensorflow_federated") is not None
    root = str(Path(__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_USE_LEGACY_KERAS": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONIOENCODING": "utf-8",
    }
    process = subprocess.Popen(
        # -P: modules of the folder that the user happens to be in are not Python's.
        [sys.executable, "-P", "-c", command, "federated" if federated else "tensorflow"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, complaints = process.communicate(timeout=deadline_seconds)
        ended = True
    except subprocess.TimeoutExpired:
        ended = False
        _kill(process)
        output, complaints = process.communicate()
    finally:
        _kill(process)
    events = _events(output)
    return [
        _computation(
            events,
            complaints.decode("utf-8", "replace"),
            federated=federated,
            code=process.returncode if ended else None,
            deadline_seconds=deadline_seconds,
        ),
        _gpu(events),
    ]


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _events(output: bytes) -> dict[str, Any]:
    """What the process reported by the name of the step, in order."""
    events: dict[str, Any] = {"start": None}
    for line in output.decode("utf-8", "replace").splitlines():
        try:
            name, value = json.loads(line)
        except ValueError:  # the last line of a killed process, or a library's own words
            continue
        events[str(name)] = value
    return events


def _computation(
    events: Mapping[str, Any],
    complaints: str,
    *,
    federated: bool,
    code: int | None,
    deadline_seconds: float,
) -> Check:
    name = "First computation"
    wanted = list(_STEPS) if federated else ["start", "tensorflow", "gpu"]
    missing = [step for step in wanted if step not in events]
    if not missing and code == 0:
        if federated:
            return Check(name, "ok", f"TFF's worker: 1 + 2 = {events['computation']}")
        return Check(name, "ok", f"TensorFlow {events['tensorflow']}: 1 + 2 = {events['gpu'][1]}")
    doing = _STEPS[missing[0]] if missing else "ending"
    if code is None:
        return Check(
            name,
            "error",
            f"not done after {deadline_seconds:g} s; it was {doing}",
            f"{_LATER}; if it stays so, reinstall",
        )
    tail = " ".join(complaints.strip().splitlines()[-_TAIL_LINES:]) or "no message"
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return Check(
        name,
        "error",
        f"{doing} failed ({how}): {tail}",
        "fix what the message names; -9 is a lack of memory" if code < 0 else "fix what it names",
    )


def _gpu(events: Mapping[str, Any]) -> Check:
    name = "GPU"
    if "gpu" not in events:
        return Check(name, "warning", "unknown: TensorFlow did not come that far")
    gpus = events["gpu"][0]
    if gpus:
        return Check(name, "ok", f"TensorFlow sees {len(gpus)}: {', '.join(gpus)}")
    if Path("/dev/nvidia0").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
        return Check(
            name,
            "warning",
            "this machine has one, TensorFlow sees none",
            "only cloud training can use it: install TensorFlow's CUDA libraries "
            "(`pip install 'tensorflow[and-cuda]'`) in an environment for cloud jobs",
        )
    return Check(name, "ok", "TensorFlow sees none; the simulation needs none")


def main() -> None:
    """Runs the trial and reports each step that is done as a line of JSON."""
    keep_keras_out_of_here()
    import tensorflow as tf

    _report("tensorflow", tf.__version__)
    gpus = [device.name.removeprefix("/physical_device:") for device in _visible_gpus(tf)]
    _report("gpu", [gpus, int(tf.constant(1) + tf.constant(2))])
    if sys.argv[-1] != "federated":
        return
    import numpy as np

    from ecct_tf.federated import compat, federated_runtime

    _report("federated", True)
    add = compat.federated_computation(compat.federated_sum, compat.clients_type(np.int32))
    with federated_runtime():
        _report("computation", int(add([np.int32(1), np.int32(2)])))


def _visible_gpus(tf: Any) -> list[Any]:
    return list(tf.config.list_physical_devices("GPU"))


def _report(step: str, value: Any) -> None:
    sys.stdout.write(json.dumps([step, value]) + "\n")
    sys.stdout.flush()
