"""A cycle some of whose devices live in headless Chromium, and answer what Python would."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from benchmarks.http_faults.evidence import log_records
from ecct_tf.cycle import HttpOptions, load_cycle_config, run_cycles
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.errors import ConfigError
from mobile_export.device import DeviceModel
from mobile_export.device.state import read_state

_spec = importlib.util.spec_from_file_location(
    "cycle_pieces", Path(__file__).with_name("cycle_pieces.py")
)
pieces = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pieces)
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
