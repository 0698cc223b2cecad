"""The doctor's first computation: it is done, or the step at which it is not is named."""

import json
import os
import signal

import pytest

from ecct_tf import trial

DONE = [["tensorflow", "2.14.1"], ["gpu", [[], 3]], ["federated", True], ["computation", 3]]


def script(events, last=""):
    lines = [f"print({json.dumps(event)!r}, flush=True)" for event in events]
    return "\n".join(["import os, sys, time", *lines, last])


def rows(command, *, seconds=30, federated=True):
    found = trial.try_out(deadline_seconds=seconds, command=command, federated=federated)
    return {check.name: check for check in found}


def test_what_is_done_is_ok():
    found = rows(script(DONE))
    assert found["First computation"].status == "ok"
    assert "1 + 2 = 3" in found["First computation"].found
    assert found["GPU"].status == "ok"


@pytest.mark.parametrize("done", range(4))
def test_a_step_that_hangs_is_named_at_the_deadline(done):
    found = rows(script(DONE[:done], "time.sleep(600)"), seconds=1)["First computation"]
    step = ["importing TensorFlow", "looking for GPUs", "importing TensorFlow Fed", "computing 1"]
    assert found.status == "error"
    assert "not done after 1 s" in found.found
    assert step[done] in found.found


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("sys.exit('no such library: libfoo.so')", ["exit code 1", "libfoo.so"]),
        (f"os.kill(os.getpid(), {signal.SIGKILL.value})", ["killed by signal 9"]),
        ("raise ImportError('bad numpy')", ["exit code 1", "bad numpy"]),
    ],
)
def test_a_step_that_fails_is_named_with_its_message(ending, words):
    found = rows(script(DONE[:1], ending))["First computation"]
    assert found.status == "error"
    assert "looking for GPUs failed" in found.found
    for word in words:
        assert word in found.found


def test_a_computation_without_tff_and_a_gpu_are_told():
    events = [["tensorflow", "2.20.0"], ["gpu", [["GPU:0", "GPU:1"], 3]]]
    found = rows(script(events), federated=False)
    assert found["First computation"].found == "TensorFlow 2.20.0: 1 + 2 = 3"
    assert found["GPU"].found == "TensorFlow sees 2: GPU:0, GPU:1"


def test_the_process_is_gone_after_its_deadline(tmp_path):
    marker = tmp_path / "pid"
    hanging = (
        f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    rows(hanging, seconds=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)


def test_modules_of_the_current_folder_are_not_taken(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)
    assert rows("import json\n" + script(DONE))["First computation"].status == "ok"
