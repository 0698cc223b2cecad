import dataclasses
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement as ParsedRequirement
from packaging.specifiers import SpecifierSet

from ecct_tf import doctor, package_checks
from ecct_tf.installation import this_installation

ROOT = Path(__file__).parent.parent
NOT_INSTALLED = None


def installed(monkeypatch, **versions):
    """Makes `importlib.metadata` tell these versions; underscores stand for hyphens."""
    told = {name.replace("_", "-"): version for name, version in versions.items()}
    real = importlib.metadata.version

    def version(name):
        if name not in told:
            return real(name)
        if told[name] is NOT_INSTALLED:
            raise importlib.metadata.PackageNotFoundError(name)
        return told[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.fixture
def made_by_make(monkeypatch):
    """The environment of a clone, whatever the tests run in."""
    here = dataclasses.replace(this_installation(), installer="make", prefix=ROOT / ".venv")
    monkeypatch.setattr(package_checks, "this_installation", lambda: here)
    monkeypatch.chdir(ROOT)


def check_named(name):
    (check,) = [check for check in doctor.diagnose() if check.name == name]
    return check


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("tensorflow-federated", "0.86.0"),
        ("tensorflow", "2.15.0"),
        ("jaxlib", "0.4.14"),
        ("typing-extensions", "4.12.2"),
        ("numpy", "1.26.0"),
        ("pyarrow", "22.0.0"),
    ],
)
@pytest.mark.usefixtures("made_by_make")
def test_wrong_version_is_an_error_with_a_remedy(monkeypatch, name, wrong):
    installed(monkeypatch, **{name: wrong})
    check = check_named(name)
    assert check.status == "error"
    assert wrong in check.found
    assert "expected" in check.found
    assert check.remedy == "make install"


def test_right_version_is_ok_and_needs_no_remedy(monkeypatch):
    installed(monkeypatch, tensorflow_federated="0.87.0")
    assert check_named("tensorflow-federated") == doctor.Check(
        "tensorflow-federated", "ok", "0.87.0"
    )


@pytest.mark.usefixtures("made_by_make")
def test_in_a_clone_s_environment_a_missing_part_is_an_error(monkeypatch):
    installed(monkeypatch, tensorflow_federated=NOT_INSTALLED)
    check = check_named("part simulation")
    assert (check.status, check.remedy) == ("error", "make install")
    assert check.found == "lacks tensorflow-federated"


def test_of_a_wheel_a_missing_part_is_a_choice_and_half_of_one_an_error(monkeypatch):
    here = dataclasses.replace(this_installation(), installer="pip", root=None)
    monkeypatch.setattr(package_checks, "this_installation", lambda: here)
    without = dict.fromkeys(
        ["tensorflow_federated", "tensorflow_recommenders", "tf_keras"], NOT_INSTALLED
    )
    installed(monkeypatch, **without)
    check = check_named("part cloud")
    assert check.status == "warning"
    assert "`ecct export`" in check.found
    assert "'tensorflow-recommenders>=0.7.7' 'tf-keras>=2.15'" in check.remedy
    # Its packages are no rows of their own, and TFF's pins bind nobody.
    assert not [c for c in doctor.diagnose() if c.name in ("tf-keras", "jaxlib", "TFF worker")]
    installed(monkeypatch, tensorflow_recommenders="0.7.7")
    assert check_named("part cloud").status == "error"


def test_missing_package_of_the_base_is_an_error_but_pyarrow_may_be_missing(monkeypatch):
    installed(monkeypatch, dacite=NOT_INSTALLED, pyarrow=NOT_INSTALLED)
    assert check_named("dacite").status == "error"
    assert check_named("pyarrow").status == "ok"


@pytest.mark.usefixtures("made_by_make")
def test_sources_that_were_never_installed_have_no_parts(monkeypatch):
    installed(monkeypatch, ecct_tf=NOT_INSTALLED)
    assert check_named("ecct-tf").status == "warning"
    assert not [check for check in doctor.diagnose() if check.name.startswith("part ")]


