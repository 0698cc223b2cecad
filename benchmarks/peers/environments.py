"""Environments of the peers, one beside the other in this folder, none of them the library's."""

import subprocess
import sys
from pathlib import Path

__all__ = ["ENVIRONMENTS", "install", "python_of"]

_HERE = Path(__file__).resolve().parent
ENVIRONMENTS = ("fedjax", "torch")


def install(name: str) -> None:
    """Makes the environment of `requirements/NAME.txt`, unless it has been made from that file."""
    folder = _folder(name)
    wanted = _requirements(name)
    stamp = folder / "installed.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-r", str(_HERE / f"requirements/{name}.txt")], check=True)
    # Written last: an interrupted installation is repeated.
    stamp.write_text(wanted)


def python_of(name: str) -> Path | None:
    """The interpreter of an environment; None where it is not installed as required."""
    stamp = _folder(name) / "installed.txt"
    if not stamp.is_file() or stamp.read_text() != _requirements(name):
        return None
    return _folder(name) / "bin/python"


def _folder(name: str) -> Path:
    return _HERE / f".venv-{name}"


def _requirements(name: str) -> str:
    return (_HERE / f"requirements/{name}.txt").read_text()
