"""Damaged files, and files that tell what cannot be: none is shown, or checked, as whole."""

import copy
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.cli import main
from ecct_tf.errors import ExportError
from mobile_export.checking.hostile import damaged_files
from mobile_export.checking.inspection import inspection_tables
from mobile_export.checking.verification import _checked, _structure
from mobile_export.contract.soundness import check_numbers
from mobile_export.flatbuffer.packing import digest, proves_itself, read_metadata

GOLDEN = (
    Path(__file__).parents[2] / "mobile_export/android/ecct-edge-core/src/test/resources/golden"
)


@pytest.fixture(scope="module")
def content():
    return (GOLDEN / "edge.tflite").read_bytes()


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


def test_a_file_proves_itself(content):
    assert proves_itself(content)
    assert content[-64:].decode() == digest(content[:-64])
    with zipfile.ZipFile(GOLDEN / "edge.tflite") as archive:
        assert archive.testzip() is None


def test_no_damaged_copy_is_shown_as_whole(ecct, content, tmp_path):
    path = tmp_path / "edge.tflite"
    for told, altered in damaged_files(content, 60, np.random.default_rng(1)):
        with pytest.raises(ExportError):
            proves_itself(altered)
        path.write_bytes(altered)
        try:
            titles = [table.title for table in inspection_tables(path)]
        except ExportError:
            continue
        # What can still be read is shown by nobody but a caller who did not ask for the proof.
        assert len(titles) == 5, told
    for option in ([], ["--metadata"]):
        code, out, err = ecct("inspect", path, *option)
        assert (code, out) == (2, "")
        assert "the file is damaged" in err


def test_a_truncated_proof_and_a_longer_file_are_damaged(content):
    for altered in (content[:-1], content[:-71], content + b"\0", content[:-64] + b"0" * 64, b""):
        with pytest.raises(ExportError, match="the file is damaged"):
            proves_itself(altered)


def test_a_file_of_before_is_shown_and_says_that_nothing_vouches_for_it(ecct, content, tmp_path):
    end = content.rfind(b"PK\x05\x06")
    old = content[: end + 20] + b"\0\0"
    assert not proves_itself(old)
    path = tmp_path / "edge.tflite"
    path.write_bytes(old)
    code, out, _ = ecct("inspect", path)
    assert code == 0
    assert "not checked: an earlier release wrote it without a checksum of its own" in out
    path.write_bytes(content)
    assert "whole, as its own checksum says" in ecct("inspect", path)[1]
    shutil.copy(GOLDEN / "manifest.json", tmp_path)
    assert "as its manifest.json says" in ecct("inspect", path)[1]


@pytest.mark.parametrize("lost", ["meaning", "dtype", "shape", "inputs"])
def test_metadata_that_lack_something_end_in_no_traceback(content, tmp_path, monkeypatch, lost):
    metadata = copy.deepcopy(read_metadata(content))
    signature = metadata["signatures"]["score"]
    (signature if lost == "inputs" else signature["inputs"][0]).pop(lost, None)
    monkeypatch.setattr("mobile_export.checking.inspection.read_metadata", lambda _: metadata)
    path = tmp_path / "edge.tflite"
    path.write_bytes(content)
    if lost == "meaning":  # Which is for human readers only.
        assert len(list(inspection_tables(path))) == 5
        return
    with pytest.raises(ExportError, match=f"it is damaged: KeyError.'{lost}'"):
        list(inspection_tables(path))


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("training", "batch_size", -2), ("training", "batch_size", 0), ("training", "epochs", -1),
        ("training", "learning_rate", float("nan")), ("training", "private_learning_rate", 7.0),
        ("training", "group_size", 3), ("samples", "negatives", 0), ("items", "rows", True),
        ("samples", "max_positions", -9), ("exchange", "num_queries", 2.5),
        ("weights", "shared", -1),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused(content, monkeypatch, section, name, value):
    metadata = copy.deepcopy(read_metadata(content))
    check_numbers(metadata)
    metadata[section][name] = value
    with pytest.raises(ExportError, match=rf"{section}\.{name}: expected .*, the file tells"):
        check_numbers(metadata)
    monkeypatch.setattr("mobile_export.checking.verification.read_metadata", lambda _: metadata)
    found = _checked("structure", "file", lambda: _structure(content))
    assert (found.passed, f"{section}.{name}" in found.found) == (False, True)


def test_a_check_that_meets_what_it_did_not_expect_fails_and_goes_on():
    assert _checked("any", "file", lambda: {}["signatures"]).passed is False


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("verify", "--steps"),
        ("verify", "--calls"),
        ("verify", "--timeout"),
        ("inspect", "--tensors"),
    ],
)
def test_counts_of_commands_are_checked(ecct, command, option):
    code, _, err = ecct(command, GOLDEN / "edge.tflite", option, -3)
    assert code == 2
    assert option in err


def test_the_time_that_a_call_may_take_can_be_given(ecct, tmp_path):
    for name in ("edge.tflite", "manifest.json"):
        shutil.copy(GOLDEN / name, tmp_path)
    code, _, err = ecct("verify", tmp_path / "edge.tflite", "--timeout", 0.000001)
    assert code == 2
    assert "give more with `--timeout`" in err