@pytest.mark.parametrize(
    ("python", "status"),
    [((3, 10), "error"), ((3, 11), "ok"), ((3, 12), "ok"), ((3, 14), "error")],
)
def test_python_version(python, status):
    assert doctor._check_python(python).status == status


def test_worker_binary_missing_not_executable_executable(monkeypatch, tmp_path):
    package = tmp_path / "tensorflow_federated"
    worker = package / "data" / "worker_binary"
    worker.parent.mkdir(parents=True)
    spec = importlib.util.spec_from_loader("tensorflow_federated", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)

    assert "no file" in check_named("TFF worker").found
    worker.touch(mode=0o644)
    assert "chmod +x" in check_named("TFF worker").remedy
    worker.chmod(0o755)
    assert check_named("TFF worker") == doctor.Check("TFF worker", "ok", str(worker))


def test_movielens_is_found_in_the_chosen_folder_and_in_the_cache(monkeypatch, tmp_path):
    cache, chosen = tmp_path / "cache", tmp_path / "chosen"
    monkeypatch.setattr(doctor, "cache_folder", lambda: cache)
    monkeypatch.setenv("ECCT_DATA", str(chosen))

    check = check_named("MovieLens-100K")
    assert check.status == "warning"
    assert str(chosen) in check.found
    assert "ECCT_DATA" in check.remedy
    assert "--dataset synthetic" in check.remedy

    copy = cache / "ml-100k" / "u.data"
    copy.parent.mkdir(parents=True)
    copy.touch()
    assert check_named("MovieLens-100K").found == str(copy)

    nearer = chosen / "ml-100k.inter"
    chosen.mkdir()
    nearer.touch()
    assert check_named("MovieLens-100K").found == str(nearer)


def test_little_memory_and_disk_are_warnings(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_available_memory_bytes", lambda: 2**20)
    monkeypatch.setattr(doctor, "_MIN_DISK_BYTES", 2**80)
    assert check_named("Memory").status == "warning"
    assert doctor._check_disk(tmp_path).status == "warning"


def process(proc, pid, name, parent_pid, state="S"):
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "comm").write_text(f"{name}\n")
    (folder / "stat").write_text(f"{pid} ({name}) {state} {parent_pid} 0 0\n")


def test_only_workers_without_their_parent_are_orphaned(tmp_path):
    process(tmp_path, 1, "init", 0)
    process(tmp_path, 50, "python", 1)
    process(tmp_path, 60, "systemd", 1)
    process(tmp_path, 101, "worker_binary", 1)
    process(tmp_path, 102, "worker_binary", 50)
    process(tmp_path, 103, "worker_binary", 60)
    process(tmp_path, 104, "worker_binary", 1, state="Z")
    found = {worker.pid: worker.orphaned for worker in doctor._scan_workers(tmp_path)}
    assert found == {101: True, 102: False, 103: True}


def test_stray_workers_are_a_warning_with_their_pids(monkeypatch):
    workers = (doctor.WorkerProcess(7, 1, True), doctor.WorkerProcess(8, 2, False))
    monkeypatch.setattr(doctor, "worker_processes", lambda: workers)
    check = check_named("Stray workers")
    assert check.status == "warning"
    assert check.remedy == "run `kill 7`"


def test_the_lock_satisfies_every_requirement():
    lock = (ROOT / "requirements.lock").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, flags=re.MULTILINE))
    for requirement in doctor.required((3, 11)):
        pin = pins[requirement.distribution]
        assert SpecifierSet(requirement.versions).contains(pin), requirement


def test_what_setup_declares_is_checked():
    declared = [ParsedRequirement(text) for text in importlib.metadata.requires("ecct-tf") or []]
    for part in ("", "simulation", "cloud", "serve"):
        applying = {"extra": part, "python_version": "3.11"}
        names = {d.name for d in declared if d.marker is None or d.marker.evaluate(applying)}
        assert names <= {requirement.distribution for requirement in doctor.required((3, 11))}


def test_no_tensorflow_import():
    code = (
        "import sys; from ecct_tf.doctor import diagnose; diagnose(); "
        "sys.exit(any(name.startswith(('tensorflow', 'jax')) for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
