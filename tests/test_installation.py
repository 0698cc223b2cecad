"""A missing part is named with the command that fits the installation."""

import dataclasses
import importlib.metadata
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ecct_tf import cli as command_line
from ecct_tf import installation, parts
from ecct_tf.commands import root
from ecct_tf.config import EdgeConfig, RunConfig
from ecct_tf.edge import check_edge_models
from ecct_tf.errors import MissingPartError
from ecct_tf.installation import Installation, install_command, lock_for
from ecct_tf.quiet import quiet_tensorflow
from ecct_tf.simulation import experiment
from ecct_tf.simulation.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
REQUIREMENTS = [
    "click>=8.1",
    'tensorflow-federated==0.87.0; python_version < "3.12" and extra == "simulation"',
    'tensorflow>=2.14.1; extra == "cloud"',
    'isal>=1.7; extra == "cloud"',
    'tensorflow>=2.14.1; extra == "export"',
    'ai-edge-litert>=2.3; extra == "litert"',
    'apache-beam>=2.70; extra == "beam"',
]
EXTRAS = {
    "ai-edge-litert",
    "apache-beam",
    "google-crc32c",
    "isal",
    "jax",
    "jaxlib",
    "pyarrow",
    "starlette",
    "tensorflow",
    "tensorflow-federated",
    "tensorflow-recommenders",
    "tf-keras",
    "uvicorn",
}


@pytest.fixture
def without(monkeypatch):
    """Makes distributions look as if they were not installed."""
    real = importlib.metadata.version

    def hide(names):
        def version(name):
            if name in names:
                raise importlib.metadata.PackageNotFoundError(name)
            return real(name)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return hide


