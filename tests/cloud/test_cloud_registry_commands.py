"""`ecct cloud versions`, `promote`, `rollback` and `gc`."""

import json

import pytest
from click.testing import CliRunner

from cloud.registry import Registry
from ecct_tf.cli import cli
from ecct_tf.errors import PromotionConflictError, RegistryError


@pytest.fixture
def path(tmp_path):
    registry = Registry(tmp_path / "registry")
    for number in (1, 2):
        with registry.draft(parents=[number - 1] if number > 1 else []) as draft:
            (draft.path / "saved_model").mkdir()
            (draft.path / "saved_model" / "saved_model.pb").write_text(str(number))
            draft.commit(metrics={"hr@10": 0.25 * number, "auc": 0.9})
    return registry.path


def run(*arguments):
    result = CliRunner().invoke(cli, ["cloud", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_versions_are_promoted_listed_and_rolled_back(path):
    assert "Version 1 is in force" in run("promote", path, 1)
    run("promote", path, 2, "--expected", 1, "--note", "better")
    lines = run("versions", path).splitlines()
    (first,) = (line for line in lines if "previous" in line)
    (second,) = (line for line in lines if "in force" in line)
    assert "none" in first
    assert "0.2500" in first
    assert "0.5000" in second
    header = next(line for line in lines if "version" in line)
    assert "hr@10" in header
    assert "auc" not in header
    assert "Version 1 is in force again" in run("rollback", path)
    told = json.loads(run("versions", path, "--json"))
    assert told["promoted"] == 1
    assert told["rollback_target"] is None
    assert told["served"] == [1]
    assert [version["number"] for version in told["versions"]] == [1, 2]
    assert [(each["version"], each["kind"], each["note"]) for each in told["history"]] == [
        (1, "promote", ""),
        (2, "promote", "better"),
        (1, "rollback", ""),
    ]
    assert "Removed 0 versions" in run("gc", path, "--keep", 1)


def test_refusals_say_why(path, tmp_path):
    with pytest.raises(PromotionConflictError, match="expected version 2 in force"):
        run("promote", path, 1, "--expected", 2)
    with pytest.raises(RegistryError, match="no such folder"):
        run("versions", tmp_path / "nowhere")
    with pytest.raises(RegistryError, match="keep of at least 1"):
        run("gc", path, "--keep", 0)
    with pytest.raises(RegistryError, match="there is no version 9; stored are 1, 2"):
        run("promote", path, 9)
    (tmp_path / "other").mkdir()
    with pytest.raises(RegistryError, match="another folder"):
        run("gc", tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


def test_versions_of_jobs_fit_a_narrow_terminal(tmp_path):
    registry = Registry(tmp_path / "registry")
    names = [f"{of}/{side}_{m}" for of in ("validation", "before") for side in ("alone", "cloud")
             for m in ("hr", "ndcg", "mrr", "log_loss")]  # fmt: skip
    for number in (1, 2, 3):
        with registry.draft(parents=[number - 1] if number > 1 else []) as draft:
            (draft.path / "saved_model").mkdir()
            (draft.path / "saved_model" / "saved_model.pb").write_text(str(number))
            draft.commit(
                metrics=dict.fromkeys(names, 0.25 * number),
                config={"validation": {"metric": "ndcg", "k": 10}},
            )
        registry.promote(number, expected=number - 1 or None)
    lines = run("versions", registry.path).splitlines()
    assert max(map(len, lines)) <= 80
    assert [word for word in lines[1].split() if "@" in word] == ["NDCG@10", "HR@10"]
    # A version is a row of one line: the header has three, the end one.
    assert len(lines) == 3 + 3 + 1
    told = json.loads(run("versions", registry.path, "--json"))
    assert set(told["versions"][0]["metrics"]) == set(names)


def test_a_half_done_promotion_is_told_and_mended(path):
    run("promote", path, 1)
    registry = Registry(path)
    (registry.serving_path / "1").rename(registry.serving_path / "9")
    assert "holds [9]" in run("versions", path)
    run("gc", path)
    assert registry.served() == (1,)
    assert "holds" not in run("versions", path)


def test_a_damaged_version_is_listed_and_hides_no_other(path):
    run("promote", path, 2)
    manifest = path / "versions" / "000001" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace("0.9", "0.8"))
    output = run("versions", path)
    assert "in force" in output
    assert f"Version 1 is damaged: {manifest}: expected the manifest of a version" in output
    told = json.loads(run("versions", path, "--json"))
    assert list(told["damaged"]) == ["1"]
    assert [version["number"] for version in told["versions"]] == [2]
    assert "Removed 1 version (1)" in run("gc", path, "--keep", 1)
