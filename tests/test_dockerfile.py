"""The Dockerfile uses what the project has; it is read, not built."""

import json
import re
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()


def _arguments(instruction):
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{instruction} ")]


def test_its_python_is_the_one_that_the_makefile_asks_for():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (wanted,) = re.findall(r"^PYTHON \?= (python3\.\d+)$", makefile, flags=re.MULTILINE)
    (image,) = _arguments("FROM")
    assert image.startswith(wanted.replace("python", "python:"))


def test_what_it_copies_is_there_and_is_enough_to_install():
    copied = {name for line in _arguments("COPY") for name in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    packages = set(re.findall(r'"(\w+)\.\*"', setup))
    assert packages | {"Makefile", "requirements.lock", "setup.py", "pyproject.toml"} <= copied


def test_the_targets_that_it_makes_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    made = [target for line in _arguments("RUN") for target in re.findall(r"\bmake (\w+)", line)]
    assert made
    for target in made:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_it_starts_the_command_of_the_distribution():
    (command,) = json.loads(_arguments("ENTRYPOINT")[0])
    assert command in {script.name for script in entry_points(group="console_scripts")}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv*"} <= set(ignored)
