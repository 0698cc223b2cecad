"""From what a program hands over to the settings of a run, its folder and its end."""

import dataclasses
import json
import logging

import numpy as np
import pytest

import ecct_tf as ecct
from ecct_tf.config import RunConfig, dump_config
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.runs.starting import default_folder, run_config

SMALL = {"baselines": False, "evaluation.negatives": 20}


@pytest.fixture(scope="module")
def shop(frames):
    return ecct.from_frames(
        frames["df"], users=frames["users"], items=frames["items"], schema=frames["schema"]
    )


def test_arguments_are_settings_by_shorter_names():
    named = {"rounds": 3, "seed": None, "method": "ecct", "edge": {"mlp": 0.5, "linear": 0.5}}
    config = run_config("synthetic", named=named, settings={"training.epochs": np.int64(2)})
    assert (config.data.dataset, config.rounds, config.seed) == ("synthetic", 3, 0)
    assert config.edge.tiers == {"mlp": 0.5, "linear": 0.5}
    assert config.training.epochs == 2


@pytest.mark.parametrize(
    ("method", "rounds_of"),
    [
        ("ecct", lambda config: config.rounds),
        ("edge-only", lambda config: config.edge_only.rounds),
        ("dccl", lambda config: config.dccl.rounds),
        ("fedprox", lambda config: config.federated_baseline.rounds),
        ("pfedrec", lambda config: config.federated_baseline.pfedrec.rounds),
        ("fedrecon", lambda config: config.federated_baseline.fedrecon.rounds),
        ("fedmd", lambda config: config.federated_baseline.fedmd.rounds),
    ],
)
def test_rounds_are_those_of_the_method(method, rounds_of):
    config = run_config("synthetic", named={"method": method, "rounds": 3})
    assert rounds_of(config) == 3
    # Nothing else is another.
    assert (config.rounds == 3) == (method == "ecct")


def test_values_keep_their_types():
    settings = {"exchange.up": False, "data.folder": "1e3", "exchange.stage_1_rounds": None}
    config = run_config("movielens-100k", settings={**settings, "training.learning_rate": 1e-7})
    assert config.exchange.up is False
    assert config.data.folder.endswith("/1e3")
    decays = run_config("synthetic", settings={"features.decays": np.array([1.0, 0.5])})
    assert decays.features.decays == (1.0, 0.5)
    assert (config.exchange.stage_1_rounds, config.training.learning_rate) == (None, 1e-7)


def test_a_file_is_one_of_settings_or_the_schema_of_files(tmp_path):
    settings, schema = tmp_path / "config.yaml", tmp_path / "schema.yaml"
    settings.write_text("rounds: 7\ndata: {dataset: synthetic}\n", encoding="utf-8")
    schema.write_text("name: mine\ninteractions: {path: r.csv}\n", encoding="utf-8")
    config = run_config(settings, named={"seed": 4})
    assert (config.rounds, config.seed, config.data.dataset) == (7, 4, "synthetic")
    config = run_config(str(schema))
    assert (config.data.dataset, config.data.schema) == ("files", str(schema))


