"""The registry: versions, promotion, rollback and garbage collection, one process at a time."""

import json
import os
import time
from pathlib import Path

import pytest

from cloud.registry import Registry
from cloud.registry.promotions import PromotionLog
from ecct_tf.errors import PromotionConflictError, RegistryError


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


def commit(registry, *, text="model", parents=(), name=None, **notes):
    with registry.draft(parents=parents, name=name) as draft:
        (draft.path / "saved_model").mkdir(exist_ok=True)
        (draft.path / "saved_model" / "saved_model.pb").write_text(text)
        return draft.commit(**notes)


@pytest.fixture
def four(registry):
    """Four versions, of which 1, 2 and 3 were promoted in turn."""
    expected = None
    for number in (1, 2, 3, 4):
        commit(registry, text=f"v{number}")
        if number < 4:
            registry.promote(number, expected=expected)
            expected = number
    return registry


def served_text(registry):
    return {
        number: (registry.serving_path / str(number) / "saved_model.pb").read_text()
        for number in registry.served()
    }


def _with_files(registry, contents, *, parents=()):
    with registry.draft(parents=parents) as draft:
        for name, content in contents.items():
            (draft.path / name).write_bytes(content)
        return draft.commit()


def test_versions_share_what_did_not_change(registry):
    table, history = bytes(100_000), b"h" * 100_000
    first = _with_files(registry, {"table": table, "history": history, "small": b"s"})
    second = _with_files(
        registry, {"table": table, "history": history + b"!", "small": b"s"}, parents=(1,)
    )
    same = {name: (first.path / name).samefile(second.path / name) for name in ("table", "history")}
    assert same == {"table": True, "history": False}
    assert not (first.path / "small").samefile(second.path / "small")
    assert not [path.name for path in second.path.iterdir() if path.name.startswith(".")]
    # Neither loses anything with the other.
    registry.rewrite(1, lambda folder: (folder / "table").write_bytes(b"erased"), data={})
    second.verify()
    third = _with_files(registry, {"table": table})
    assert not (second.path / "table").samefile(third.path / "table")


def test_a_damaged_file_is_not_shared(registry):
    table = bytes(100_000)
    first = _with_files(registry, {"table": table})
    (first.path / "table").chmod(0o600)
    (first.path / "table").write_bytes(table[:-1] + b"!")
    second = _with_files(registry, {"table": table}, parents=(1,))
    second.verify()
    assert (second.path / "table").read_bytes() == table


