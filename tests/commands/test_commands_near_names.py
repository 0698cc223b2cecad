"""A misspelt path is answered with the near name that lies beside it."""

import pytest

from ecct_tf.cli import main
from ecct_tf.config.parsing import near_sibling


@pytest.fixture
def ecct(tmp_path, monkeypatch, capsys):
    """Runs a command among a few files: its exit code and what it said, blanks joined."""
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/mine", "registry/versions", "export"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("runs/mine/config.yaml", "schema.yaml", "job.yaml", "export/edge-mlp.tflite"):
        (tmp_path / name).touch()

    def ecct(*arguments):
        monkeypatch.setattr("sys.argv", ["ecct", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, " ".join(capsys.readouterr().err.split())

    return ecct


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        (("compare", "runs/mien"), "runs/mine"),
        (("report", "runs/mine2"), "runs/mine"),
        (("data", "check", "shema.yaml"), "schema.yaml"),
        (("simulate", "--config", "jop.yaml"), "job.yaml"),
        (("cloud", "retrain", "--config", "nojob.yaml", "--out", "jobs/1"), "job.yaml"),
        (("cloud", "versions", "regstry"), "registry"),
        (("inspect", "export/edge-mpl.tflite"), "export/edge-mlp.tflite"),
        (("inspect", "exprt/edge-mlp.tflite"), "export/edge-mlp.tflite"),
    ],
)
def test_a_misspelt_path_gets_a_near_name(ecct, typed, near):
    code, said = ecct(*typed)
    assert code == 2
    assert f"did you mean {near}?" in said
    assert "?." not in said
    assert "?;" not in said


@pytest.mark.parametrize("typed", [("compare", "elsewhere/far"), ("data", "check", "zzz.csv")])
def test_what_has_no_near_name_gets_none(ecct, typed):
    code, said = ecct(*typed)
    assert code == 2
    assert "did you mean" not in said


def test_what_is_there_and_what_cannot_be_looked_into_get_none(tmp_path):
    (tmp_path / "mine").mkdir()
    assert near_sibling(tmp_path / "mine") == ""
    (tmp_path / "lost").symlink_to(tmp_path / "away")
    assert near_sibling(tmp_path / "lost") == ""
    assert near_sibling(tmp_path / "no" / "such" / "path") == ""
    assert near_sibling(tmp_path / "mien") == f"; did you mean {tmp_path / 'mine'}?"
