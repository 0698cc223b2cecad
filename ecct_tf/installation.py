"""How this copy of the library was installed, and the command that adds what it lacks.

A clone has a Makefile and lock files, a wheel brings its own copies of the lock files; pip, uv and
conda want different commands. An error that names a missing part names the command that fits the
environment in which it is raised.
"""

import os
import platform
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ecct_tf.errors import MissingPartError
from ecct_tf.parts import Part, is_installed, members, missing_from, requirement_text

__all__ = [
    "Installation",
    "Installer",
    "install_command",
    "install_packages",
    "lock_for",
    "require",
    "require_engine",
    "this_installation",
]

Installer = Literal["make", "pip", "uv", "conda"]

_LINUX = ("Linux", "x86_64")
# Lock files, by the Python they are for: below the root of a clone, in the package of a wheel.
_LOCKS = {
    (3, 11): ("requirements.lock", "lock_files/simulation.lock"),
    (3, 12): ("requirements/current.lock", "lock_files/current.lock"),
}
# Environments that the Makefile makes, and the target that makes each.
_MADE = {".venv": "install", ".venv-current": "install-current", ".venv-beam": "test-beam"}


@dataclass(frozen=True)
class Installation:
    """An environment, and the copy of the library that runs in it.

    Attributes:
      installer: What installs packages there; `make` for the environments that a clone makes.
      python: Its Python.
      version: Major and minor version of that Python.
      prefix: Folder of the environment.
      package: Folder of the package `ecct_tf`.
      root: The clone that the library runs from; None for an installed wheel.
      system: Operating system and machine, such as `("Linux", "x86_64")`.
      managed: Whether the system's package manager forbids others to install there.
      has_pip: Whether the environment has pip.
    """

    installer: Installer
    python: Path
    version: tuple[int, int]
    prefix: Path
    package: Path
    root: Path | None = None
    system: tuple[str, str] = _LINUX
    managed: bool = False
    has_pip: bool = True


def this_installation() -> Installation:
    """The one that this process runs in."""
    package = Path(__file__).parent
    root = package.parent
    is_clone = (root / "Makefile").is_file() and (root / "requirements.lock").is_file()
    prefix = Path(sys.prefix)
    forbidden = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    return Installation(
        installer=_installer(prefix, root if is_clone else None),
        python=Path(sys.executable),
        version=sys.version_info[:2],
        prefix=prefix,
        package=package,
        root=root if is_clone else None,
        system=(platform.system(), platform.machine()),
        managed=sys.prefix == sys.base_prefix and forbidden.is_file(),
        has_pip=is_installed("pip"),
    )


def _installer(prefix: Path, root: Path | None) -> Installer:
    """Who installs packages into `prefix`.

    A virtual environment on top of conda's Python is pip's: it has no `conda-meta` of its own.
    """
    if root is not None and prefix.name in _MADE and prefix.parent.resolve() == root.resolve():
        return "make"
    if (prefix / "conda-meta").is_dir():
        return "conda"
    settings = prefix / "pyvenv.cfg"
    text = settings.read_text(encoding="utf-8", errors="replace") if settings.is_file() else ""
    return "uv" if re.search(r"^uv\s*=", text, flags=re.MULTILINE) else "pip"


def lock_for(here: Installation) -> Path | None:
    """The lock file that was compiled for this Python and system; None where there is none.

    Linux on x86-64 has one for Python 3.11, with the simulation, and one for Python 3.12 with
    current TensorFlow.
    """
    if here.version not in _LOCKS or here.system != _LINUX:
        return None
    in_clone, in_package = _LOCKS[here.version]
    path = here.package / in_package if here.root is None else here.root / in_clone
    return path if path.is_file() else None


def install_command(part: Part, here: Installation | None = None) -> str:
    """What to type to add `part`; where no command can, what to do instead.

    Args:
      part: an extra of the distribution.
      here: by default the installation of this process.
    """
    here = here or this_installation()
    if part == "simulation" and here.system != _LINUX:
        return (
            "use a container or a machine with Linux on x86-64: TensorFlow Federated 0.87.0 is "
            f"built for nothing else, and this is {' '.join(here.system)}"
        )
    with_tff = part == "simulation" or is_installed("tensorflow-federated")
    if part == "litert" and with_tff:
        return _litert_beside(here)
    if part == "beam" and (with_tff or here.installer == "make"):
        return _beam_beside(here)
    if here.installer == "make" and part != "litert":
        return _make(here, "install" if part == "simulation" else _MADE[here.prefix.name])
    if part == "simulation" and here.version != (3, 11):
        return _make(here, "install") if here.root else _new_environment(here)
    if here.managed:
        return _new_environment(here)
    lock = lock_for(here)
    if with_tff and lock is not None:
        # What TFF pins no longer resolves, and a package added freely would break its pins.
        return f"{_pip(here)} --no-deps --require-hashes -r {_shown(lock)}"
    names = missing_from(part) or members(part)
    return install_packages((requirement_text(name, part) for name in names), here)


