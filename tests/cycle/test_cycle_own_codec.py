"""A custom codec all the way: simulate, export, verify, Python devices, log, job, publication."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from module_files import load_file

from cloud.uplink_log import log_files
from ecct_tf.cli import main
from ecct_tf.config import load_config
from ecct_tf.cycle import load_cycle_config, run_cycles
from ecct_tf.cycle.edge import fetch
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.cycle.over_http import HttpOptions
from ecct_tf.errors import CodecError, ConfigError, DeviceError
from ecct_tf.federated.crossing import shared_as_received
from ecct_tf.simulation.simulate import simulate
from mobile_export.device import DeviceModel

pieces = load_file("tests/cycle/cycle_pieces.py")

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_codecs"
CODEC = "own_codecs.four_bits:int4"
GROUPS = "own_codecs.four_bits:int4_groups"
OWN = (f"exchange.codec={CODEC}", "exchange.item_table=int8")


def _python_path():
    return filter(None, [os.environ.get("PYTHONPATH")])


@pytest.fixture(autouse=True)
def _example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    # Devices over HTTP live in processes of their own.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLES), *_python_path()]))


@pytest.mark.slow
@pytest.mark.parametrize("http", [False, True])
def test_jobs_and_devices_of_a_cycle_exchange_through_it(http, tmp_path):
    settings = ("data.synthetic_users=6", "edge.tiers={linear: 1.0}", "rounds_per_cycle=1", *OWN)
    config = load_cycle_config(
        None, overrides=[*pieces.SMALL, *settings, "edge.start=random"], http=http
    )
    chain = run_cycles(config, tmp_path / "chain", cycles=1, show=False)
    assert [row["uplinks_read"] for row in chain.rows] == ["0", "6"]
    assert {row["uplinks_rejected"] for row in chain.rows} == {"0"}
    # Header and CRC-32, id, fingerprint, rows of three numbers and one of all logits.
    record = 44 + 4 + 4 + pieces.QUERIES * (2 + 2) + 2 + pieces.QUERIES // 2
    assert int(chain.rows[1]["uplink_bytes"]) == 6 * record
    folder = CycleFolder(chain.path)
    assert log_files(folder.uplinks)
    known = fetch(folder.public, codec=CODEC).downlinks
    user = int(known.keys[0])
    assert np.isfinite(known.of(user).user_embedding).all()
    (path,) = folder.export.glob("*/*.tflite")
    with pytest.raises(DeviceError, match=f"exchange.codec={CODEC}, a custom codec; if this dev"):
        DeviceModel(path, runtime=pieces.RUNTIME)


def _cycled(out, codec, *settings):
    """A chain of one cycle whose shared weights cross in `codec`."""
    small = ("data.synthetic_users=6", "edge.tiers={linear: 1.0}", "rounds_per_cycle=2")
    overrides = [*pieces.SMALL, *small, f"exchange.weights_codec={codec}", *settings]
    chain = run_cycles(load_cycle_config(None, overrides=overrides), out, cycles=1, show=False)
    return chain.rows, CycleFolder(chain.path)


@pytest.mark.slow
def test_shared_weights_of_a_cycle_cross_in_a_custom_codec(tmp_path):
    rows, folder = _cycled(tmp_path / "own", GROUPS)
    shared = len(folder.shared("linear", 1).shared)
    # A scale and 32 bytes for each 64 weights, six devices, two rounds, both ways.
    assert int(rows[1]["weights_bytes"]) == 6 * 2 * 2 * -(-shared // 64) * (2 + 32)
    # Files of starting weights know the library's codecs alone.
    assert {file.codec for file in fetch(folder.public).starts.values()} == {"float16"}
    plain_rows, plain = _cycled(tmp_path / "plain", "float32")
    assert int(plain_rows[1]["weights_bytes"]) == 6 * 2 * 2 * 4 * shared
    # Four bits change what the server learns, by little.
    found, expected = (each.shared("linear", 1).shared for each in (folder, plain))
    assert 0 < np.abs(found - expected).max() < 0.5 * np.abs(expected).max()


def test_files_of_starting_weights_have_a_codec_of_the_library():
    told = {"float16": "float16", "float32": "float32", GROUPS: "float16"}
    for codec, expected in told.items():
        overrides = [*pieces.SMALL, f"exchange.weights_codec={codec}"]
        config = load_cycle_config(None, overrides=overrides)
        assert config.exchange.start_codec == expected
        assert config.run().exchange.weights_codec == codec


@pytest.mark.parametrize(
    ("codec", "settings", "http", "message"),
    [
        (GROUPS, ("edge.shared=none",), False, f"got {GROUPS}, a custom codec, but with edge.sh"),
        (GROUPS, (), True, "expected float16 or float32, in which files of starting weights"),
        ("int8", (), False, "erases the small ones"),
    ],
)
def test_a_codec_that_writes_no_weights_of_a_cycle_is_refused(codec, settings, http, message):
    overrides = [*pieces.SMALL, f"exchange.weights_codec={codec}", *settings]
    with pytest.raises(ConfigError, match=message):
        load_cycle_config(None, overrides=overrides, http=http)


def test_a_custom_codec_that_there_is_not_is_refused_before_the_first_version(tmp_path):
    with pytest.raises(ConfigError, match=r"own_codecs\.four_bits:missing"):
        _cycled(tmp_path / "chain", "own_codecs.four_bits:missing")
    assert not (tmp_path / "chain").exists()


def test_weights_that_a_codec_makes_no_numbers_of_are_refused_by_its_name(monkeypatch):
    from own_codecs import four_bits

    def broken():
        whole = four_bits.int4_groups()

        def decode(content, width):
            # Sound in a trial; of long rows, such as shared weights, no numbers.
            return whole.decode(content, width) / float(width < 100)

        return dataclasses.replace(whole, decode=decode, encode_array=None, decode_array=None)

    monkeypatch.setattr(four_bits, "broken", broken, raising=False)
    name = "own_codecs.four_bits:broken"
    weights = np.linspace(-1, 1, 200, dtype=np.float32)
    assert np.isfinite(shared_as_received(weights[:50], name)).all()
    with pytest.raises(CodecError, match=f"{name}.*finite numbers of 200 shared weights, got 200"):
        shared_as_received(weights, name)


def test_browsers_of_a_cycle_refuse_it_by_name(tmp_path):
    config = load_cycle_config(None, overrides=[*pieces.SMALL, *OWN], http=True)
    browsers = HttpOptions(browsers=1, browser_command=("node",))
    with pytest.raises(
        ConfigError, match=f"got {CODEC}, a custom codec, but the browsers of a cycle know float"
    ):
        run_cycles(config, tmp_path, cycles=1, show=False, http=browsers)


@pytest.mark.slow
def test_files_of_a_run_are_verified_and_do_the_work_of_its_devices(tmp_path, monkeypatch, capsys):
    settings = (
        "rounds=2",
        "exchange.stage_1_rounds=1",
        "data.dataset=synthetic",
        "data.synthetic_users=16",
        "data.synthetic_items=120",
        "evaluation.negatives=10",
        "features.history_length=6",
        "cloud.rank=3",
        "cloud.next_item.epochs=0",
        "edge.tiers={linear: 1.0}",
        "edge.start=random",
        "baselines=false",
        "exchange.uplink_log=run:uplinks",
        "exchange.noise_multiplier=0.1",
        "runtime.real_devices=3",
        *OWN,
    )
    run = tmp_path / "run"
    simulate(load_config(overrides=settings), out=run)
    rows = pd.read_csv(run / "metrics.csv")
    assert rows["real_devices_equal_uplinks"].tolist() == [3, 3]
    assert len(log_files(run / "uplinks")) == 2

    def ecct(*arguments):
        monkeypatch.setattr("sys.argv", ["ecct", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        return code or 0, capsys.readouterr()

    code, told = ecct("export", run, "--out", tmp_path / "files")
    assert code == 0, told.err
    (file,) = (tmp_path / "files").glob("*.tflite")
    code, told = ecct("verify", file, "--run", run, "--steps", 6, "--calls", 12)
    assert code == 0, told.out + told.err
    assert "FAILED" not in told.out
    assert DeviceModel(file, runtime=pieces.RUNTIME, codec=CODEC).file.sizes.codec == "float32"
