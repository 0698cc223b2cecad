"""Kills a child at each file operation of a change of a registry and looks at what is left.

A program of its own, because it forks: `registry_kills.py FOLDER`. It prints how many kills
it survived, by change. Python's audit events are the places to kill at, so the library needs
no fail points.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

from cloud.registry import Registry

ERASED = "w2"
_EVENTS = ("open", "os.", "shutil.", "fcntl.")


def commit(registry, *, text, name=None):
    with registry.draft(name=name) as draft:
        (draft.path / "saved_model" / "variables").mkdir(parents=True, exist_ok=True)
        (draft.path / "saved_model" / "saved_model.pb").write_text(text)
        (draft.path / "saved_model" / "variables" / "data").write_text(text * 100)
        (draft.path / "item_table.npz").write_text(text)
        return draft.commit(metrics={"hr@10": 0.5})


def write_erased(folder):
    (folder / "saved_model" / "variables").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_text(ERASED)
    (folder / "saved_model" / "variables" / "data").write_text(ERASED * 100)
    (folder / "item_table.npz").write_text(ERASED)


def text_of(registry):
    return (registry.version(2).path / "item_table.npz").read_text()


def check(registry, allowed, *, may_serve_none=False):
    """What must hold at each moment; repeated reads must agree."""
    promoted = registry.promoted()
    assert promoted is not None
    assert promoted.number in allowed, (promoted.number, allowed)
    for version in registry.versions():
        version.verify()
    served = registry.served()
    assert served or may_serve_none
    for number in served:
        text = (registry.serving_path / str(number) / "saved_model.pb").read_text()
        assert text == f"v{number}" or (number == 2 and text == ERASED)
        data = (registry.serving_path / str(number) / "variables" / "data").read_text()
        assert data == text * 100
    assert set(served[:1]) <= allowed, served


def change(registry, kind):
    if kind == "commit":
        commit(registry, text="v4", name="job")
    elif kind == "promote":
        registry.promote(3, expected=2)
    elif kind == "rollback":
        registry.rollback(expected=2)
    elif kind == "rewrite":
        if text_of(registry) != ERASED:
            registry.rewrite(2, write_erased, data={"redacted": [7]})
        registry.sweep()
    else:
        registry.gc(keep=1, draft_hours=0)


def is_done(registry, kind):
    if kind == "commit":
        return registry.committed("job") is not None
    return kind == "rollback" and registry.promoted().number == 1


def run_child(path, kind, kill_at):
    """0 when the change was finished before the kill."""
    pid = os.fork()
    if pid == 0:
        seen = 0

        def hook(event, args):
            nonlocal seen
            del args
            if event.startswith(_EVENTS):
                seen += 1
                if seen == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            change(Registry(path), kind)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def main(folder):
    os.fsync = lambda _: None  # a kill does not need it, and it takes most of the time
    base = folder / "base"
    registry = Registry(base)
    for number in (1, 2, 3):
        commit(registry, text=f"v{number}")
    registry.promote(1, expected=None)
    registry.promote(2, expected=1)
    allowed = {
        "commit": {2}, "promote": {2, 3}, "rollback": {1, 2}, "gc": {2}, "rewrite": {2},
    }  # fmt: skip
    kills = {}
    for kind, numbers in allowed.items():
        kill_at = 0
        while True:
            kill_at += 1
            path = folder / "tried"
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(base, path)
            status = run_child(path, kind, kill_at)
            after = Registry(path)
            # What is served is taken away before it is made anew: its number stays.
            check(after, numbers, may_serve_none=kind == "rewrite")
            # The lock went with the process, and whoever comes next ends the work.
            if not is_done(after, kind):
                change(after, kind)
            after.gc(keep=9, draft_hours=0)
            expected = {"promote": 3, "rollback": 1}.get(kind, 2)
            check(after, {expected})
            assert after.served() == (expected,)
            assert not list((path / "drafts").iterdir())
            assert not (path / "trash").exists()
            if kind == "rewrite":
                assert after.version(2).manifest.data["redacted"] == [7]
                left = [each for each in path.rglob("*") if each.is_file()]
                assert not [each for each in left if each.read_bytes().startswith(b"v2")]
            if status == 0:
                break
            assert os.WTERMSIG(status) == signal.SIGKILL
        kills[kind] = kill_at - 1
    sys.stdout.write(json.dumps(kills))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
