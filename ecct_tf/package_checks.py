"""The packages and parts that are here, missing, or of a version that does not work.

Read from what is installed: nothing is imported, so that it answers at once and also where
TensorFlow cannot be imported.
"""

import importlib.metadata
import sys
from dataclasses import dataclass
from typing import Literal

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from ecct_tf.installation import install_command, install_packages, this_installation
from ecct_tf.parts import (
    DISTRIBUTION,
    NEEDED_BY,
    Part,
    base_requirements,
    is_installed,
    members,
    missing_from,
    requirement_text,
)

__all__ = ["Check", "Requirement", "Status", "check_packages", "required"]

Status = Literal["ok", "warning", "error"]

# Parts that nobody needs for the rest to be whole.
_OPTIONAL: tuple[Part, ...] = ("litert", "serve", "beam")
# A part is there, whole or in pieces, when this package is.
_MARKERS: dict[Part, str] = {
    "simulation": "tensorflow-federated",
    "local": "tensorflow-recommenders",
    "cloud": "tensorflow-recommenders",
    "export": "tensorflow",
    "litert": "ai-edge-litert",
    "serve": "starlette",
    "beam": "apache-beam",
}


@dataclass(frozen=True)
class Check:
    """One finding of `diagnose`.

    Attributes:
        name: What was looked at.
        status: `ok`, `warning` (works, with a limit) or `error` (will not work).
        found: What is there.
        remedy: What to do about it; empty when the status is `ok`.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Requirement:
    """A package and the versions of it that work.

    Attributes:
        distribution: Name of the distribution.
        versions: Version specifier, such as `==2.14.*`; empty for any version.
        simulation_only: Whether only the simulation needs it, and with it Python 3.11.
        optional: Whether its absence is fine.
        why: The reason for a bound that is not obvious.
    """

    distribution: str
    versions: str
    simulation_only: bool = False
    optional: bool = False
    why: str = ""


_ANYWHERE = (
    Requirement("click", ">=8.1"),
    Requirement("cryptography", ">=42", optional=True),
    Requirement("dacite", ">=1.8"),
    Requirement("google-crc32c", ">=1.6"),
    Requirement("isal", ">=1.7"),
    Requirement("jinja2", ">=3.1"),
    Requirement("matplotlib", ">=3.7"),
    Requirement("numpy", ">=1.25"),
    Requirement("packaging", ">=22.0"),
    Requirement("pandas", ">=2.0"),
    Requirement("platformdirs", ">=4.0"),
    Requirement("pooch", ">=1.8"),
    Requirement("pyyaml", ">=6.0"),
    Requirement("rich", ">=13.0"),
    Requirement("scikit-learn", ">=1.3"),
    Requirement("scipy", ">=1.9.3"),
    Requirement("starlette", ">=0.40", optional=True),
    Requirement("tqdm", ">=4.64"),
    Requirement("uvicorn", ">=0.30", optional=True),
    Requirement("tensorflow-recommenders", ">=0.7.7"),
    Requirement("tf-keras", ">=2.15"),
)
_PINNED_BY_TFF = "TFF 0.87.0 needs it"
_SIMULATION = (
    Requirement("tensorflow", "==2.14.*", True, why=_PINNED_BY_TFF),
    Requirement("tensorflow-federated", "==0.87.0", True),
    Requirement("jax", "==0.4.13", True, why="TFF's own pin 0.4.14 was withdrawn"),
    Requirement("jaxlib", "==0.4.13", True, why="TFF's own pin 0.4.14 was withdrawn"),
    Requirement("typing-extensions", "==4.5.*", True, why=_PINNED_BY_TFF),
    Requirement("numpy", ">=1.25,<1.26", True, why=_PINNED_BY_TFF),
    Requirement("scipy", ">=1.9.3,<1.10", True, why=_PINNED_BY_TFF),
    Requirement("grpcio", ">=1.46", True),
    Requirement("portpicker", ">=1.5", True),
    Requirement("setuptools", "<82", True, why="TensorBoard 2.14 imports pkg_resources"),
    Requirement("pyarrow", "<22", True, optional=True, why="newer ones need NumPy 2"),
)


def required(python: tuple[int, int]) -> tuple[Requirement, ...]:
    """Lists the packages that `diagnose` compares, one entry each.

    Args:
        python: Major and minor version of Python.

    Returns:
        With a Python that TFF supports, the requirements of the simulation and of
        the rest, the narrower one where both name a package; else those of cloud
        training and export only.

    >>> [r.versions for r in required((3, 11)) if r.distribution == "tensorflow"]
    ['==2.14.*']
    >>> [r.versions for r in required((3, 12)) if r.distribution == "tensorflow"]
    ['>=2.14.1']
    """
    if python >= (3, 12):
        return (Requirement("tensorflow", ">=2.14.1"), *_ANYWHERE)
    narrowed = {requirement.distribution for requirement in _SIMULATION}
    rest = (r for r in _ANYWHERE if r.distribution not in narrowed)
    return (*_SIMULATION, *rest)


def check_packages() -> list[Check]:
    """Compares what is installed with what works.

    Returns:
      A check for each part, then one for each installed package; one of the base that is not
      installed is an error, any other is named by its part.
    """
    python = sys.version_info[:2]
    checks = _check_parts(python)
    with_tff = is_installed(_MARKERS["simulation"])
    for requirement in required(python if with_tff else max(python, (3, 12))):
        check = _check_package(requirement)
        if check is not None:
            checks.append(check)
    return checks


def _check_parts(python: tuple[int, int]) -> list[Check]:
    if not is_installed(DISTRIBUTION):
        here = this_installation()
        remedy = install_packages([str(here.root or here.package.parent)], here)
        return [Check(DISTRIBUTION, "warning", "run from sources, never installed", remedy)]
    parts: list[Part] = [part for part in NEEDED_BY if part != "simulation" or python < (3, 12)]
    return [_check_part(part) for part in parts]


def _check_part(part: Part) -> Check:
    name = f"part {part}"
    missing = missing_from(part)
    if not missing:
        return Check(name, "ok", f"whole: {', '.join(members(part))}")
    if part in _OPTIONAL and not is_installed(_MARKERS[part]):
        return Check(name, "ok", f"not installed, optional: {NEEDED_BY[part]}")
    lacking = f"lacks {', '.join(missing)}"
    here = this_installation()
    # The environment of a clone is made for its parts; elsewhere a part is a choice.
    if is_installed(_MARKERS[part]) or here.installer == "make":
        return Check(name, "error", lacking, install_command(part, here))
    found = f"not installed; {NEEDED_BY[part]} need it"
    return Check(name, "warning", found, install_command(part, here))


def _check_package(requirement: Requirement) -> Check | None:
    """None when it is missing and the check of its part, or nobody, has to say so."""
    name = requirement.distribution
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if requirement.optional:
            return Check(name, "ok", "not installed, not needed")
        if name not in {declared.name for declared in base_requirements()} and (
            not requirement.simulation_only
        ):
            return None
        return Check(
            name, "error", f"not installed, expected {requirement.versions}", _remedy(requirement)
        )
    try:
        fits = SpecifierSet(requirement.versions).contains(found, prereleases=True)
    except InvalidVersion:
        fits = False
    if fits:
        return Check(name, "ok", found)
    reason = f" ({requirement.why})" if requirement.why else ""
    found = f"{found}, expected {requirement.versions}{reason}"
    return Check(name, "error", found, _remedy(requirement))


def _remedy(requirement: Requirement) -> str:
    """Beside TFF the lock file, which fits its pins; else the package alone."""
    here = this_installation()
    if is_installed(_MARKERS["simulation"]) or here.installer == "make":
        return install_command("simulation", here)
    return install_packages([requirement_text(requirement.distribution)], here)
