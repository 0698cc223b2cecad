"""The registry under two processes at once, and under kills at every file operation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.registry import Registry

HERE = Path(__file__).parent


def _start(script, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_of_two_promotions_at_once_one_wins_and_nothing_is_lost(tmp_path):
    rounds = 12
    jobs = [_start("registry_race.py", tmp_path / "registry", name, rounds) for name in "ab"]
    told = []
    for job in jobs:
        out, error = job.communicate(timeout=120)
        assert job.returncode == 0, error
        told.append([json.loads(line) for line in out.splitlines()])
    registry = Registry(tmp_path / "registry")
    # Each committed under a number of its own, and every version is whole.
    versions = registry.versions()
    assert [version.number for version in versions] == list(range(1, 2 * rounds + 1))
    assert len({version.manifest.config["job"] for version in versions}) == 2 * rounds
    for version in versions:
        version.verify()
    for one, other in zip(*told, strict=True):
        assert one["expected"] == other["expected"]
        assert {one["told"], other["told"]} == {"won", "lost"}
    winners = [
        one["version"] if one["told"] == "won" else other["version"]
        for one, other in zip(*told, strict=True)
    ]
    assert [promotion.version for promotion in registry.history()] == winners
    assert registry.served() == (winners[-1],)


@pytest.mark.slow
def test_a_kill_at_any_file_operation_leaves_a_whole_registry(tmp_path):
    job = _start("registry_kills.py", tmp_path)
    out, error = job.communicate(timeout=300)
    assert job.returncode == 0, error
    kills = json.loads(out)
    # A change of a few dozen operations each: fewer would mean that the hook saw nothing.
    assert set(kills) == {"commit", "promote", "rollback", "gc", "rewrite"}
    assert min(kills.values()) >= 15, kills
