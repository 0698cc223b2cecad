"""`ecct export`, `verify`, `evaluate` and `inspect` over a tiny run, with and without TFF."""

import dataclasses
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from cloud.registry import Registry
from ecct_tf.cli import main
from ecct_tf.commands.inspect_summaries import file_summary
from ecct_tf.commands.verify import _apart, _conclude
from ecct_tf.config import load_config
from ecct_tf.errors import ExportError
from ecct_tf.runs.opening import open_models
from ecct_tf.simulation.ecct import build_ecct
from ecct_tf.simulation.experiment import build_experiment
from ecct_tf.simulation.run_folder import RunFolder
from mobile_export.checking.verification import Check
from mobile_export.device import DeviceModel
from mobile_export.flatbuffer.packing import read_metadata

WITH_TFF = importlib.util.find_spec("tensorflow_federated") is not None
# Python 3.11 has TensorFlow's interpreter only, the current environment has LiteRT too.
RUNTIME = [] if importlib.util.find_spec("ai_edge_litert") else ["--tensorflow"]

SETTINGS = (
    "rounds=2",
    "data.dataset=synthetic",
    "data.synthetic_users=16",
    "data.synthetic_items=120",
    "evaluation.negatives=10",
    "exchange.stage_1_rounds=1",
    "exchange.queries=4",
    "exchange.recent_popularity.positions=3",
    "features.history_length=6",
    "features.clock=true",
    "cloud.rank=3",
    "cloud.next_item.epochs=0",
    "edge.tiers={linear: 0.5, mlp: 0.5}",
    "edge.start=random",
    "edge.hidden_dim=4",
    "baselines=false",
)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of two rounds, or where there is no TFF one whose devices have yet to learn."""
    path, config = tmp_path_factory.mktemp("runs") / "tiny", load_config(overrides=SETTINGS)
    if WITH_TFF:
        from ecct_tf.simulation.simulate import simulate

        simulate(config, out=path)
        return path
    return _unlearned(path, config)


def _unlearned(path, config):
    """A run folder with a checkpoint of devices that have yet to learn; it needs no TFF."""
    folder, experiment = RunFolder.create(path, config), build_experiment(config)
    algorithm = build_ecct(experiment)
    arrays = dict(algorithm.to_arrays(algorithm.initialize()))
    _alter_private(arrays, seed=0)
    arrays["round_number"] = np.array(2, np.int64)
    folder.write_item_table(algorithm.table)
    folder.checkpoints.save(2, arrays, fingerprint=experiment.fingerprint())
    return path


def _alter_private(arrays, *, seed):
    for name in [name for name in arrays if name.endswith("/private")]:
        noise = np.random.default_rng(seed).normal(scale=0.1, size=arrays[name].shape)
        arrays[name] = np.asarray(arrays[name]) + noise.astype(np.float32)


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    """The same settings with another seed, whose files have the same names and shapes."""
    path = tmp_path_factory.mktemp("runs") / "other"
    return _unlearned(path, load_config(overrides=[*SETTINGS, "seed=1"]))


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A run whose devices start with the cloud's weights; half of them have learned since.

    Its folder, that of the same run before the first round, and the start as devices got it.
    """
    settings = (*SETTINGS, "edge.start=cloud", "edge.tiers={linear: 1.0}", "start.epochs=1")
    config = load_config(overrides=[*settings, "start.max_positions=2"])
    experiment = build_experiment(config)
    algorithm = build_ecct(experiment)
    (cohort,) = algorithm.process.cohorts
    arrays = dict(algorithm.to_arrays(algorithm.initialize()))
    paths = {}
    for name in ("begun", "learned"):
        path = tmp_path_factory.mktemp("runs") / name
        folder = RunFolder.create(path, config)
        folder.write_item_table(algorithm.table)
        if name == "learned":
            arrays["cohort/linear/shared"] = arrays["cohort/linear/shared"] + np.float32(0.5)
            arrays["cohort/linear/private"] = np.array(arrays["cohort/linear/private"])
            arrays["cohort/linear/private"][::2] += 1.0
            arrays["round_number"] = np.array(2, np.int64)
        folder.checkpoints.save(2, arrays, fingerprint=experiment.fingerprint())
        paths[name] = path
    return paths["begun"], paths["learned"], cohort.start