@pytest.fixture
def declared(monkeypatch):
    """What `setup.py` would declare."""
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: REQUIREMENTS)
    for cached in (parts._declared, parts.base_requirements):
        cached.cache_clear()
    yield
    for cached in (parts._declared, parts.base_requirements):
        cached.cache_clear()


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel in an environment of pip, below the folder that commands are typed in."""
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "env/lib/ecct_tf"
    for name in ("simulation.lock", "current.lock"):
        path = package / "lock_files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Installation(
        installer="pip",
        python=tmp_path / "env/bin/python",
        version=(3, 11),
        prefix=tmp_path / "env",
        package=package,
    )


@pytest.fixture
def clone(wheel, tmp_path):
    """A clone, and an environment that its Makefile did not make."""
    for name in ("requirements.lock", "requirements/current.lock"):
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / name).touch()
    return dataclasses.replace(wheel, root=tmp_path / "clone")


LOCKED = "-m pip install --no-deps --require-hashes -r"


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, f"env/bin/python {LOCKED} env/lib/ecct_tf/lock_files/simulation.lock"),
        (
            {"installer": "uv"},
            "uv pip install --python env/bin/python --no-deps --require-hashes -r "
            "env/lib/ecct_tf/lock_files/simulation.lock",
        ),
        (
            {"installer": "conda"},
            f"env/bin/python {LOCKED} env/lib/ecct_tf/lock_files/simulation.lock",
        ),
        (
            {"installer": "conda", "has_pip": False},
            "conda install --prefix env pip && "
            f"env/bin/python {LOCKED} env/lib/ecct_tf/lock_files/simulation.lock",
        ),
        (
            {"has_pip": False},
            "env/bin/python -m ensurepip && "
            f"env/bin/python {LOCKED} env/lib/ecct_tf/lock_files/simulation.lock",
        ),
    ],
)
def test_a_wheel_adds_the_simulation_from_its_own_lock(wheel, changes, command):
    assert install_command("simulation", dataclasses.replace(wheel, **changes)) == command


@pytest.mark.parametrize(
    ("installer", "new"),
    [
        ("pip", "`python3.11 -m venv ecct-env`"),
        ("uv", "`uv venv --python 3.11 ecct-env`"),
        ("conda", "`conda create --prefix ecct-env python=3.11`"),
    ],
)
@pytest.mark.parametrize("change", [{"version": (3, 12)}, {"managed": True}])
def test_where_it_cannot_be_added_a_new_environment_is_named(wheel, installer, new, change):
    told = install_command("simulation", dataclasses.replace(wheel, installer=installer, **change))
    assert new in told
    assert "pip install" not in told


def test_a_system_that_tff_is_not_built_for_is_named(wheel):
    mac = dataclasses.replace(wheel, system=("Darwin", "arm64"))
    assert "this is Darwin arm64" in install_command("simulation", mac)
    assert lock_for(mac) is None


def test_a_clone_is_told_its_makefile(clone, tmp_path, monkeypatch):
    made = dataclasses.replace(clone, installer="make", prefix=clone.root / ".venv")
    assert install_command("simulation", made) == "make -C clone install"
    current = dataclasses.replace(made, prefix=clone.root / ".venv-current", version=(3, 12))
    assert install_command("cloud", current) == "make -C clone install-current"
    assert install_command("simulation", current) == "make -C clone install"
    own = install_command("simulation", clone)
    assert own == f"env/bin/python {LOCKED} clone/requirements.lock"
    monkeypatch.chdir(tmp_path / "clone")
    assert install_command("simulation", made) == "make install"


@pytest.mark.usefixtures("declared")
def test_other_parts_are_added_by_their_packages(wheel, without):
    without(EXTRAS)
    assert install_command("cloud", wheel) == (
        "env/bin/python -m pip install 'tensorflow>=2.14.1' 'isal>=1.7'"
    )
    uv = dataclasses.replace(wheel, installer="uv", version=(3, 13))
    assert install_command("export", uv) == (
        "uv pip install --python env/bin/python 'tensorflow>=2.14.1'"
    )
    assert install_command("litert", wheel).endswith("pip install 'ai-edge-litert>=2.3'")
    assert install_command("beam", wheel).endswith("pip install 'apache-beam>=2.70'")


@pytest.mark.usefixtures("declared")
def test_beside_tff_nothing_is_added_freely(wheel, without):
    without(EXTRAS - {"tensorflow-federated"})
    assert install_command("cloud", wheel).endswith("lock_files/simulation.lock")
    told = install_command("litert", wheel)
    assert told.startswith("python3 -m venv litert-env && litert-env/bin/python -m pip install")
    assert told.endswith("add `--litert-python litert-env/bin/python`")
    told = install_command("beam", wheel)
    assert told.startswith("python3 -m venv beam-env && beam-env/bin/python -m pip install")


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize("made", [".venv", ".venv-current", ".venv-beam"])
def test_a_clone_has_an_environment_of_its_own_for_beam(clone, without, made):
    without(EXTRAS)
    here = dataclasses.replace(clone, installer="make", prefix=clone.root / made, version=(3, 12))
    told = "make -C clone test-beam, then use clone/.venv-beam/bin/ecct"
    assert install_command("beam", here) == told


@pytest.mark.parametrize(
    ("prefix", "files", "expected"),
    [
        (".venv", {}, "make"),
        (".venv-current", {}, "make"),
        ("mine", {"pyvenv.cfg": "home = /usr\nversion = 3.11\n"}, "pip"),
        ("mine", {"pyvenv.cfg": "home = /usr\nuv = 0.9.1\n"}, "uv"),
        ("mine", {"conda-meta/history": ""}, "conda"),
    ],
)
def test_the_installer_is_recognized_by_what_it_leaves(tmp_path, prefix, files, expected):
    for name, text in files.items():
        (tmp_path / prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / prefix / name).write_text(text)
    assert installation._installer(tmp_path / prefix, tmp_path) == expected


def test_an_environment_of_another_clone_is_not_made_by_this_one(tmp_path):
    assert installation._installer(tmp_path / "other/.venv", tmp_path / "clone") == "pip"
    assert installation._installer(tmp_path / ".venv", None) == "pip"


@pytest.mark.usefixtures("declared")
def test_require_names_part_packages_and_command(without):
    without({"isal"})
    with pytest.raises(
        MissingPartError, match=r"`ecct x` needs ECCT-TF's part `cloud`.* lacks isal"
    ):
        installation.require("cloud", by="`ecct x`")
    installation.require("export", by="`ecct y`")


@pytest.mark.usefixtures("declared")
def test_a_module_belongs_to_the_distribution_that_is_to_be_installed():
    assert parts.distribution_of("tensorflow.lite.python") == "tensorflow"
    assert parts.distribution_of("flatbuffers") == "tensorflow"
    assert parts.distribution_of("ai_edge_litert") == "ai-edge-litert"
    assert parts.distribution_of("ecct_tf.typo") is None
    assert parts.requirement_text("isal") == "isal>=1.7"
    assert parts.requirement_text("click") == "click>=8.1"


NEEDY = {
    "simulate": "local",
    "simulate --set runtime.engine=tff": "simulation",
    "resume run": "local",
    "resume run --engine tff": "simulation",
    "baselines": "local",
    "export run --out out": "cloud",
    "evaluate a.tflite --run run": "cloud",
    "verify a.tflite --run run": "cloud",
    "verify a.tflite": "export",
    "inspect a.tflite": "export",
    "cloud retrain --out job": "cloud",
    "cloud publish registry --out out": "cloud",
    "cloud log check --config job.yaml": "cloud",
    "cloud log export --config job.yaml --out a.parquet": "cloud",
    "cloud cycle --out cycles": "cloud",
    "cloud serve public --log log --tokens tokens": "serve",
    "cloud token issue tokens --user 1": "serve",
    "cloud token list tokens": "serve",
}


@pytest.mark.parametrize("line", NEEDY)
def test_a_command_without_its_part_says_how_to_add_it(line, without, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(RunFolder, "open", lambda _: RunFolder(tmp_path, RunConfig()))
    without(EXTRAS)
    result = CliRunner().invoke(command_line.cli, line.split())
    assert isinstance(result.exception, MissingPartError)
    if sys.version_info >= (3, 12) and NEEDY[line] == "simulation":
        assert "Python 3.11" in str(result.exception)
    name = " ".join(word for word in line.split()[:3] if word in "cloud log check export")
    assert f"part `{NEEDY[line]}`" in str(result.exception)
    assert f"`ecct {name or line.split()[0]}" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_missed_in_the_midst_is_named(monkeypatch, capsys, without):
    without({"rich"})
    monkeypatch.setitem(sys.modules, "rich.table", None)
    monkeypatch.setattr(sys, "argv", ["ecct", "doctor"])
    error = ModuleNotFoundError("No module named 'rich'", name="rich")
    monkeypatch.setattr(root, "cli", lambda **_: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
    assert "rich is not installed. To add it:" in capsys.readouterr().err


def test_a_module_of_ours_that_is_missing_stays_a_defect(monkeypatch):
    error = ModuleNotFoundError("No module named 'ecct_tf.typo'", name="ecct_tf.typo")
    monkeypatch.setattr(root, "cli", lambda **_: (_ for _ in ()).throw(error))
    with pytest.raises(ModuleNotFoundError):
        command_line.main()


def test_the_lock_files_go_with_a_wheel(tmp_path):
    """What is built of the sources holds them, and `ecct doctor --lock` names the right one."""
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    folder = tmp_path / "ecct_tf/lock_files"
    assert (folder / "simulation.lock").read_bytes() == (ROOT / "requirements.lock").read_bytes()
    current = ROOT / "requirements/current.lock"
    assert (folder / "current.lock").read_bytes() == current.read_bytes()
    printed = subprocess.run(
        [sys.executable, "-m", "ecct_tf.cli", "doctor", "--lock"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    name = "simulation.lock" if sys.version_info[:2] == (3, 11) else "current.lock"
    assert printed == f"{folder / name}\n"


# Hides the extras, runs each line, and tells after which of them TensorFlow was imported.
_IMPORTS = """
import importlib.metadata, json, sys
from click.testing import CliRunner
from ecct_tf.cli import cli