def test_without_links_each_version_has_its_own_files(registry, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    table = bytes(100_000)
    first = _with_files(registry, {"table": table})
    monkeypatch.setattr(os, "link", refuse)
    second = _with_files(registry, {"table": table}, parents=(1,))
    second.verify()
    assert not (first.path / "table").samefile(second.path / "table")


def test_a_version_is_what_was_committed(registry):
    first = commit(registry, data={"until": "2026-11-01"}, metrics={"hr": 0.5})
    second = commit(registry, parents=(1,), config={"epochs": 3})
    assert [version.number for version in registry.versions()] == [1, 2]
    manifest = json.loads((first.path / "manifest.json").read_text())
    assert manifest["data"] == {"until": "2026-11-01"}
    assert manifest["metrics"] == {"hr": 0.5}
    # sha256("model"), by the tool sha256sum
    assert manifest["files"] == {
        "saved_model/saved_model.pb": {
            "num_bytes": 5,
            "sha256": "9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4",
        }
    }
    assert manifest["libraries"]["numpy"]
    assert second.manifest.parents == (1,)
    assert registry.version(2) == second
    assert not list((registry.path / "drafts").iterdir())
    assert registry.promoted() is None
    assert registry.served() == ()


def test_only_the_promoted_version_is_served(four):
    assert four.promoted().number == 3
    assert served_text(four) == {3: "v3"}
    # The same bytes on the disk, not a copy.
    stored = four.version(3).saved_model / "saved_model.pb"
    assert stored.samefile(four.serving_path / "3" / "saved_model.pb")


def test_the_loser_of_a_promotion_is_told_and_nothing_changes(four):
    with pytest.raises(
        PromotionConflictError, match="expected version 2 in force, found version 3"
    ):
        four.promote(4, expected=2)
    assert four.promoted().number == 3
    assert served_text(four) == {3: "v3"}
    assert four.version(4).number == 4
    four.promote(4, expected=3)
    # Told again after a kill, it is done already.
    assert four.promote(4, expected=3) == four.history()[-1]
    assert len(four.history()) == 4


def test_a_rollback_returns_step_by_step(four):
    assert four.rollback(note="clicks fell").version == 2
    assert served_text(four) == {2: "v2"}
    assert four.history()[-1].note == "clicks fell"
    with pytest.raises(PromotionConflictError, match="version 2 is in force"):
        four.rollback(expected=3)
    assert four.rollback(expected=2).version == 1
    assert served_text(four) == {1: "v1"}
    with pytest.raises(RegistryError, match="nothing to roll back to"):
        four.rollback()
    four.promote(4, expected=1)
    assert four.rollback().version == 1


def test_a_rollback_passes_over_what_was_collected(four):
    """2 goes once 4 is in force; a rollback to 3 must then lead on to 1."""
    four.promote(4, expected=3)
    with four.draft(parents=(1,), name="keeps-1"):
        assert four.gc(keep=1).versions == (2,)
    assert four.rollback().version == 3
    assert four.rollback().version == 1


def test_gc_leaves_what_is_in_use(four):
    four.rollback()
    commit(four, text="v5")
    # In force is 2, a rollback returns to 1, and 5 is the newest.
    with four.draft(parents=(3,)) as draft:
        (draft.path / "half.txt").write_text("half")
        collected = four.gc(keep=1, draft_hours=0)
        assert collected.versions == (4,)
        assert collected.drafts == ()
        assert draft.path.is_dir()
    assert [version.number for version in four.versions()] == [1, 2, 3, 5]
    assert four.gc(keep=1).versions == (3,)
    assert commit(four).number == 6


def test_gc_takes_drafts_that_nobody_has_open_once_they_are_old(registry):
    commit(registry)
    with registry.draft(name="job") as draft:
        (draft.path / "part").write_text("part")
    assert registry.gc().drafts == ()
    past = 1_000_000_000
    for path in (*draft.path.parent.rglob("*"), draft.path.parent):
        os.utime(path, (past, past))
    assert registry.gc(draft_hours=1).drafts == ("job",)
    assert not list((registry.path / "drafts").iterdir())


def test_a_draft_from_the_future_is_open_to_nobody_and_is_swept(registry):
    """The clock was set back after it was written."""
    with registry.draft(name="job") as draft:
        (draft.path / "file").write_text("begun")
    for path in draft.path.parent.rglob("*"):
        os.utime(path, (time.time() + 1e6,) * 2)
    assert registry.gc().drafts == ()
    registry.sweep()
    assert not draft.path.exists()


def test_a_named_draft_is_taken_up_again(registry):
    with registry.draft(name="job") as draft:
        (draft.path / "part").write_text("part")
    assert registry.committed("job") is None
    with registry.draft(name="job") as draft:
        assert (draft.path / "part").read_text() == "part"
        with pytest.raises(RegistryError, match="another process has it open"):
            registry.draft(name="job")
        assert draft.commit() == registry.committed("job")
        with pytest.raises(RegistryError, match="expected an open draft"):
            draft.commit()
    commit(registry)
    with registry.draft(name="other", parents=(1,)):
        pass
    with pytest.raises(RegistryError, match=r"begun from versions \[1\], expected \[2\]"):
        registry.draft(name="other", parents=(2,))


def test_an_unnamed_draft_vanishes_without_a_commit(registry):
    with registry.draft() as draft:
        (draft.path / "part").write_text("part")
    assert not draft.path.exists()
    assert registry.versions() == ()


def test_what_cannot_be_a_version_is_refused(registry, tmp_path):
    with registry.draft() as draft:
        with pytest.raises(RegistryError, match="the draft is empty"):
            draft.commit()
        (draft.path / "file").write_text("x")
        with pytest.raises(RegistryError, match="finite numbers"):
            draft.commit(metrics={"hr": float("nan")})
        (draft.path / "link").symlink_to(tmp_path)
        with pytest.raises(RegistryError, match="plain files"):
            draft.commit()
    with pytest.raises(RegistryError, match="there is no version 7; stored are none"):
        registry.draft(parents=(7,))
    with pytest.raises(RegistryError, match="expected a name"):
        registry.draft(name="../up")
    assert registry.versions() == ()


def test_a_damaged_version_is_not_promoted(four):
    path = four.version(4).saved_model / "saved_model.pb"
    path.chmod(0o644)
    path.write_text("v4?")
    with pytest.raises(RegistryError, match=r"version 4: 1 of 1 files .*saved_model\.pb"):
        four.promote(4, expected=3)
    assert four.promoted().number == 3


def test_a_version_without_a_saved_model_is_not_promoted(registry):
    with registry.draft() as draft:
        (draft.path / "item_table.npz").write_text("x")
        draft.commit()
    with pytest.raises(RegistryError, match="for TF Serving"):
        registry.promote(1, expected=None)
    assert registry.promoted() is None


def test_without_any_lock_one_of_two_gets_the_next_promotion(tmp_path):
    """Both read the same log; where `flock` did nothing they would append at once."""
    log = PromotionLog(tmp_path / "promotions")
    first = log.append((), version=1, previous=None, kind="promote", note="")
    seen = log.records()
    second = log.append(seen, version=2, previous=1, kind="promote", note="")
    with pytest.raises(PromotionConflictError, match="version 3 was not promoted: promotion 2 was"):
        log.append(seen, version=3, previous=1, kind="promote", note="")
    assert log.records() == (first, second)
    assert [path.name for path in sorted((tmp_path / "promotions").iterdir())] == [
        "000001.json",
        "000002.json",
    ]


def damage(path, old, new):
    text = path.read_text()
    assert old in text
    path.chmod(0o644)
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [('"auc"', '"aud"'), ("0.75", "0.74"), ("{", "["), ('"number": 1', '"number": 3')],
)
def test_a_damaged_old_manifest_stops_nothing_but_itself(old, new, registry, caplog):
    commit(registry, metrics={"auc": 0.75})
    registry.promote(1, expected=None)
    commit(registry, text="v2", parents=(1,))
    registry.promote(2, expected=1)
    damage(registry.version(1).path / "manifest.json", old, new)
    with pytest.raises(RegistryError, match=r"000001.manifest\.json"):
        registry.version(1)
    # Listing, committing, promoting, rolling back elsewhere and collecting go on, and name it.
    assert [version.number for version in registry.versions()] == [2]
    assert "000001/manifest.json" in caplog.text
    assert list(registry.inventory().damaged) == [1]
    assert commit(registry, parents=(2,), name="job").number == 3
    assert registry.committed("job").number == 3
    registry.promote(3, expected=2)
    assert registry.rollback().version == 2
    with pytest.raises(RegistryError, match=r"000001.manifest\.json"):
        registry.rollback()
    assert registry.promoted().number == 2
    registry.promote(3, expected=2)
    assert registry.gc(keep=1).versions == (1,)


