"""Files for phones from a registry alone, checked as a run's are."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from cloud.publishing import publish
from cloud.registry import Registry
from cloud.retraining import JobConfig, retrain
from ecct_tf.cli import cli
from ecct_tf.config import TrainingConfig, load_config, table_names
from ecct_tf.data.clock import clock_reading
from ecct_tf.edge.features import pad_history
from ecct_tf.errors import ConfigError, DeviceError, ExportError, RegistryError
from ecct_tf.runs.version_export import export_version, open_version
from ecct_tf.runs.version_settings import changed_settings, version_settings
from ecct_tf.wire import DownlinkFile, ItemTableFile, StartFile
from mobile_export.checking.reference import Reference
from mobile_export.checking.synthetic import synthetic_examples
from mobile_export.checking.verification import verify_file
from mobile_export.device import Device, DeviceModel, ReceivedDownlink
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.runtime.interpreter import Interpreter

NOW = 1_790_000_000


@pytest.fixture(scope="module")
def made(jobs, tmp_path_factory):
    """Version 1 with starting weights of one of its two tiers' architectures, and its files."""
    folder = tmp_path_factory.mktemp("made")
    quick = {"cloud__update_epochs": 0, "cloud__fit_epochs": 0, "edge_start__epochs": 1}
    own = {"edge__start": "cloud", "edge__tiers": "[mlp, linear]", "edge__hidden_dim": 4}
    told = {"training__learning_rate": 0.0625, "samples__negatives": 5, "edge__shared": "all"}
    config = jobs.small_job(folder, uplinks="null", **quick, **own, **told)
    assert retrain(config, folder / "job", show=False).version == 1
    registry = Registry(folder / "registry")
    models = open_version(registry)
    files = list(export_version(models, folder / "files"))
    return registry, models, {path.path.name: path.path for path in files}


@pytest.mark.slow
def test_each_tier_has_a_file_with_all_that_belongs_to_it(made):
    registry, models, files = made
    assert [*files] == [f"edge-{tier}-trainable-int4.tflite" for tier in ("linear", "mlp")]
    folder = files["edge-mlp-trainable-int4.tflite"].parent
    published = publish(registry, folder.parent / "public").publication
    names = {path.name for path in folder.iterdir()}
    assert {"manifest.json", "MODEL_CARD.md", published.item_table.path} <= names
    assert {start.file.path for start in published.starts} <= names
    ItemTableFile.from_bytes((folder / published.item_table.path).read_bytes())
    start = StartFile.from_bytes((folder / published.start_of("mlp").file.path).read_bytes())
    np.testing.assert_array_equal(models.weights("mlp"), start.weights)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"].keys() == files.keys()


@pytest.mark.slow
def test_a_file_is_what_it_claims_to_be(made):
    _, models, files = made
    tier = "mlp"
    path = files[f"edge-{tier}-trainable-int4.tflite"]
    examples = synthetic_examples(path)
    reference = Reference(
        models.model(tier), models.weights(tier), models.table, models.task(), examples
    )
    with Interpreter("tensorflow") as interpreter:
        checks = verify_file(
            path, [interpreter], examples=examples, reference=reference, damaged=5, hostile=5
        )
    assert [check for check in checks if check.passed is False] == []
    assert {"hash", "settings", "output parity"} <= {c.name for c in checks if c.passed}


