"""A cycle some of whose devices live in headless Chromium, and answer what Python would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from module_files import load_file

pytest.importorskip("uvicorn")

from benchmarks.http_faults.browsers import browser_parts
from benchmarks.http_faults.evidence import log_records
from benchmarks.http_faults.plan import BROWSER_KILLS, FaultPlan
from benchmarks.http_faults.service import FaultyRun
from ecct_tf.cycle import HttpOptions, load_cycle_config, run_cycles
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.errors import ConfigError
from mobile_export.device import DeviceModel
from mobile_export.device.state import read_state

pieces = load_file("tests/cycle/cycle_pieces.py")
HOST = Path(__file__).parents[2] / "mobile_export/web/checks/host.mjs"
DEVICES, BROWSERS = 3, 2
SETTINGS = (
    *pieces.SMALL,
    f"devices={DEVICES}",
    "edge.tiers={linear: 1.0}",
    "gate.minimum_gain=2.0",
)


def test_browsers_need_a_command():
    for given in ({"browsers": 1}, {"browsers": -1}):
        with pytest.raises(ConfigError, match="with any a command that runs them"):
            HttpOptions(**given)


def test_devices_in_chromium_answer_as_python_does_from_their_states(tmp_path):
    if os.environ.get("ECCT_REQUIRE_NODE") != "1":
        pytest.skip("`make test-browser` runs it")
    node = shutil.which("node")
    assert node is not None
    options = HttpOptions(
        processes=1, browsers=BROWSERS, browser_command=(node, str(HOST)), deadline_seconds=240
    )
    config = load_cycle_config(None, overrides=SETTINGS, http=True)
    result = run_cycles(config, tmp_path / "chain", cycles=1, show=False, http=options)
    folder = CycleFolder(result.path)
    records = {record.user: record for record in log_records(folder.uplinks)}
    assert len(log_records(folder.uplinks)) == len(records) == DEVICES
    assert result.rows[-1]["uplinks_read"] == str(DEVICES)
    (static,) = folder.models.glob("edge-linear-*-c100.tflite")
    model = DeviceModel(static, runtime=config.runtime)
    own = [
        state
        for state in (read_state(folder.devices / f"{user}/device.state") for user in records)
        if state.model == model.file.sha256
    ]
    assert sorted(state.user for state in own) == sorted(records)[:BROWSERS]
    for state in own:
        assert state.round_number == config.rounds_per_cycle
        assert records[state.user].payload == model.uplink(state)


def test_pages_browsers_and_their_hosts_that_are_killed_lose_nothing(tmp_path):
    if os.environ.get("ECCT_REQUIRE_NODE") != "1":
        pytest.skip("`make test-browser` runs it")
    kills = {1 + 2 * place: what for place, what in enumerate(BROWSER_KILLS)}
    plan = FaultPlan(5, {}, full=(-1, -1), revoked=frozenset(), share=0.05, browser_kills=kills)
    faults = FaultyRun(plan, devices=tmp_path / "chain" / "devices")
    options = faults.options(
        processes=1, most_wait_seconds=0.3, deadline_seconds=400,
        browsers=BROWSERS, browser_command=("node", str(HOST)),
    )  # fmt: skip
    config = load_cycle_config(None, overrides=SETTINGS, http=True)
    result = run_cycles(config, tmp_path / "chain", cycles=1, show=False, http=options)
    log = CycleFolder(result.path).uplinks
    assert faults.left == ()
    for what in BROWSER_KILLS:
        assert faults.evidence.counts[f"kill: {what}"] == 1
    assert faults.evidence.counts["served compressed"] > 0
    assert faults.evidence.verdict(log) == []
    assert len({record.key for record in log_records(log)}) == len(log_records(log)) == DEVICES


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_browser_and_its_pages_are_found_among_what_a_host_started():
    script = """
import subprocess, sys
page = "import sys; print('ready', flush=True); sys.stdin.read()"
own = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[2:]])"
pipe = "--remote-debugging-pipe"
subprocess.run([sys.executable, "-c", own, pipe, "-c", page, "--type=renderer -x"])
"""
    host = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert host.stdout.readline() == b"ready\n"
        found = browser_parts(host.pid)
        assert [part.kind for part in found] == ["browser", "page"]
        assert len({part.pid for part in found} - {host.pid}) == 2
    finally:
        host.communicate()
    assert browser_parts(host.pid) == []