def test_a_file_from_before_the_first_round_holds_the_start(started):
    begun, _, start = started
    models = open_models(begun)
    np.testing.assert_array_equal(models.weights("linear"), start)
    np.testing.assert_array_equal(models.weights("linear", new_device=True), start)


def test_what_never_trained_begins_with_the_private_part_of_the_start(started):
    _, learned, start = started
    models = open_models(learned)
    shared = models.process.cohorts[0].work.shared_size
    newest = np.concatenate([start[:shared] + np.float32(0.5), start[shared:]])
    assert 0 < shared < len(start)
    np.testing.assert_array_equal(models.weights("linear", new_device=True), newest)
    users = [int(device.users[0]) for device in models.process.cohorts[0].devices.devices]
    # Every other device has been asked; this one has not.
    np.testing.assert_array_equal(models.weights("linear", user=users[1]), newest)
    assert not np.array_equal(models.weights("linear", user=users[0]), newest)
    mean = models.weights("linear")
    np.testing.assert_allclose(mean[shared:], start[shared:] + 0.5, rtol=1e-6)


def test_the_command_exports_what_a_new_device_begins_with(started, ecct, tmp_path):
    _, learned, _ = started
    code, _, _ = ecct("export", learned, "--out", tmp_path, "--new-device")
    assert code == 0
    path = tmp_path / "edge-linear-trainable-int4.tflite"
    metadata = read_metadata(path.read_bytes())
    assert metadata["provenance"]["new_device"] is True
    assert metadata["provenance"]["weights"] == "linear: a device that has not trained"
    model = DeviceModel(path, runtime="tensorflow" if RUNTIME else "litert")
    columns = len(metadata["profile"])
    state = model.begin(user=1, profile=np.zeros(columns, np.int32))
    expected = open_models(learned).weights("linear", new_device=True)
    np.testing.assert_array_equal(model.weights(state), expected)
    # Evaluated and verified against the same weights, not against the mean of all devices.
    reference = open_models(learned).reference("linear", user=None, steps=0, new_device=True)
    np.testing.assert_array_equal(reference.weights, expected)
    code, _, told = ecct("export", learned, "--out", tmp_path, "--new-device", "--device", "1")
    assert code == 2
    assert "--new-device has no weights of a user" in told


def test_a_checkpoint_that_does_not_say_how_devices_started_is_named(started):
    models = dataclasses.replace(open_models(started[1]), starts={})
    with pytest.raises(ExportError, match="does not hold the starting weights of tier 'linear'"):
        models.weights("linear", new_device=True)


