import dataclasses
from pathlib import Path

import pytest
import yaml

from ecct_tf.config import RunConfig, dump_config, load_config
from ecct_tf.errors import ConfigError

OVERRIDES = [
    "rounds=3",
    "baselines=false",
    "data.dataset=synthetic",
    "data.folder=some/folder",
    "data.nodes=7",
    "features.decays=[1.0, 0.5]",
    "edge.tiers={linear: 0.25, attention: 0.75}",
    "edge.shared=none",
    "training.learning_rate=3e-4",
    "exchange.codec=float16",
    "participation.devices_per_round=64",
    "cloud.label_visibility=edge_only",
]


def write(folder, text):
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_and_no_override_gives_the_defaults():
    assert load_config() == RunConfig()


@pytest.mark.parametrize("overrides", [[], OVERRIDES])
def test_yaml_round_trip(tmp_path, overrides):
    config = load_config(overrides=overrides)
    text = dump_config(config)
    assert load_config(write(tmp_path, text)) == config
    assert list(yaml.safe_load(text)) == [field.name for field in dataclasses.fields(RunConfig)]


def test_a_file_changes_only_what_it_names(tmp_path):
    path = write(tmp_path, "rounds: 4\ntraining:\n  epochs: 2\n")
    expected = RunConfig(rounds=4)
    expected = dataclasses.replace(
        expected, training=dataclasses.replace(expected.training, epochs=2)
    )
    assert load_config(path) == expected
    assert load_config(write(tmp_path, "# nothing\n")) == RunConfig()


def test_overrides_come_after_the_file_and_the_last_one_wins(tmp_path):
    path = write(tmp_path, "training:\n  epochs: 2\n  batch_size: 8\n")
    config = load_config(path, overrides=["training.epochs=3", "training.epochs=5"])
    assert (config.training.epochs, config.training.batch_size) == (5, 8)


