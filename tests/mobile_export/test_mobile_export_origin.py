"""Files know the run that they come from, and are not taken for those of another."""

import json

import pytest

from ecct_tf.errors import ExportError
from mobile_export.flatbuffer.origin import FINGERPRINTS, check_folder, check_origin, fingerprint

OURS = {name: fingerprint([name, "ours"]) for name in FINGERPRINTS}
PROVENANCE = {"run": "theirs", "seed": 7, "rounds": 2}


def _refusal(tmp_path, **changed):
    metadata = {"fingerprints": {**OURS, **changed}, "provenance": PROVENANCE}
    with pytest.raises(ExportError) as refused:
        check_origin(metadata, OURS, file=tmp_path / "a.tflite", run=tmp_path / "b")
    return str(refused.value)


def test_a_file_of_the_run_passes(tmp_path):
    metadata = {"fingerprints": OURS, "provenance": PROVENANCE}
    check_origin(metadata, OURS, file=tmp_path / "a.tflite", run=tmp_path / "b")


@pytest.mark.parametrize("name", ["settings", "data", "vocabulary", "item_table"])
def test_one_other_fingerprint_is_refused_with_both(tmp_path, name):
    told = _refusal(tmp_path, **{name: "f" * 64})
    assert "it is of another one" in told
    assert f"{name}: ffffffffffff… in the file, {OURS[name][:12]}… in the run" in told
    assert "the run 'theirs' (seed 7, after round 2)" in told
    assert f"ecct export {tmp_path / 'b'}" in told


def test_other_weights_alone_are_another_round_of_the_run(tmp_path):
    told = _refusal(tmp_path, weights="f" * 64)
    assert "expected the weights that the run" in told
    assert "it is of another one" not in told


def test_a_file_without_fingerprints_is_refused(tmp_path):
    with pytest.raises(ExportError, match="written by an earlier version, or without a run"):
        check_origin({"provenance": {}}, OURS, file=tmp_path / "a.tflite", run=tmp_path)


def _folder(path, fingerprints):
    files = {"a.tflite": {"sha256": "0", "fingerprints": fingerprints}}
    (path / "manifest.json").write_text(json.dumps({"files": files}))
    return path


@pytest.mark.parametrize("name", ["settings", "data", "vocabulary", "item_table"])
def test_a_folder_of_another_run_is_refused(tmp_path, name):
    folder = _folder(tmp_path, {**OURS, name: "f" * 64})
    # Also where no name is the same: one card must not tell of two runs.
    with pytest.raises(ExportError, match=f"{name}: ffffffffffff… there") as refused:
        check_folder(folder, ["b.tflite"], OURS, overwrite=False)
    assert "--overwrite" in str(refused.value)
    check_folder(folder, ["b.tflite"], OURS, overwrite=True)


def test_a_later_round_of_the_same_run_replaces_its_files(tmp_path):
    check_folder(_folder(tmp_path, {**OURS, "weights": "0"}), ["a.tflite"], OURS, overwrite=False)


def test_a_file_that_no_manifest_lists_is_not_replaced(tmp_path):
    (tmp_path / "b.tflite").write_bytes(b"precious")
    with pytest.raises(ExportError, match="expected no such file"):
        check_folder(tmp_path, ["b.tflite"], OURS, overwrite=False)


def test_a_manifest_of_an_earlier_version_is_of_another_run(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"a.tflite": {"sha256": "0"}}}))
    with pytest.raises(ExportError, match="data: none there"):
        check_folder(tmp_path, ["a.tflite"], OURS, overwrite=False)