@pytest.fixture
def ecct(monkeypatch, capsys):
    """Runs the command: its exit code, its output with blanks joined, its errors."""
    monkeypatch.setenv("COLUMNS", "200")

    def ecct(*arguments):
        monkeypatch.setattr(sys, "argv", ["ecct", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        printed = capsys.readouterr()
        return code or 0, " ".join(printed.out.split()), printed.err

    return ecct


@pytest.fixture(scope="module")
def files(run, tmp_path_factory):
    """The linear tier in two variants, each dynamic and static."""
    out = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        variants = ["--variant", "trainable-int8", "--variant", "inference-dynamic-int8"]
        argv = ["export", run, "--out", out, "--tier", "linear", "--static", "10,5", *variants]
        patch.setattr(sys, "argv", ["ecct", *map(str, argv)])
        main()
    return out


@pytest.fixture(scope="module")
def trainable(files):
    return files / "edge-linear-trainable-int8.tflite"


def test_export_writes_each_variant_dynamic_and_static(files, run):
    names = ["edge-linear-inference-dynamic-int8", "edge-linear-trainable-int8"]
    written = sorted(path.name for path in files.glob("*.tflite"))
    assert written == [f"{n}{s}.tflite" for n in names for s in ("-b10-c5", "")]
    assert sorted(json.loads((files / "manifest.json").read_text())["files"]) == written
    assert (files / "MODEL_CARD.md").is_file()
    metadata = read_metadata((files / written[-1]).read_bytes())
    assert metadata["provenance"] | {"user": None} == metadata["provenance"]
    assert (metadata["provenance"]["run"], metadata["provenance"]["rounds"]) == (run.name, 2)
    static = read_metadata((files / f"{names[1]}-b10-c5.tflite").read_bytes())
    (labels,) = [p for p in static["signatures"]["train"]["inputs"] if p["name"] == "labels"]
    assert labels["shape"] == [10]


def test_the_command_offers_every_variant():
    from mobile_export.making.variants import VARIANTS

    assert tuple(VARIANTS) == sys.modules["ecct_tf.commands.export"].VARIANTS


def test_all_variants_and_all_tiers(ecct, run, tmp_path, monkeypatch):
    # The module: `ecct_tf.commands.export` itself is the command of that name.
    module = sys.modules["ecct_tf.commands.export"]
    monkeypatch.setattr(module, "VARIANTS", ("inference-float16",))
    code, out, err = ecct("export", run, "--out", tmp_path, "--variant", "all")
    assert code == 0, err
    assert f"Check each with: ecct verify FILE --run {run}" in out
    assert sorted(path.name for path in tmp_path.glob("*.tflite")) == [
        "edge-linear-inference-float16.tflite",
        "edge-mlp-inference-float16.tflite",
    ]


def test_one_device_has_its_own_weights(ecct, run, tmp_path):
    models = open_models(run)
    cohort = models.process.cohorts[0]
    tier, user = cohort.work.model.tier, int(cohort.devices.devices[-1].users[0])
    options = ["--tier", tier, "--device", f"number:{user}", "--variant", "trainable-float32"]
    assert ecct("export", run, "--out", tmp_path, *options)[0] == 0
    (path,) = tmp_path.glob("*.tflite")
    metadata = read_metadata(path.read_bytes())
    assert metadata["provenance"]["user"] == user
    assert metadata["provenance"]["weights"] == f"{tier}: device of user {user}"
    interpreter = pytest.importorskip("tensorflow").lite.Interpreter(str(path))
    weights = interpreter.get_signature_runner("get_weights")(unused=np.zeros(1, np.float32))
    np.testing.assert_array_equal(weights["weights"], models.weights(tier, user=user))
    assert np.abs(weights["weights"] - models.weights(tier)).max() > 0


def test_a_device_is_named_by_the_id_of_its_user(ecct, run, tmp_path):
    models = open_models(run)
    cohort = models.process.cohorts[-1]
    tier, user = cohort.work.model.tier, int(cohort.devices.devices[0].users[0])
    token = models.experiment.dataset.user_tokens[user]
    out = tmp_path / "files"
    code, said, err = ecct("export", run, "--out", out, "--device", f"id:{token}")
    assert code == 0, err
    assert f"User '{token}', number {user} in devices.csv: the weights of their device" in said
    # Of the tier of that device alone.
    (path,) = out.glob("*.tflite")
    assert read_metadata(path.read_bytes())["provenance"]["weights"] == (
        f"{tier}: device of user {user}"
    )
    other = models.tiers[0]
    assert other != tier
    code, _, err = ecct("export", run, "--out", out, "--device", f"id:{token}", "--tier", other)
    assert code == 2
    assert f"user number {user} ('{token}') has no device of tier {other}, but one of" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--variant", "int3"], "'int3' is not one of 'all', 'trainable-int8'"),
        (["--tier", "attention"], "has no devices of tier 'attention', only of linear, mlp"),
        (["--device", "99"], "user '99': expected the id of one of the "),
        (["--static", "32"], "expected two whole numbers like 30,100, got '32'"),
        (["--static", "0,5"], "both numbers must be in 1..1,000,000, got 0,5"),
        (["--static", "5,999999999999"], "both numbers must be in 1..1,000,000"),
    ],
)
def test_export_names_the_mistake(ecct, run, tmp_path, options, words):
    code, _, err = ecct("export", run, "--out", tmp_path / "out", *options)
    assert (code, words in err) == (2, True), err
    assert not (tmp_path / "out").exists()