@pytest.mark.slow
def test_a_device_scores_as_the_simulation_would(made, tmp_path):
    registry, models, files = made
    publication = publish(registry, tmp_path / "public").publication
    content = (tmp_path / "public" / publication.downlinks.path).read_bytes()
    downlinks = DownlinkFile.from_bytes(content)
    record = downlinks.records[5]
    downlink = ReceivedDownlink(
        user_embedding=record["embedding"],
        queries=record["queries"],
        scale=float(record["scale"][0]),
        cloud_version=1,
        round_number=publication.round_number,
        table_sha256=downlinks.table_sha256,
    )
    history, times = [3, 17, 40, 8], [NOW - 90_000, NOW - 80_000, NOW - 400, NOW - 300]
    profile = [1] * len(models.model("mlp").profile.rows)
    model = DeviceModel(files["edge-mlp-trainable-int4.tflite"], runtime="tensorflow")
    device = Device.create(
        tmp_path / "5.state",
        model,
        user=5,
        history=history,
        times=times,
        profile=profile,
        clock=lambda: NOW,
    )
    device.receive(downlink)
    candidates = np.arange(1, 60, dtype=np.int32)
    features = models.stored.features
    padded = np.full(features.history_length, -1, np.int64)
    padded[-len(times) :] = times
    source = Reference(
        models.model("mlp"), models.weights("mlp"), models.table, models.task(), []
    ).float_source()
    expected = source.answer(
        "score",
        {
            "history": pad_history(np.array(history, np.int32), features.history_length),
            "candidates": candidates,
            "profile": np.array(profile, np.int32),
            "user_embedding": record["embedding"],
            "user_embedding_scale": np.array([record["scale"][0]], np.float32),
            "clock": clock_reading(np.array(times), now=NOW, config=features),
        },
    )["logit"]
    np.testing.assert_allclose(device.score(candidates, now=NOW), expected, atol=1e-5)
    assert np.ptp(expected) > 0


@pytest.mark.slow
def test_what_devices_are_told_of_training_is_in_the_file(made, tmp_path):
    registry, models, files = made
    task = models.task()
    assert (task.training.learning_rate, task.samples.negatives, task.sharing) == (0.0625, 5, "all")
    metadata = read_metadata(files["edge-mlp-trainable-int4.tflite"].read_bytes())
    assert (metadata["training"]["learning_rate"], metadata["samples"]["negatives"]) == (0.0625, 5)
    task = open_version(registry, overrides=["training.epochs=4"]).task()
    assert task.training == dataclasses.replace(models.settings.training, epochs=4)
    assert task.samples == models.settings.samples
    told = ["training.learning_rate=0.125", "samples.negatives=3", "edge.shared=none"]
    sizes = ["features.history_length=6", "features.last_items=2", "exchange.queries=6"]
    settings = load_config(overrides=[*told, *sizes, "edge.embedding_dim=3"])
    task = open_version(registry, settings=settings).task()
    assert (task.training.learning_rate, task.samples.negatives, task.sharing) == (0.125, 3, "none")
    with pytest.raises(
        ConfigError, match=r"features\.\w+: expected .* as the version was made with"
    ):
        open_version(registry, settings=load_config(overrides=told))
    graded = ["samples.grade.column=stars", "samples.grade.values={good: 1.0}", "training.loss=bce"]
    with pytest.raises(ConfigError, match=r"train by the private columns \[\], .* got \['stars'\]"):
        open_version(registry, overrides=graded)
    with pytest.raises(RegistryError, match="tiers linear, mlp, got 'attention'"):
        list(export_version(models, tmp_path, tier="attention"))
    columns = models.devices.profile
    assert columns
    with pytest.raises(ExportError, match="expected the values of"):
        list(export_version(models, tmp_path, profile={"shoe size": ["1"]}))


def test_a_version_from_before_says_what_it_lacks(stored_cloud, tmp_path):
    registry = Registry(tmp_path / "registry")
    with pytest.raises(RegistryError, match="no version is in force"):
        open_version(registry)
    with registry.draft() as draft:
        stored_cloud.write(draft.path)
        number = draft.commit().number
    with pytest.raises(RegistryError, match="an earlier release made it"):
        open_version(registry, number=number)