def test_the_manifest_of_another_version_is_refused(four):
    content = (four.version(2).path / "manifest.json").read_bytes()
    path = four.version(1).path / "manifest.json"
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(RegistryError, match="manifest of version 1, got that of version 2"):
        four.version(1)


@pytest.mark.parametrize(
    ("old", "new"), [('"version": 2', '"version": 3'), ("{", ""), ("null", "1")]
)
def test_a_damaged_old_promotion_stops_nothing_but_itself(old, new, registry, caplog):
    for number in (1, 2, 3):
        commit(registry, text=f"v{number}")
        registry.promote(number, expected=number - 1 or None)
    records = registry.path / "promotions"
    damage(records / ("000001.json" if old == "null" else "000002.json"), old, new)
    assert registry.promoted().number == 3
    assert [record.sequence for record in registry.history()][-1] == 3
    assert len(registry.history()) == 2
    assert "expected a record of a promotion" in caplog.text
    commit(registry, text="v4")
    assert registry.promote(4, expected=3).sequence == 4
    assert registry.rollback().version == 3
    registry.gc(keep=1)
    assert served_text(registry) == {3: "v3"}


def test_a_damaged_newest_promotion_is_told_with_the_way_out(four):
    newest = four.path / "promotions" / "000003.json"
    damage(newest, '"version": 3', '"version": 2')
    for change in (four.promoted, four.rollback, lambda: four.promote(4, expected=3)):
        with pytest.raises(RegistryError, match=r"000003\.json: .* It is the newest one"):
            change()
    newest.unlink()
    assert four.promoted().number == 2
    four.promote(4, expected=2)
    assert served_text(four) == {4: "v4"}


