"""How a device in Python trains: by the settings of its file, unless a plan has others."""

import dataclasses
import json

import numpy as np
import pytest

from ecct_tf.config import SampleConfig
from ecct_tf.errors import ExportError
from mobile_export.contract.samples import samples_of
from mobile_export.contract.task import check_told, device_settings
from mobile_export.device import Device, TrainingPlan
from mobile_export.device.training import train_round


def test_the_settings_of_the_run_are_those_of_the_device_and_a_plan_may_have_others(
    model, views, config, held
):
    """`test_mobile_export_device.py` compares the defaults with the simulation: here are others."""
    assert model.file.samples == config.samples
    state = model.begin(**held(views[3]))
    positions = len(views[3].history) - max(views[3].num_older, 1)
    assert positions > 1
    for samples, expected in (
        (None, positions * (1 + config.samples.negatives)),
        (SampleConfig(negatives=1, guard_positions=0), positions * 2),
        (SampleConfig(negatives=5, max_positions=1, guard_positions=2), 6),
    ):
        assert train_round(model, state, TrainingPlan(samples=samples))[1].samples == expected
    steps = train_round(model, state, TrainingPlan(epochs=2, batch_size=2))[1].steps
    assert steps == 2 * positions * (1 + config.samples.negatives) // 2


def test_older_positions_weigh_less_as_on_the_simulations_devices(
    model, views, works, items, config, downlink, plan, weights_of, simulated, held
):
    samples = dataclasses.replace(config.samples, half_life=1)
    work, plan = works["mlp"], dataclasses.replace(plan, samples=samples)
    state = model.receive(model.begin(**held(views[3])), downlink)
    state, report = train_round(model, state, plan)
    settings = dataclasses.replace(config, samples=samples)
    given = {"items": items, "weights": weights_of(work), "downlink": downlink}
    expected, result = simulated(work, views[3], config=settings, **given)
    assert np.abs(model.weights(state) - expected).max() <= 1e-6
    assert report.loss == pytest.approx(float(result.loss) / float(result.weight), abs=1e-5)
    alike, _ = simulated(work, views[3], config=config, **given)
    assert np.abs(expected - alike).max() > 1e-4


def test_a_file_tells_the_weights_of_samples_where_they_differ(works):
    task = works["mlp"].task
    assert "half_life" not in device_settings(task)["samples"]
    weighed = task.changed(samples=dataclasses.replace(task.samples, half_life=3))
    metadata = json.loads(json.dumps(device_settings(weighed)))
    assert samples_of(metadata) == weighed.samples
    assert check_told(weighed, metadata)
    with pytest.raises(ExportError, match=r"samples\.half_life: the run has 0, the file tells 3"):
        check_told(task, metadata)


def test_a_file_of_before_trains_as_it_did(model):
    metadata = {name: told for name, told in model.file.metadata.items() if name != "samples"}
    assert samples_of(metadata) == SampleConfig(negatives=9, max_positions=128, guard_positions=0)


def test_a_file_that_tells_other_settings_than_the_run_has_is_found(model, works):
    task, metadata = works["mlp"].task, model.file.metadata
    assert "negatives 3, positions 16, held back 0, batch 6, epochs 1" in check_told(task, metadata)
    for section, name, value in (
        ("samples", "max_positions", 7),
        ("training", "epochs", 4),
        ("features", "decays", (1.0,)),
        ("exchange", "clip_norm", 2.0),
    ):
        part = dataclasses.replace(getattr(task, section), **{name: value})
        with pytest.raises(ExportError, match=rf"{section}\.{name}: the run has"):
            check_told(task.changed(**{section: part}), metadata)
    untold = {name: told for name, told in metadata.items() if name != "samples"}
    names = ("group_size", "distillation_loss")
    words = {name: told for name, told in metadata["training"].items() if name not in names}
    assert check_told(task, {**metadata, "training": {**words, "loss": "binary cross-entropy"}})
    with pytest.raises(ExportError, match="negatives: the run has 3, the file tells 9"):
        check_told(task, untold)


def test_negatives_can_be_drawn_anew_in_each_round(tmp_path, model, views, plan, downlink, held):
    states = {}
    for redraw in (False, True):
        device = Device.create(tmp_path / f"{redraw}", model, **held(views[3]))
        device.receive(downlink)
        device.train(TrainingPlan(seed=plan.seed, redraw=redraw))
        states[redraw] = device.weights
    assert not np.array_equal(states[False], states[True])
