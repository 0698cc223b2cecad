"""`ecct doctor` and a round of `ecct simulate` where a machine lacks what is mostly there.

Each in a process of its own with a deadline. The doctor goes through all conditions; a round
takes a process half a minute, so only a few are in the suite: `make test-odd-places` runs all.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ecct_tf

ROOT = Path(ecct_tf.__file__).parents[1]
DEADLINE_SECONDS = 300
ROUND = (
    "simulate", "--dataset=synthetic", "--rounds=1", "--set=data.synthetic_users=24",
    "--set=data.synthetic_items=120", "--set=evaluation.negatives=20", "--set=cloud.rank=4",
    "--set=baselines=false", "--out=run",
)  # fmt: skip
STRANGER = ("unshare", "--user", "--map-user=54321")
PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY")
# Half a gigabyte of shared memory is full, in a view of the file system of its own.
NO_SHARED_MEMORY = 'mount -t tmpfs -o size=4k tmpfs /dev/shm && exec "$@"'

# No machine is without its loopback; a new namespace has it, but switched off.
LOOPBACK = 'ip link set lo up && exec "$@"'

# By name: the command before `ecct`, and what its environment has (None: has not).
CONDITIONS = {
    "proxies": ((), dict.fromkeys(PROXIES, "http://127.0.0.1:9")),
    "no network": (("unshare", "--map-root-user", "--net", "sh", "-c", LOOPBACK, "sh"), {}),
    "stranger without HOME": (STRANGER, {"HOME": None}),
    "read-only HOME": ((), {"HOME": "/proc"}),
    "no shared memory": (
        ("unshare", "--map-root-user", "--mount", "sh", "-c", NO_SHARED_MEMORY, "sh"),
        {},
    ),
    "POSIX": ((), {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"}),
    "one CPU": (("taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))), {}),
}
IN_THE_SUITE = ("proxies", "stranger without HOME")


def run(condition, folder, *arguments):
    before, changes = CONDITIONS[condition]
    if before and shutil.which(before[0]) is None:
        pytest.skip(f"{before[0]} is not installed")
    if before and subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"this machine does not allow {' '.join(before[:3])}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "60", **changes}
    done = subprocess.run(
        [*before, sys.executable, "-m", "ecct_tf.cli", *arguments],
        env={name: value for name, value in environment.items() if value is not None},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    output = (done.stdout + done.stderr).decode("utf-8")
    assert "Traceback" not in output, output
    return done.returncode, output


@pytest.mark.slow
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_doctor_computes(condition, tmp_path):
    code, output = run(condition, tmp_path, "doctor", f"--deadline={DEADLINE_SECONDS - 60}")
    assert "1 + 2 = 3" in output
    assert code == 0, output
    assert list(tmp_path.iterdir()) == []  # no folder named ~ either


@pytest.mark.slow
@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_round_is_done(condition, tmp_path):
    if condition not in IN_THE_SUITE and not os.environ.get("ECCT_ALL_ODD_PLACES"):
        pytest.skip("make test-odd-places runs it")
    code, output = run(condition, tmp_path, *ROUND)
    assert code == 0, output
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