@pytest.mark.parametrize(
    ("override", "section", "name", "value"),
    [
        ("training.learning_rate=3e-4", "training", "learning_rate", 3e-4),
        ("training.learning_rate=1", "training", "learning_rate", 1.0),
        ("features.decays=[1, 5e-1]", "features", "decays", (1.0, 0.5)),
        ("features.clock_pauses=[2, 1]", "features", "clock_pauses", (2, 1)),
        ("edge.tiers={linear: 1}", "edge", "tiers", {"linear": 1.0}),
        ("edge.tiers.attention=1e0", "edge", "tiers", {"attention": 1.0}),
        ("edge.tiers={my_pkg.gru:gru4rec: 1}", "edge", "tiers", {"my_pkg.gru:gru4rec": 1.0}),
        ("data.nodes=3", "data", "nodes", 3),
        ("data.nodes=null", "data", "nodes", None),
        ("data.folder=3e4", "data", "folder", str(Path.cwd() / "3e4")),
        ("data.folder=no", "data", "folder", str(Path.cwd() / "no")),
        ("data.folder=007", "data", "folder", str(Path.cwd() / "007")),
        ("exchange.down=off", "exchange", "down", False),
        ("exchange.down=True", "exchange", "down", True),
        ("training.epochs=010", "training", "epochs", 10),
        ("training={epochs: 2}", "training", "epochs", 2),
    ],
)
def test_values_of_overrides(override, section, name, value):
    got = getattr(getattr(load_config(overrides=[override]), section), name)
    assert got == value
    assert type(got) is type(value)
    if isinstance(value, tuple):
        assert [type(part) for part in got] == [type(part) for part in value]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainin.epochs=2", "unknown key trainin; did you mean training?"),
        ("training.epoch=2", "unknown key training.epoch; did you mean training.epochs?"),
        ("workers=2", "unknown key workers; did you mean runtime.workers? (known here: method,"),
        ("exchange.rank=2", "unknown key exchange.rank (known here: "),
        ("codec=int8", "unknown key codec; did you mean exchange.codec? (known here: "),
        ("epochs=2", "unknown key epochs; did you mean start.epochs, training.epochs, "),
        ("training.zzz=2", "unknown key training.zzz (known here: epochs, batch_size,"),
        ("training={epoch: 2}", "did you mean training.epochs?"),
        ("training=5", "training is a section, expected keys and values, got 5"),
        ("epochs", "expected key=value, got 'epochs'"),
        ("=5", "expected key=value"),
        ("rounds=[1", "not valid YAML"),
        ("rounds=x", "rounds: expected a whole number, got 'x'"),
        ("rounds=2.5", "rounds: expected a whole number, got 2.5"),
        ("rounds=", "rounds: expected a whole number, got null"),
        ("training.epochs=true", "training.epochs: expected a whole number, got true"),
        ("training.epochs.x=1", "training.epochs: expected a whole number, got {'x': 1}"),
        ("training.learning_rate=fast", "training.learning_rate: expected a number, got 'fast'"),
        ("training.learning_rate=true", "training.learning_rate: expected a number, got true"),
        ("baselines=1", "baselines: expected true or false, got 1"),
        ("data.folder=[3]", "data.folder: expected text or null, got [3]"),
        ("training.learning_rate='0.1'", "learning_rate: expected a number, got '0.1'"),
        ("training.learning_rate=1_000", "learning_rate: expected a number, got '1_000'"),
        ("rounds=1:30", "rounds: expected a whole number, got '1:30'"),
        ("training={epochs: 2, epochs: 3}", "the key epochs is there twice"),
        ("data.nodes=false", "data.nodes: expected a whole number, got false"),
        ("features.clock_pauses=3", "clock_pauses: expected a list of whole numbers, got 3"),
        ("features.clock_pauses=[1.5]", "clock_pauses: expected a whole number, got 1.5"),
        ("features.decays=0.5", "features.decays: expected a list of numbers, got 0.5"),
        ("features.decays=fast", "features.decays: expected a list of numbers, got 'fast'"),
        ("features.decays=[a]", "features.decays: expected a number, got 'a'"),
        ("features.context=[place]", "by name, got ['place']; such as {place: [home, work]}"),
        (
            "runtime.workers=2",
            "got 2; such as [local, local], for which `ecct simulate` takes --workers 2",
        ),
        ("edge.tiers=[1]", "edge.tiers: expected numbers by name, got [1]"),
        ("edge.tiers={my-pkg.gru: 1.0}", "edge.tiers: expected a name such as mlp, or module:name"),
        (
            "data.dataset=foo",
            "data.dataset: expected a data set out of movielens-100k, movielens-1m, "
            "movielens-latest-small, complete-journey, synthetic, files, or module:name",
        ),
        (
            "exchange.codec=zip",
            "exchange.codec: expected a codec out of float32, float16, int8, or module:name",
        ),
        ("seed=-1", "seed: expected at least 0, got -1"),
        ("edge.tiers.linear=0.5", "edge.tiers: the shares must sum to 1"),
    ],
)
def test_a_wrong_override_is_named(tmp_path, override, message):
    for path in (None, write(tmp_path, "data:\n  alpha: 1.0\n")):
        with pytest.raises(ConfigError) as caught:
            load_config(path, overrides=["server.momentum=0.5", override, "runtime.threads=2"])
        assert message in str(caught.value)
        assert str(caught.value).startswith("--set")
        assert override in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training:\n  epoch: 1\n", "unknown key training.epoch; did you mean training.epochs?"),
        ("training: 5\n", "training is a section"),
        ("1: 2\n", "unknown key 1"),
        ("- 1\n", "expected keys and values, got list"),
        ("a: [\n", "not valid YAML"),
        ("rounds: many\n", "rounds: expected a whole number, got 'many'"),
        ("training:\n  epochs: 0\n", "training.epochs: expected at least 1, got 0"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides=["seed=1"])
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_two_values_that_do_not_fit_name_all_sources(tmp_path):
    path = write(tmp_path, "seed: 1\n")
    with pytest.raises(ConfigError, match=r"at most features\.history_length") as caught:
        load_config(path, overrides=["features.history_length=2"])
    assert str(caught.value).startswith(f"{path}, --set features.history_length=2: ")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*absent\.yaml: No such file"):
        load_config(tmp_path / "absent.yaml")
    path = tmp_path / "run.yaml"
    path.write_bytes(b"rounds: \xff\xfe\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(path)


def test_paths_in_a_file_are_relative_to_it_and_those_of_overrides_to_here(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    path = write(tmp_path / "project", "data: {dataset: files, schema: my.yaml}\n")
    monkeypatch.chdir(tmp_path)
    assert load_config(path).data.schema == str(tmp_path / "project" / "my.yaml")
    given = load_config(path, overrides=["data.schema=other.yaml"])
    assert given.data.schema == str(tmp_path / "other.yaml")


def test_what_a_file_leaves_out_of_a_section_has_the_default_of_that_section():
    default = RunConfig().federated_baseline.server
    server = load_config(overrides=["federated_baseline.server.learning_rate=0.5"])
    changed = server.federated_baseline.server
    assert changed == dataclasses.replace(default, learning_rate=0.5)
    assert RunConfig().federated_baseline.pfedrec.server != RunConfig().server


@pytest.mark.parametrize("name", ["random_start.yaml", "cross_entropy.yaml"])
def test_settings_whose_figures_stand_in_the_documentation_load(name):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "settings" / name
    assert load_config(path) != RunConfig()
    assert "dataset" not in path.read_text(), "one set of settings for all data"
