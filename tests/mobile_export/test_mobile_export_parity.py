"""How near the weights that a file trains must be to the simulation's."""

import re

import numpy as np
import pytest

from ecct_tf.errors import ExportError
from mobile_export.checking.behaviour import check_training
from mobile_export.checking.reference import SimulatedTraining
from mobile_export.contract.signatures import Port, Signature

PASS, PASSES, STEP = 4, 5, 0.005
CONTRACT = {"train": Signature("train", (Port("mask", "float32", (None,), "rows"),), (), "steps")}


class File:
    """An interpreter with a file of two weights, each step of which moves the first by `STEP`.

    Args:
      off: by how much more the second moves, by the number of the step.
    """

    def __init__(self, off):
        self.off, self.steps = off, 0

    def load(self, path):
        del path

    def run(self, name, inputs):
        del inputs
        if name == "train":
            self.steps += 1
            return {"applied": np.ones(1, np.float32)}
        more = sum(self.off(step) for step in range(1, self.steps + 1))
        return {"weights": np.array([self.steps * STEP, more], np.float32)}


def checked(off, *, passes=PASSES):
    steps = PASS * passes
    simulated = SimulatedTraining(
        [{}] * steps,
        np.zeros(2, np.float32),
        np.array([steps * STEP, 0.0], np.float32),
        first_pass=(PASS, np.array([PASS * STEP, 0.0], np.float32)) if passes > 1 else None,
    )
    return check_training(File(off), None, CONTRACT, simulated)


def test_equal_weights_are_told_for_the_first_pass_and_for_the_end():
    told = checked(lambda _: 0.0)
    assert told == "20 steps: max |Δw| 0.0e+00 after 4, 0.0e+00 at the end (weights moved 0.1)"
    assert checked(lambda _: 0.0, passes=1) == (
        "4 steps: max |Δw| 0.0e+00 at the end (weights moved 0.02)"
    )


def test_what_roundings_do_in_many_passes_is_no_fault():
    # As a feature does that falls to the other side of float16 in each pass.
    assert "1.0e-06 after 4, 5.0e-06 at the end" in checked(lambda _: 2.5e-7)
    # And as a hidden unit that turns on a little later.
    assert "1.0e-04 at the end" in checked(lambda step: 1e-4 * (step == 13))


@pytest.mark.parametrize(
    ("off", "message"),
    [
        (lambda _: 6e-7, "after 4 steps weights differ by 2.4e-06 from .* more than 2e-06"),
        (lambda step: 6e-4 * (step == 13), "after 20 steps .* 0.0006 from .* more than 0.0005"),
        (lambda _: np.nan, "after 4 steps weights differ by nan"),
        # One part in a hundred, as of another learning rate, after the first pass alone.
        (lambda step: 0.01 * STEP * (step > 4), "after 20 steps .* 0.0008"),
    ],
)
def test_more_than_roundings_is_a_fault(off, message):
    with pytest.raises(ExportError, match=message):
        checked(off)


def test_one_pass_has_the_tolerance_alone():
    with pytest.raises(ExportError, match=re.escape("more than 2e-06")):
        checked(lambda step: 1e-5 * (step == 4), passes=1)