real, (lines, extras) = importlib.metadata.version, json.loads(sys.argv[1])

def version(name):
    if name in extras:
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)

importlib.metadata.version = version
for line in lines:
    CliRunner().invoke(cli, line.split())
    if "tensorflow" in sys.modules:
        sys.exit(line)
"""


def test_no_command_imports_tensorflow_before_it_is_made_quiet(tmp_path):
    """TensorFlow reads its settings when it is imported: later ones leave its noise."""
    arguments = json.dumps([list(NEEDY), sorted(EXTRAS)])
    subprocess.run(
        [sys.executable, "-c", _IMPORTS, arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )


def test_what_needs_no_tensorflow_runs_without_it_and_would_have_it_quiet(tmp_path):
    """Those are the commands of a plain wheel."""
    lines = [
        ["new", "shop"],
        ["data", "check", "shop/schema.yaml"],
        ["data", "check", "shop/schema.yaml", "--set", "edge.tiers={attention: 1.0}"],
    ]
    code = (
        "import json, os, sys\n"
        "sys.modules['tensorflow'] = None\n"
        "os.environ.pop('TF_CPP_MIN_LOG_LEVEL', None)\n"
        "from ecct_tf.cli import cli\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    cli(line, standalone_mode=False)\n"
        "assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == '3'\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, json.dumps(lines)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("tiers", [{"mlp": 1.0}, {"linear": 0.5, "attention": 0.5}], ids=str)
def test_memory_is_estimated_without_tensorflow_as_models_read(monkeypatch, tiers):
    config = RunConfig(edge=EdgeConfig(tiers=tiers))
    models = check_edge_models(config.edge, config.features).values()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    built = {read for model in models for read in model.reads if read in ("slots", "items")}
    assert experiment._reads(config) == built


@pytest.mark.parametrize(
    ("level", "given", "expected"),
    [(logging.WARNING, None, "3"), (logging.INFO, None, "0"), (logging.WARNING, "1", "1")],
    ids=["quiet", "-v", "as the environment has it"],
)
def test_tensorflow_is_quiet_unless_asked(monkeypatch, level, given, expected):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if given is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", given)
    loggers = logging.getLogger("ecct_tf"), logging.getLogger("tensorflow")
    before = [logger.level for logger in loggers]
    loggers[0].setLevel(level)
    try:
        quiet_tensorflow()
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == expected
        assert loggers[0].isEnabledFor(logging.WARNING)
        assert loggers[1].isEnabledFor(logging.WARNING) == (level == logging.INFO)
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)
        if given is None:
            del os.environ["TF_CPP_MIN_LOG_LEVEL"]
