"""The tuning benchmark: its spaces are settings that exist, and test items stay out of sight."""

import numpy as np
import pytest
from click.testing import CliRunner
from module_files import load_file

from ecct_tf.config import load_config


@pytest.fixture(scope="module")
def tune():
    return load_file("benchmarks/tune.py")


def test_every_draw_is_a_valid_configuration_and_repeats(tune):
    for method, space in tune.SPACES.items():
        for number in range(5):
            drawn = tune.draw(space, np.random.default_rng([100, number]))
            assert drawn == tune.draw(space, np.random.default_rng([100, number]))
            overrides = [f"{key}={value}" for key, value in drawn.items()]
            assert load_config(overrides=[f"method={method}", *overrides]).method == method


def test_a_range_is_kept(tune):
    rng = np.random.default_rng(0)
    drawn = [tune.draw({"rate": (0.01, 1.0)}, rng)["rate"] for _ in range(200)]
    assert 0.01 <= min(drawn) < 0.03
    assert 0.4 < max(drawn) <= 1.0


def test_the_experiment_has_no_test_candidates(tune):
    config = load_config(overrides=["data.dataset=synthetic", "data.synthetic_users=8", "seed=100"])
    experiment = tune.blind(config)
    assert experiment.test is experiment.validation
    for row, user in enumerate(experiment.validation.users.tolist()):
        assert experiment.validation.items[row, 0] == experiment.split.validation(user)


def test_reported_seeds_are_refused(tune):
    result = CliRunner().invoke(tune.main, ["--method", "fedavg", "--seed", "0"])
    assert result.exit_code == 2
    assert "0 is a reported seed" in result.output