def test_settings_of_devices_that_a_manifest_lacks_or_damages_are_named(
    stored_cloud, tmp_path, caplog
):
    registry = Registry(tmp_path / "registry")
    job = dataclasses.asdict(JobConfig())
    edge = {**job["edge"], "shared": "sometimes"}
    for config in ({"edge": {}}, {**job, "edge": edge}, {**job, "training": {"epochs": 0}}, job):
        with registry.draft() as draft:
            stored_cloud.write(draft.path)
            draft.commit(config=config)
    assert version_settings(registry.version(1), stored_cloud).training == TrainingConfig()
    assert "version 1 does not say how devices train: an earlier release made it" in caplog.text
    for number, what in ((2, "shared: expected one of"), (3, "lacks training")):
        with pytest.raises(RegistryError, match=f"version {number}: expected how devices .*{what}"):
            version_settings(registry.version(number), stored_cloud)
    own = version_settings(registry.version(4), stored_cloud)
    assert own.edge.shared == "backbone"
    told = changed_settings(own, ["edge.shared=none", "samples.negatives=5", "training.epochs=4"])
    assert (told.edge.shared, told.samples.negatives, told.training.epochs) == ("none", 5, 4)
    for key in ("exchange.codec=float32", "edge.hidden_dim=99", "seed=3"):
        with pytest.raises(ConfigError, match=rf"^{key.split('=')[0]}: expected settings of how"):
            changed_settings(own, [key])


@pytest.mark.slow
def test_the_command_writes_labels(made, tmp_path):
    registry, models, _ = made
    sizes = models.model("linear").spec.profile_sizes
    values = {
        name: [f"{name} {row}" for row in range(1, size)]
        for name, size in zip(models.devices.profile, sizes, strict=True)
    }
    (tmp_path / "values.json").write_text(json.dumps(values))
    given = ["cloud", "export", str(registry.path), "--out", str(tmp_path / "files")]
    given += ["--tier", "linear", "--profile", str(tmp_path / "values.json")]
    done = CliRunner().invoke(cli, given)
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "files").glob("*.tflite")
    told = read_metadata(path.read_bytes())
    assert [column["name"] for column in told["profile"]][: len(values)] == [*values]
    assert told["provenance"]["cloud_version"] == 1


@pytest.mark.slow
def test_a_device_moves_on_where_the_catalog_outgrows_the_form_of_its_table(
    jobs, tmp_path, monkeypatch
):
    monkeypatch.setattr(table_names, "LARGE_CATALOG", jobs.ITEMS)
    registry, device, weights = Registry(tmp_path / "registry"), None, None
    quick = {"cloud__update_epochs": 0, "cloud__fit_epochs": 0, "edge_start__epochs": 1}
    told = {"edge__start": "cloud", "edge__tiers": "[linear]", "exchange__item_table": "auto"}
    for number, kind in ((1, "int4"), (2, "fine")):
        more = {"data__synthetic_items": jobs.ITEMS + 6 * (number - 1)}
        config = jobs.small_job(tmp_path, uplinks="null", **more, **quick, **told)
        retrain(config, tmp_path / f"job-{number}", promote_anyway=True, show=False)
        models = open_version(registry)
        (file,) = export_version(models, tmp_path / f"files-{number}")
        assert file.path.name == f"edge-linear-trainable-{kind}.tflite"
        found = publish(registry, tmp_path / "public").publication
        content = (tmp_path / "public" / found.downlinks.path).read_bytes()
        downlink = ReceivedDownlink.read(DownlinkFile.from_bytes(content), 5)
        model = DeviceModel(file.path, runtime="tensorflow")
        assert model.file.table_sha256 == found.item_table.sha256
        if device is None:
            device = Device.create(
                tmp_path / "5.state",
                model,
                user=5,
                history=[3, 17, 40, 8],
                times=[NOW - 90_000, NOW - 80_000, NOW - 400, NOW - 300],
                profile=[1] * len(models.model("linear").profile.rows),
                clock=lambda: NOW,
            )
            weights = device.weights
        else:
            with pytest.raises(DeviceError, match=r"belongs to item table .* let it adopt"):
                device.receive(downlink)
            device = Device.adopt(device.path, model, clock=lambda: NOW)
        device.receive(downlink)
        assert np.isfinite(device.score(np.arange(1, 60, dtype=np.int32), now=NOW)).all()
    np.testing.assert_array_equal(device.weights, weights)
    assert list(device.state.history) == [3, 17, 40, 8]
    # Devices that ask for the file by its name still find one where it is exported as well.
    (old,) = export_version(models, tmp_path / "files-2", variants=["trainable-int4"])
    assert old.path.name == "edge-linear-trainable-int4.tflite"
    assert DeviceModel(old.path, runtime="tensorflow").file.table_sha256 == found.item_table.sha256