def install_packages(requirements: Iterable[str], here: Installation | None = None) -> str:
    """What to type to install packages, each given as `name` or `name>=1`."""
    here = here or this_installation()
    if here.managed:
        return _new_environment(here)
    return " ".join([_pip(here), *(shlex.quote(text) for text in requirements)])


def require(part: Part, *, by: str) -> None:
    """Refuses to go on without a part.

    Args:
      part: an extra of the distribution.
      by: who needs it, such as `ecct export`.

    Raises:
      MissingPartError: when a distribution of the part is not installed.
    """
    missing = missing_from(part)
    here = this_installation()
    unavailable = part == "simulation" and here.version != (3, 11)
    if not missing and not unavailable:
        return
    lacking = "Python 3.11" if unavailable else ", ".join(missing)
    raise MissingPartError(
        f"{by} needs ECCT-TF's part `{part}`; this installation lacks {lacking}. To add it:\n"
        f"  {install_command(part, here)}"
    )


def require_engine(engine: Literal["tff", "local"] | None, *, by: str) -> None:
    """Refuses to go on without what a run's engine works with.

    Args:
      engine: as `runtime.engine` names it; None for TFF where it is installed.
      by: who needs it, such as `ecct simulate`.

    Raises:
      MissingPartError: when a distribution of the part is not installed.
    """
    with_tff = engine == "tff" or is_installed("tensorflow-federated")
    require("simulation" if with_tff else "local", by=by)


def _pip(here: Installation) -> str:
    """The beginning of the command that installs into this environment."""
    python = _shown(here.python)
    if here.installer == "uv":
        return f"uv pip install --python {python}"
    if here.has_pip:
        return f"{python} -m pip install"
    if here.installer == "conda":
        return f"conda install --prefix {_shown(here.prefix)} pip && {python} -m pip install"
    return f"{python} -m ensurepip && {python} -m pip install"


def _new_environment(here: Installation) -> str:
    command = {
        "uv": "uv venv --python 3.11 ecct-env",
        "conda": "conda create --prefix ecct-env python=3.11",
    }.get(here.installer, "python3.11 -m venv ecct-env")
    return (
        f"make an environment of Python 3.11 with `{command}` and install ecct-tf there; its "
        "`ecct doctor` names what comes next"
    )


def _litert_beside(here: Installation) -> str:
    """LiteRT and TFF want different packages: LiteRT needs a separate environment."""
    if here.root is not None:
        python = _shown(here.root / ".venv-current" / "bin" / "python")
        return f"{_make(here, 'install-current')}, then add `--litert-python {python}`"
    make, pip = "python3 -m venv litert-env", "litert-env/bin/python -m pip install"
    if here.installer == "uv":
        make, pip = "uv venv litert-env", "uv pip install --python litert-env/bin/python"
    package = shlex.quote(requirement_text("ai-edge-litert", "litert"))
    return f"{make} && {pip} {package}, then add `--litert-python litert-env/bin/python`"


def _beam_beside(here: Installation) -> str:
    """Beam keeps other versions of what TFF and current TensorFlow want."""
    if here.root is not None:
        return f"{_make(here, 'test-beam')}, then use {_shown(here.root / '.venv-beam/bin/ecct')}"
    make, pip = "python3 -m venv beam-env", "beam-env/bin/python -m pip install"
    if here.installer == "uv":
        make, pip = "uv venv beam-env", "uv pip install --python beam-env/bin/python"
    return f"{make} && {pip} 'ecct-tf[beam]', from the wheel"


def _make(here: Installation, target: str) -> str:
    root = here.root or Path()
    folder = "" if root.resolve() == Path.cwd().resolve() else f"-C {_shown(root)} "
    return f"make {folder}{target}"


def _shown(path: Path) -> str:
    """A path for a shell: `python` where it finds that one, below here relative, else whole."""
    if path == Path(sys.executable) and shutil.which("python") == str(path):
        return "python"
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)