def test_export_refuses_what_is_no_whole_run_of_ecct(ecct, run, tmp_path):
    def told(change):
        copy = tmp_path / change.__name__
        shutil.copytree(run, copy)
        change(copy)
        code, _, err = ecct("export", copy, "--out", tmp_path / "out")
        assert code == 2
        return err

    def no_checkpoint(copy):
        shutil.rmtree(copy / "checkpoints")

    def no_checkpoint_when_complete(copy):
        no_checkpoint(copy)
        RunFolder.open(copy).set_status("complete", round_number=2)

    def no_checkpoint_when_interrupted(copy):
        no_checkpoint(copy)
        RunFolder.open(copy).set_status("interrupted", round_number=0)

    def baseline_without_checkpoint(copy):
        no_checkpoint(copy)
        another_method(copy)

    def no_table(copy):
        (copy / "item_table.npz").unlink()

    def torn_table(copy):
        content = (copy / "item_table.npz").read_bytes()
        (copy / "item_table.npz").write_bytes(content[: len(content) // 2])

    def another_table(copy):
        folder = RunFolder.open(copy)
        table = folder.read_item_table()
        table.cloud[1, 0] += 1
        folder.write_item_table(table)

    def another_method(copy):
        written = (copy / "config.yaml").read_text()
        (copy / "config.yaml").write_text(written.replace("method: ecct", "method: popularity"))

    def other_data(copy):
        written = (copy / "config.yaml").read_text()
        (copy / "config.yaml").write_text(
            written.replace("synthetic_users: 16", "synthetic_users: 17")
        )

    assert "is not a run folder" in ecct("export", tmp_path / "no", "--out", tmp_path)[2]
    assert "has no checkpoint" in told(no_checkpoint)
    assert "copy its checkpoints/ too" in told(no_checkpoint_when_complete)
    err = told(no_checkpoint_when_interrupted)
    assert f"ecct resume {tmp_path / 'no_checkpoint_when_interrupted'}" in err
    err = told(baseline_without_checkpoint)
    assert "no edge model of ECCT's at any round" in err
    assert "finish a round" not in err
    assert "expected the item table of the run's devices" in told(no_table)
    assert "expected the item table of the run's devices" in told(torn_table)
    assert "is not the item table of the run's checkpoint" in told(another_table)
    assert "of method 'popularity'" in told(another_method)
    assert "data.synthetic_users was 16, now 17" in told(other_data)


def test_verify_passes_against_the_run(ecct, trainable, run):
    code, out, err = ecct("verify", trainable, "--run", run, "--steps", 6, "--calls", 12)
    assert code == 0, out + err
    for check in ("hash", "operators", "signatures", "output parity", "training parity", "guards"):
        assert check in out
    assert "FAILED" not in out


def test_verify_fails_an_altered_file(ecct, trainable, tmp_path):
    content = bytearray(trainable.read_bytes())
    content[len(content) // 2] ^= 8
    path = tmp_path / trainable.name
    path.write_bytes(content)
    shutil.copy(trainable.parent / "manifest.json", tmp_path)
    code, out, err = ecct("verify", path, "--calls", 2)
    assert code == 1, out
    assert "FAILED" in out
    assert "checks failed" in err


@pytest.mark.parametrize("command", ["verify", "inspect", "evaluate"])
def test_a_file_that_is_missing_or_none_of_ours_is_refused(ecct, command, run, tmp_path):
    options = ["--run", run, *RUNTIME] if command == "evaluate" else []
    code, _, err = ecct(command, tmp_path / "none.tflite", *options)
    assert (code, "expected a file that `ecct export` wrote, there is none" in err) == (2, True)
    other = tmp_path / "other.tflite"
    other.write_bytes(b"no model, whatever its name says")
    code, _, err = ecct(command, tmp_path, *options)
    assert (code, "this is a folder; name a file in it" in err, "other.tflite" in err) == (
        2,
        True,
        True,
    )
    (tmp_path / "manifest.json").write_text("{}")
    code, out, err = ecct(command, other, *options)
    assert code != 0
    assert "expected" in out + err


def test_a_file_is_not_measured_against_another_run(ecct, files, trainable, other_run):
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    code, out, err = ecct("evaluate", trainable, "--run", other_run, *RUNTIME)
    assert (code, out) == (2, "")
    found = json.loads(before["manifest.json"])["files"][trainable.name]["fingerprints"]
    expected = open_models(other_run).fingerprints("linear")
    for name in ("settings", "data", "item_table"):
        assert f"{name}: {found[name][:12]}… in the file, {expected[name][:12]}… in the run" in err
    # Neither the manifest nor the card has learned wrong figures.
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before
    code, out, err = ecct("verify", trainable, "--run", other_run)
    assert code == 1
    assert "FAILED" in out
    assert "it is of another one" in " ".join(out.replace("│", " ").split())
    assert "parity" not in out


def test_a_file_is_not_measured_against_a_later_round(ecct, trainable, run, tmp_path):
    later = tmp_path / "later"
    shutil.copytree(run, later)
    store = RunFolder.open(later).checkpoints
    newest = store.newest()
    _alter_private(newest.arrays, seed=9)
    store.save(3, newest.arrays, fingerprint=newest.fingerprint)
    code, _, err = ecct("evaluate", trainable, "--run", later, *RUNTIME)
    assert (code, "expected the weights that the run" in err) == (2, True), err


def test_export_keeps_the_files_of_two_runs_apart(ecct, files, other_run, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(files, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    options = ["--out", out, "--tier", "mlp", "--variant", "inference-float16"]
    code, _, err = ecct("export", other_run, *options)
    assert (code, "this one is of another run" in err, "--overwrite" in err) == (2, True, True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert ecct("export", other_run, *options, "--overwrite")[0] == 0
    listed = json.loads((out / "manifest.json").read_text())["files"]
    assert list(listed) == ["edge-mlp-inference-float16.tflite"]
    # What is of the same run joins; the card tells of all.
    assert ecct("export", other_run, *options[:2], "--tier", "linear", *options[4:])[0] == 0
    assert len(json.loads((out / "manifest.json").read_text())["files"]) == 2


def test_inspect_refuses_another_files_manifest(ecct, trainable, tmp_path):
    path = tmp_path / trainable.name
    shutil.copy(trainable, path)
    code, out, _ = ecct("inspect", path)
    assert code == 0
    told = " ".join(out.split())
    assert "no manifest.json beside it lists the file; whole, as its own checksum says" in told
    manifest = json.loads((trainable.parent / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "as its manifest.json says" in ecct("inspect", path)[1]
    manifest["files"][path.name]["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    code, _, err = ecct("inspect", path, "--metadata")
    assert (code, f"expected SHA-256 {'0' * 64}" in err) == (2, True)


def test_evaluate_ranks_with_the_file_and_with_its_source(ecct, trainable, run):
    card = trainable.parent / "MODEL_CARD.md"
    code, out, err = ecct("evaluate", trainable, "--run", run, "--rows", 3, *RUNTIME)
    assert code == 0, err
    assert "3 test rows, each device's own weights" in out
    assert "change +0.0000 +0.0000" in out
    # A part of the rows says nothing of the whole.
    assert "| - |" in card.read_text() or "| – |" in card.read_text()


def test_evaluate_of_all_rows_is_noted_in_the_card(ecct, files, run):
    path = files / "edge-linear-inference-dynamic-int8-b10-c5.tflite"
    code, out, err = ecct("evaluate", path, "--run", run, *RUNTIME)
    assert code == 0, err
    assert "the file's weights" in out
    entry = json.loads((files / "manifest.json").read_text())["files"][path.name]
    assert set(entry["measured"]) == {"hr", "ndcg"}


def test_inspect_shows_what_a_file_holds(ecct, trainable):
    code, out, _ = ecct("inspect", trainable, "--tensors", 3)
    assert code == 0
    for title in ("Signatures", "Runtimes", "Operators", "Largest constants", "Metadata"):
        assert title in out
    assert f"{trainable.stat().st_size:,} bytes" in out
    # The clock and what a reading of it is, wherever a table breaks its lines.
    whole = re.sub(r"[\s│]", "", out)
    assert "clockfloat32[any,12]" in whole
    assert "session_gap_seconds" in whole


def test_inspect_says_first_what_a_file_is_and_what_comes_next(ecct, trainable, run):
    source = read_metadata(trainable.read_bytes())["provenance"]
    told = " ".join(ecct("inspect", trainable)[1].split())
    first, _, rest = told.partition("SHA-256")
    assert "edge model of tier linear, trainable-int8, of the run" in first
    run_text = f"{run.name} (ecct on synthetic, seed 0, after round {source['rounds']})"
    assert f"of the run {run_text}" in first
    assert f"weights: {source['weights']}, written by ecct-tf" in first
    assert f"; {trainable.stat().st_size:,} bytes, file of 20" in first
    assert f"verify {trainable} --run RUN" in rest


def test_inspect_says_what_a_folder_is(ecct, run, files):
    code, out, _ = ecct("inspect", run)
    first, _, following = out.partition(" Next: ")
    assert code == 0
    assert first.startswith(f"{run}: run of ECCT on synthetic, seed 0, ")
    assert re.search(r"begun 20\S+; [\d,]+ bytes in \d+ files$", first)
    assert re.search(rf"^ecct (report|resume) {re.escape(str(run))}$", following)
    # A folder of files names these, as before.
    code, _, err = ecct("inspect", files)
    assert (code, "name a file in it" in err) == (2, True)


def test_inspect_says_what_a_registry_is(ecct, tmp_path):
    registry = Registry(tmp_path / "registry")
    for number in range(2):
        with registry.draft() as draft:
            (draft.path / "saved_model").mkdir()
            (draft.path / "saved_model" / "saved_model.pb").write_text(f"{number}")
            version = draft.commit()
    code, out, _ = ecct("inspect", registry.path)
    assert code == 0
    made = version.manifest.created_at
    assert f"registry with 2 versions, the newest 2 of {made}, none is in force; " in out
    assert out.endswith(f"Next: ecct cloud versions {registry.path}")
    registry.promote(version.number, expected=None)
    assert "version 2 is in force" in ecct("inspect", registry.path)[1]


@pytest.mark.parametrize("metadata", [{}, {"provenance": None, "variant": 3, "versions": []}])
def test_a_summary_leaves_out_what_a_file_does_not_say(metadata, tmp_path):
    file = tmp_path / "a file.tflite"
    file.touch()
    first, following = file_summary(file, 1234, metadata)
    assert "which names no run and no version; 1,234 bytes" in first
    assert following.endswith(f"verify '{file}'")
    first, _ = file_summary(file, 1, {"provenance": {"cloud_version": 3, "made": "2026-01-02"}})
    assert "of version 3 of the cloud, made 2026-01-02" in first


def test_inspect_prints_metadata_as_json_and_nothing_else(ecct, trainable):
    code, out, _ = ecct("inspect", trainable, "--metadata")
    assert code == 0
    assert json.loads(out) == read_metadata(trainable.read_bytes())


def test_the_command_that_adds_litert_is_a_line_below_the_table(monkeypatch, capsys):
    command = "/a/long/place/of/an/environment/bin/python -m pip install 'ai-edge-litert>=1,<3'"
    remedy = f"{command}, then add `--litert-python P`"
    monkeypatch.setattr("ecct_tf.installation.install_command", {"litert": remedy}.get)
    monkeypatch.setenv("COLUMNS", "80")
    found, way = _apart(f"python cannot run ai-edge-litert: no module. To add it: {remedy}")
    assert found == "python cannot run ai-edge-litert: no module. The way to add it stands below"
    check = Check("runtime", "ai-edge-litert", None, found)
    _conclude(Path("edge.tflite"), [check], remedy=way)
    lines = capsys.readouterr().out.splitlines()
    assert f"    {command}" in lines
    assert "Then add `--litert-python P`." in lines
    # Of another error nothing is taken apart.
    assert _apart("cannot start python") == ("cannot start python", "")