def test_a_damaged_version_in_force_gives_way_to_another(four):
    """It is damaged where it is stored and gone where it is served."""
    damage(four.version(3).path / "manifest.json", "{", "(")
    (four.serving_path / "3").rename(four.path / "elsewhere")
    four.promote(4, expected=3)
    assert served_text(four) == {4: "v4"}


def test_a_damaged_draft_stops_nothing_but_itself(four, caplog):
    with four.draft(parents=(1,), name="broken") as draft:
        damage(draft.path.parent / "draft.json", "1", "2")
    (four.path / "drafts" / "a file").touch()
    assert four.gc(keep=1).versions == (1,)
    assert "draft.json" in caplog.text
    with pytest.raises(RegistryError, match=r"draft\.json: expected the parents"):
        four.draft(parents=(3,), name="broken")
    assert commit(four).number == 5


def test_registries_without_checksums_go_on(four):
    """Format 1 of the manifest, and records of promotions from before they had a format."""
    for path in [*four.path.glob("versions/*/manifest.json"), *four.path.glob("promotions/*")]:
        body = json.loads(path.read_text())
        del body["sha256"]
        body = {**body, "format": 1} if path.name == "manifest.json" else body
        if path.name != "manifest.json":
            del body["format"]
        path.chmod(0o644)
        path.write_text(json.dumps(body))
    assert [version.number for version in four.versions()] == [1, 2, 3, 4]
    assert four.rollback().version == 2
    path = four.version(1).path / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(RegistryError, match="it says None"):
        four.version(1)


@pytest.mark.parametrize("name", ["versions/000003/manifest.json", "promotions/000003.json"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_folder_or_device_in_place_of_a_record_is_refused_at_once(four, name, make):
    path = four.path / name
    path.unlink()
    make(path)
    with pytest.raises(RegistryError, match=f"{path.name}: expected"):
        four.promoted()


@pytest.mark.parametrize("name", ["versions", "promotions"])
@pytest.mark.parametrize("make", [Path.touch, os.mkfifo, lambda path: path.symlink_to("gone")])
def test_a_registry_does_not_begin_anew_beside_what_is_in_its_way(four, name, make):
    path = four.path / name
    path.rename(four.path / "moved")
    make(path)
    with pytest.raises(RegistryError, match=f"{name}: expected a folder"):
        four.promoted() if name == "promotions" else four.versions()
    with pytest.raises(RegistryError, match=f"{name}: expected a folder"):
        four.promote(4, expected=None)
