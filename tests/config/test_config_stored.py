"""A run folder, or a version of the cloud, of an earlier release means what it meant then."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from ecct_tf.config import CloudConfig, FeatureConfig, RunConfig, dump_config, load_config
from ecct_tf.config.stored import complete_settings, earlier_settings
from ecct_tf.errors import ConfigError

# As the first release with an edge model, a cloud and baselines wrote it.
OLDEST = Path(__file__).with_name("oldest_run.yaml")


@pytest.fixture
def run_folder(tmp_path):
    """Makes a run folder with settings that lack some, by dotted key or section."""

    def make(*without, **settings):
        values = yaml.safe_load(dump_config(load_config(overrides=settings.pop("overrides", ()))))
        for key in without:
            *sections, last = key.split(".")
            target = values
            for section in sections:
                target = target[section]
            target.pop(last)
        (tmp_path / "environment.json").write_text("{}")
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(values))
        return file

    return make


def test_the_oldest_settings_keep_their_meaning(tmp_path):
    (tmp_path / "status.json").write_text("{}")
    file = tmp_path / "config.yaml"
    file.write_text(OLDEST.read_text())
    # Whoever adds a setting says in `ecct_tf.config.stored` what held before, or this fails.
    config = load_config(file)
    assert not config.features.clock
    assert (config.edge.start, config.rounds, config.stage_1_rounds) == ("random", 30, 5)
    assert (config.cloud.answer_ridge, config.cloud.downlink_rate) == (0.0, 1.0)
    assert config.cloud.num_earlier == 0
    assert config.cloud.similarity.is_dense(100_000)
    own, training = config.edge_only, config.training
    assert (own.rounds, own.server) == (config.rounds, config.server)
    assert own.learning_rate == training.learning_rate == 0.1


def test_a_file_of_ones_own_has_todays_defaults(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(OLDEST.read_text())
    assert load_config(file).features.clock


@pytest.mark.parametrize(
    ("key", "section", "name", "meaning"),
    [
        ("features.clock", "features", "clock", False),
        ("edge.start", "edge", "start", "random"),
        ("cloud.answer_ridge", "cloud", "answer_ridge", 0.0),
        ("cloud.downlink_rate", "cloud", "downlink_rate", 1.0),
        ("exchange.logits", "exchange", "logits", True),
    ],
)
def test_a_missing_setting_means_what_held_before(run_folder, key, section, name, meaning):
    config = load_config(run_folder(key))
    assert getattr(getattr(config, section), name) == meaning
    # Nothing else changes.
    assert load_config(run_folder()) == RunConfig()


def test_a_setting_that_is_given_wins(run_folder):
    assert load_config(run_folder("features.clock"), overrides=["features.clock=true"]) == (
        RunConfig()
    )


@pytest.mark.parametrize(
    ("start", "rounds", "expected"), [("cloud", 30, 5), ("cloud", 4, 2), ("random", 30, 5)]
)
def test_rounds_without_logits_stay_those_of_then(run_folder, start, rounds, expected):
    file = run_folder("edge_only", overrides=[f"edge.start={start}", f"rounds={rounds}"])
    assert load_config(file).stage_1_rounds == expected


def test_the_edge_alone_keeps_the_settings_of_all(run_folder):
    file = run_folder("edge_only", overrides=["rounds=7", "training.private_learning_rate=0.5"])
    own = load_config(file).edge_only
    assert (own.rounds, own.private_learning_rate) == (7, 0.5)


@pytest.mark.parametrize("key", ["rounds", "cloud.rank", "edge_only.rounds", "training"])
def test_what_every_release_stored_must_be_there(run_folder, key):
    with pytest.raises(ConfigError, match=rf"config\.yaml lacks .*{key}.*as it was written"):
        load_config(run_folder(key))


def test_versions_of_the_cloud_keep_their_meaning_too():
    stored = {
        "cloud": dataclasses.asdict(CloudConfig()),
        "features": dataclasses.asdict(FeatureConfig()),
    }
    for name in ("answer_ridge", "downlink_rate"):
        del stored["cloud"][name]
    del stored["features"]["clock"]
    known = complete_settings(stored, where="here", sections=("cloud", "features"))
    assert (known["cloud"]["answer_ridge"], known["cloud"]["downlink_rate"]) == (0.0, 1.0)
    assert known["features"]["clock"] is False
    assert "edge" not in known
    assert json.dumps(stored).count("answer_ridge") == 0
    del stored["cloud"]["rank"]
    with pytest.raises(ConfigError, match=r"here lacks cloud\.rank"):
        complete_settings(stored, where="here", sections=("cloud", "features"))


def test_what_nothing_read_then_has_todays_defaults():
    stored = {"method": "fedavg", "federated_baseline": {"rounds": 7}}
    federated = earlier_settings(stored)["federated_baseline"]
    assert federated["fedmd"] == dataclasses.asdict(RunConfig().federated_baseline.fedmd)
    assert federated["rounds"] == 7
    assert "pfedrec" not in federated or "rounds" not in federated["pfedrec"]


def test_damaged_sections_are_left_to_who_reads_them():
    assert earlier_settings({"cloud": 3, "exchange": []})["cloud"] == 3
