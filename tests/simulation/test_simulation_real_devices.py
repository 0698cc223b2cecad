"""Exported files do the work of some devices in a simulated round, and agree."""

import csv
import dataclasses

import numpy as np
import pytest

from ecct_tf.errors import ConfigError, ExportError
from ecct_tf.simulation import ecct, real_devices
from ecct_tf.simulation.real_devices import WEIGHT_TOLERANCE
from ecct_tf.simulation.simulate import simulate


def metrics(path):
    with (path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def seen(monkeypatch):
    """The witness of the next run, and the rounds that it saw."""
    kept, make = {"rounds": []}, ecct.real_devices

    def recorded(*args, **kwargs):
        witness = make(*args, **kwargs)
        look = witness.see

        def see(found):
            kept["rounds"].append(found)
            look(found)

        witness.see = see
        kept["look"] = look
        return witness

    monkeypatch.setattr(ecct, "real_devices", recorded)
    return kept


@pytest.mark.slow
def test_real_devices_agree_in_both_stages_and_a_disagreement_ends_the_run(
    small_config, tmp_path, seen
):
    timed = ("features.clock=true", "runtime.real_devices=4")
    config = small_config("rounds=2", "edge.tiers={linear: 1.0}", *timed)
    simulate(config, out=tmp_path / "run")
    for row in metrics(tmp_path / "run"):
        assert int(row["real_devices"]) == 4
        assert 0.0 < float(row["real_devices_max_weight_difference"]) <= WEIGHT_TOLERANCE
        assert (row["real_devices_uplinks"], row["real_devices_equal_uplinks"]) == ("4", "4")
    # A twin that ends elsewhere, or sends something else, is noticed.
    found = seen["rounds"][1]
    assert found.work.exchange.with_logits
    seen["look"](found)
    with pytest.raises(ExportError, match=r"round 2: the real device of user \d+ \(tier linear"):
        seen["look"](dataclasses.replace(found, after=found.after + np.float32(1e-5)))
    with pytest.raises(ExportError, match=r"round 2: .* ended .* from its simulated twin"):
        seen["look"](dataclasses.replace(found, shared=found.shared[::-1].copy()))
    values, scales = found.uplink.embeddings
    altered = found.uplink._replace(embeddings=(-values, scales))
    with pytest.raises(ExportError, match=r"uplink of user \d+'s real device is not its"):
        seen["look"](dataclasses.replace(found, uplink=altered))


@pytest.mark.slow
def test_a_device_that_sends_other_bytes_with_equal_weights_ends_the_run(
    small_config, tmp_path, monkeypatch
):
    make = real_devices.simulated_twin

    def off_by_one(work, items):
        twin = make(work, items)

        def answer(*args):
            uplink = twin.answer(*args)
            values, scales = uplink.embeddings
            values[0, 0, 0] -= np.sign(values[0, 0, 0])
            return uplink._replace(embeddings=(values, scales))

        return twin._replace(answer=answer)

    monkeypatch.setattr(real_devices, "simulated_twin", off_by_one)
    config = small_config("rounds=1", "edge.tiers={linear: 1.0}", "runtime.real_devices=1")
    with pytest.raises(ExportError, match=r"with the weights of its simulated twin .* other byte"):
        simulate(config, out=tmp_path / "run")


@pytest.mark.slow
def test_noise_float16_and_unstacked_devices_agree_too(small_config, tmp_path):
    config = small_config(
        "rounds=1",
        "data.synthetic_users=8",
        "edge.tiers={linear: 1.0}",
        "edge.shared=none",
        "exchange.codec=float16",
        "exchange.noise_multiplier=0.1",
        "runtime.shard_size=0",
        "runtime.real_devices=8",
    )
    simulate(config, out=tmp_path / "run")
    (row,) = metrics(tmp_path / "run")
    assert int(row["real_devices"]) == 8
    # Equal up to a step of float16, else the run would have ended; without the twin's own
    # noise nothing would be.
    assert int(row["real_devices_uplinks"]) == 8


def test_what_cannot_have_real_devices_says_so(small_config):
    with pytest.raises(ConfigError, match="serves one user"):
        small_config("runtime.real_devices=1", "data.nodes=4")
    with pytest.raises(ConfigError, match="expected method ecct or edge-only"):
        simulate(small_config("runtime.real_devices=1", "method=popularity"))
