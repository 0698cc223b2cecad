"""Starting weights of edge models in jobs, versions and publications."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from cloud.edge_starts import EdgeStart, read_starts, write_starts
from cloud.published_files import put_starts
from cloud.publishing import publish
from cloud.registry import Registry
from cloud.retraining import history as job_history
from cloud.retraining import load_job_config, retrain, starts
from cloud.retraining.history import load_history
from cloud.version_files import StoredCloud
from ecct_tf.cli import cli
from ecct_tf.data import load_dataset
from ecct_tf.edge import EdgeSpec, build_edge_model
from ecct_tf.errors import ConfigError, RegistryError
from ecct_tf.wire import CURRENT_NAME, Publication, StartFile

OWN = {"edge__start": "cloud", "edge__tiers": "[mlp, linear]", "edge__hidden_dim": 4}
SIZES = (2, 3)


class _Stopped(BaseException):
    """As a kill would."""


@pytest.fixture(scope="module")
def job(jobs, tmp_path_factory):
    return jobs.small_job(tmp_path_factory.mktemp("starts"), **OWN)


@pytest.fixture(scope="module")
def with_starts(job, stored_cloud):
    """A version whose starting weights are drawn, not trained: what else happens is the same."""
    models = starts.edge_models(job, stored_cloud.table, profile_sizes=SIZES)
    settings = {"seed": job.seed, **dataclasses.asdict(job.edge_start)}
    drawn = {
        model.tier: EdgeStart.of(model, model.layout.initial(7), settings=settings)
        for model in models
    }
    return dataclasses.replace(stored_cloud, starts=drawn)


@pytest.fixture(scope="module")
def registry(with_starts, tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("cloud") / "registry")
    with registry.draft() as draft:
        with_starts.write(draft.path)
        (draft.path / "saved_model").mkdir()
        (draft.path / "saved_model" / "saved_model.pb").write_bytes(b"stands in")
        registry.promote(draft.commit(config={}).number, expected=None)
    return registry


def _prepared(parent):
    return SimpleNamespace(
        parent=parent,
        inputs=SimpleNamespace(parent=1),
        history=SimpleNamespace(
            view=None,
            profile_sizes=SIZES,
            profile_numbers=0,
            profile_sets=(),
            set_names=(),
            profile_names=("a", "b"),
            number_rules={},
        ),
    )


def test_a_version_holds_its_starts_under_its_checksums(registry, with_starts):
    version = registry.promoted()
    assert {"edge_starts.json", "edge_starts.npz"} <= version.manifest.files.keys()
    stored = StoredCloud.of(version)
    assert sorted(stored.starts) == ["linear", "mlp"]
    for tier, start in stored.starts.items():
        np.testing.assert_array_equal(start.weights, with_starts.starts[tier].weights)
        assert start.model.fingerprint == with_starts.starts[tier].fingerprint
        # Row 0 of each private column is the unknown value.
        assert start.spec.profile_sizes == (3, 4)


def test_a_job_that_was_stopped_keeps_the_tiers_that_are_trained(
    job, stored_cloud, tmp_path, monkeypatch
):
    calls = []

    def train(_, models, *__, **___):
        calls.append([model.tier for model in models])
        if len(calls) == 2:
            raise _Stopped
        return {model.tier: model.layout.initial(len(calls)) for model in models}

    monkeypatch.setattr(starts, "starting_weights", train)
    prepared = _prepared(None)
    with pytest.raises(_Stopped):
        starts.edge_starts(job, prepared, stored_cloud.table, folder=tmp_path)
    found = starts.edge_starts(job, prepared, stored_cloud.table, folder=tmp_path)
    assert calls == [["linear"], ["mlp"], ["mlp"]]
    for call, tier in ((1, "linear"), (3, "mlp")):
        expected = found[tier].model.layout.initial(call)
        np.testing.assert_array_equal(found[tier].weights, expected)


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({}, False),
        ({"edge_start__negatives": 7}, True),
        ({"edge__hidden_dim": 5}, True),
        ({"edge__profile_sizes": "[9, 9]"}, True),
        ({"edge__tiers": "[mlp, linear, attention]"}, True),
        ({"seed": 1}, True),
    ],
)
def test_a_start_stays_while_table_architecture_and_settings_do(
    with_starts, jobs, monkeypatch, tmp_path, change, anew
):
    parent, prepared = with_starts, _prepared(with_starts)
    config = jobs.small_job(tmp_path, **{**OWN, **change})
    made = {"linear": np.zeros(1), "mlp": np.zeros(2), "attention": np.zeros(3)}
    monkeypatch.setattr(starts, "_trained", lambda *_, **__: made)
    found = starts.edge_starts(config, prepared, parent.table, folder=tmp_path)
    assert (found["mlp"].weights is made["mlp"]) == anew
    if not change:
        # A table with rows for new items is another one.
        grown = dataclasses.replace(parent.table)
        found = starts.edge_starts(config, prepared, grown, folder=tmp_path)
        assert found["mlp"].weights is made["mlp"]
        random = dataclasses.replace(config, edge=dataclasses.replace(config.edge, start="random"))
        assert starts.edge_starts(random, prepared, parent.table, folder=tmp_path) == {}


def test_a_job_with_a_clock_trains_its_starts_on_the_times_of_its_history(
    jobs, stored_cloud, tmp_path, monkeypatch, caplog
):
    job = jobs.small_job(tmp_path, **OWN, features__clock="true")
    history = load_history(job, known=None, progress=False)
    assert "features.clock" not in caplog.text
    seen = []

    def train(view, models, *_, features, **__):
        seen.append((view.older.times_of(0), features.clock))
        return {model.tier: model.layout.initial(0) for model in models}

    monkeypatch.setattr(starts, "starting_weights", train)
    prepared = SimpleNamespace(parent=None, inputs=None, history=history)
    starts.edge_starts(job, prepared, stored_cloud.table, folder=tmp_path)
    dataset = load_dataset(job.data, seed=job.seed, progress=False)
    own = np.sort(dataset.timestamps[dataset.users == 0])
    for times, clock in seen:
        assert clock
        assert times.tolist() == own[: len(times)].tolist()
    # Rows that are only numbered tell no time, which a job says as a run does.
    numbered = dataclasses.replace(dataset, timestamps=np.arange(len(dataset.users)))
    monkeypatch.setattr(job_history, "load_dataset", lambda *_, **__: numbered)
    load_history(job, known=None, progress=False)
    assert caplog.text.count("the clock stays silent") == 1


def test_starts_are_published_with_bytes_error_and_fingerprint(registry, with_starts, tmp_path):
    stored = with_starts
    sizes = {}
    for codec, most in (("float32", 0.0), ("float16", 1e-3), ("int8", 1e-2)):
        publish(registry, tmp_path, start_codec=codec)
        found = Publication.from_json((tmp_path / CURRENT_NAME).read_text())
        assert [start.tier for start in found.starts] == ["linear", "mlp"]
        published = found.start_of("mlp")
        content = (tmp_path / published.file.path).read_bytes()
        assert len(content) == published.file.num_bytes
        file, own = StartFile.from_bytes(content), stored.starts["mlp"]
        file.check(own.model.fingerprint, where="the same")
        assert (file.codec, published.codec, published.weights) == (codec, codec, len(own.weights))
        error = np.abs(file.weights - own.weights).max()
        assert published.largest_error == pytest.approx(error, rel=1e-6)
        assert error <= most
        sizes[codec] = published.file.num_bytes
    weights = len(stored.starts["mlp"].weights)
    # Beside the values: header, name, rows and width of each tensor, SHA-256.
    tensors = len(stored.starts["mlp"].model.layout.weights)
    assert sizes["float32"] == 4 * weights + 48 + 3 + 8 * tensors + 32
    assert sizes["float16"] == sizes["float32"] - 2 * weights


def test_the_command_counts_them(registry, tmp_path):
    arguments = ["cloud", "publish", str(registry.path), "--out", str(tmp_path)]
    output = (
        CliRunner(env={"COLUMNS": "200"}).invoke(cli, [*arguments, "--start-codec=int8"]).output
    )
    found = Publication.from_json((tmp_path / CURRENT_NAME).read_text())
    for start in found.starts:
        (line,) = [line for line in output.splitlines() if start.file.path in line]
        assert f"tier {start.tier}: {start.weights:,}, int8, off by" in line
        assert f"{start.file.num_bytes:,}" in line


def test_a_version_without_starts_publishes_none(stored_cloud, tmp_path):
    stored_cloud.write(tmp_path)
    assert not list(tmp_path.glob("edge_starts*"))
    assert StoredCloud.read(tmp_path).starts == {}


def test_damaged_starts_and_those_of_another_release_are_refused(stored_cloud, tmp_path):
    model = build_edge_model("linear", EdgeSpec(4, 3, 1, (3,), 2))
    start = EdgeStart.of(model, np.zeros(model.layout.size, np.float32), settings={"seed": 0})
    dataclasses.replace(stored_cloud, starts={"linear": start}).write(tmp_path)
    read = read_starts(tmp_path)["linear"]
    assert (read.model.fingerprint, read.settings) == (model.fingerprint, {"seed": 0})
    path = tmp_path / "edge_starts.json"
    text = path.read_text()
    path.write_text(text.replace(model.fingerprint, "ab" * 32))
    with pytest.raises(RegistryError, match=rf"{model.fingerprint[:16]}.*abababababababab"):
        read_starts(tmp_path)["linear"].model  # noqa: B018 - it is what raises
    path.write_text(text.replace("history_length", "length_of_history"))
    with pytest.raises(RegistryError, match="restore"):
        StoredCloud.read(tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("edge.tiers=[a b]", "module:name"),
        ("edge.tiers=[]", "one or more tiers"),
        ("edge.tiers=[mlp, mlp]", "each once"),
        ("edge.profile_sizes=[0]", "at least 1 value"),
        ("edge.start=warm", "cloud"),
        ("edge_start.epochs=0", r"edge_start\.epochs"),
        ("edge.sharing=none", "unknown key"),
    ],
)
def test_what_a_job_cannot_train_is_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        load_job_config(None, overrides=[override])


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ("[lineal]", "expected an edge model out of linear, mlp, attention.*did you mean linear"),
        ("['nobody.models:tiny']", "there is no module nobody"),
    ],
)
def test_a_job_refuses_a_model_that_there_is_not_before_it_begins(jobs, tmp_path, tiers, message):
    config = jobs.small_job(tmp_path, **{**OWN, "edge__tiers": tiers})
    with pytest.raises(ConfigError, match=message):
        retrain(config, tmp_path / "job", show=False)
    assert not (tmp_path / "job").exists()


def test_the_start_of_a_model_of_ones_own_is_kept_and_published(jobs, stored_cloud, tmp_path):
    config = jobs.small_job(tmp_path, **{**OWN, "edge__tiers": "['own_edge_models.dcn:dcn']"})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "examples" / "own_edge_models")
        (model,) = starts.edge_models(config, stored_cloud.table, profile_sizes=SIZES)
        write_starts(
            tmp_path, {model.tier: EdgeStart.of(model, model.layout.initial(7), settings={})}
        )
        found = read_starts(tmp_path)
        assert found[model.tier].model.fingerprint == model.fingerprint
        (published,) = put_starts(tmp_path, found, "float32")
    assert published.tier == "own_edge_models.dcn:dcn"
    assert published.file.path.startswith("start-own_edge_models.dcn.dcn")
    file = StartFile.from_bytes((tmp_path / published.file.path).read_bytes())
    assert file.tier == published.tier
    np.testing.assert_array_equal(file.weights, model.layout.initial(7))
