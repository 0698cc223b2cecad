"""`ecct verify` says with which weights a device would serve, and fails where that is not so."""

from types import SimpleNamespace

import numpy as np
import pytest

from ecct_tf.errors import ExportError
from mobile_export.checking.behaviour import check_served
from mobile_export.checking.reference import SimulatedTraining
from mobile_export.contract.signatures import Port, Signature

METADATA = {"variant": {"name": "trainable-int8"}}
CANDIDATES = np.array([5, 1, 2, 3, 4], np.int32)


def logits_of(weights, candidates, *, off=0.0):
    """By item; the more `weights`, the higher item 5 ranks."""
    return np.where(candidates == 5, weights[0] + off, candidates).astype(np.float32)


class File:
    """An interpreter with a file whose logits are `off` for item 5 once it has trained."""

    def __init__(self, *, off=0.0):
        self.off, self.weights, self.asked = off, None, []

    def load(self, path):
        del path

    def run(self, name, inputs):
        if name == "set_weights":
            self.weights = inputs["weights"]
            return {"accepted": np.ones(1, np.float32)}
        self.asked.append(len(inputs["candidates"]))
        off = self.off if self.weights[0] != 2.5 else 0.0
        return {"logit": logits_of(self.weights, inputs["candidates"], off=off)}


def trained_source(variant, values):
    del variant
    return SimpleNamespace(
        answer=lambda _, inputs: {"logit": logits_of(values, inputs["candidates"])}
    )


def found(file, trained, *, places=None):
    port = Port("candidates", "int32", (places,), "items")
    contract = {"score": Signature("score", (port,), (), "logits")}
    values = [np.array([value], np.float32) for value in (2.5, trained)]
    simulated = SimulatedTraining([], *values, held=[{"candidates": CANDIDATES}] * 2)
    reference = SimpleNamespace(trained_source=trained_source)
    return check_served(file, None, METADATA, contract, reference, simulated)


@pytest.mark.parametrize(("trained", "says"), [(3.5, "what it trained"), (1.5, "its start")])
@pytest.mark.parametrize("places", [None, 2, 5, 9])
def test_a_device_serves_with_what_ranks_its_newest_positions_higher(trained, says, places):
    file = File()
    told = found(file, trained, places=places)
    assert told.startswith(f"2 held-back positions: serves with {says}")
    assert set(file.asked) == {places or 5}


def test_other_logits_fail_and_a_tie_within_rounding_is_named():
    with pytest.raises(ExportError, match="logits differ by 1"):
        found(File(off=1.0), 3.5)
    assert "by a tie" not in found(File(off=-9e-5), 2.2)
    assert "its start, by a tie within rounding" in found(File(off=-9e-5), 2.00005)