def test_a_configuration_and_a_data_set_are_taken_as_they_are(shop):
    config = run_config(RunConfig(rounds=7, seed=2), named={"seed": 3})
    assert (config.rounds, config.seed) == (7, 3)
    data = run_config(shop).data
    assert (data.dataset, data.name, data.fingerprint) == ("in-memory", "shop", shop.fingerprint())


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ("movilens-100k", {}, r"data: expected one of .*did you mean movielens-100k\?"),
        ("files", {}, r"data: expected one of .*the path of a YAML file"),
        ({"user": [1]}, {}, r"data: expected a Dataset.*got dict; from_frames makes"),
        ("nowhere.yaml", {}, r"cannot read the configuration nowhere\.yaml"),
        ("synthetic", {"named": {"rounds": 0}}, r"^rounds=0: expected"),
        ("synthetic", {"named": {"edge": {"gru": 1.0}}}, r"edge\.tiers: expected .*mlp.*'gru'"),
        ("synthetic", {"settings": {"traning.epochs": 1}}, r"settings\['traning\.epochs'\]"),
        ("synthetic", {"settings": {"rounds": object()}}, r"a value that a YAML file can hold"),
        ("synthetic", {"settings": {"cloud.l2": float("nan")}}, r"that a YAML file can hold"),
        ("synthetic", {"settings": ["rounds=3"]}, r"settings: expected settings by dotted key"),
        ("synthetic", {"settings": {"": 3}}, r"settings: expected a dotted key .* got ''"),
        ("synthetic", {"settings": {3: 4}}, r"settings: expected a dotted key .* got 3"),
        ("synthetic", {"settings": {"a=b": 4}}, r"settings: expected a dotted key .* got 'a=b'"),
        (
            "synthetic",
            {"named": {"rounds": 3, "method": "ease"}},
            r"^rounds=3: a run of method ease has no rounds; leave it out",
        ),
        (
            "synthetic",
            {"named": {"rounds": 3, "method": "centralized"}},
            r"set centralized\.epochs",
        ),
        (
            "synthetic",
            {"named": {"edge": "mlp"}},
            r'edge="mlp": expected numbers by name, got .mlp',
        ),
        (
            "synthetic",
            {"named": {"edge": {"mlp": 1.0}}, "settings": {"edge.tiers": {"mlp": 1.0}}},
            r"settings\['edge\.tiers'\]: edge says the same",
        ),
    ],
)
def test_what_is_wrong_is_named_as_it_was_written(data, options, words):
    with pytest.raises(ConfigError, match=words):
        run_config(data, **options)


def test_a_folder_is_named_after_the_run_and_is_never_one_that_exists(shop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = run_config(shop, named={"method": "ease", "seed": 3})
    first = default_folder(config)
    assert first.parent.name == "runs"
    assert first.name.startswith("ease-shop-seed3-2")
    first.mkdir(parents=True)
    assert default_folder(config) != first
    odd = dataclasses.replace(shop, name="../my shop/π")
    assert default_folder(run_config(odd)).name.startswith("ecct-my-shop-π-seed0-")


def test_a_run_without_rounds_recommends_by_the_one_model_that_it_has(shop, frames, tmp_path):
    run = ecct.simulate(shop, method="popularity", out=tmp_path / "run", settings=SMALL)
    assert (run.status, len(run.metrics)) == ("complete", 0)
    found = run.recommend("u3", k=3)
    # The two newest of everybody are held out, and the newest but one of u3 is history.
    clicks = frames["df"].sort_values("timestamp").groupby("user_id")["item_id"].agg(list)
    counts = clicks.map(lambda mine: mine[:6]).explode().value_counts()
    open_items = counts.drop(clicks["u3"][:7], errors="ignore")
    assert found.side == "everything"
    assert list(found.scores) == sorted(open_items.tolist(), reverse=True)[:3]
    assert [counts[item] for item in found.items] == list(found.scores)
    with pytest.raises(ConfigError, match="side: expected one of everything"):
        run.recommend("u3", side="cloud")
    with pytest.raises(RunFolderError, match="is complete"):
        run.resume()


def test_a_run_that_was_stopped_says_how_to_go_on_and_does(shop, tmp_path, monkeypatch, caplog):
    done = ecct.simulate(shop, method="popularity", out=tmp_path / "done", settings=SMALL)
    out = tmp_path / "stopped"

    def stopped(config, *, out, **_):
        out.mkdir()
        (out / "config.yaml").write_text(dump_config(config))
        (out / "environment.json").write_text((done.path / "environment.json").read_text())
        (out / "status.json").write_text(json.dumps({"status": "interrupted", "round": 0}))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ecct_tf.simulation.simulate.simulate", stopped)
        with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
            ecct.simulate(shop, method="popularity", out=out, settings=SMALL)
    assert f"ecct_tf.open_run({str(out)!r}).resume()" in caplog.text
    run = ecct.open_run(out, data=shop)
    assert repr(run) == f"popularity on shop, seed 0, interrupted: {out}"
    assert run.resume().results["hr"].tolist() == done.results["hr"].tolist()


def test_where_the_simulation_is_missing_the_error_says_what_adds_it(shop, monkeypatch):
    monkeypatch.setattr("ecct_tf.installation.missing_from", lambda _: ("tensorflow-federated",))
    with pytest.raises(ecct.EcctError, match=r"`ecct_tf\.simulate` needs .*`simulation`.*lacks"):
        ecct.simulate(shop)
