"""The parts of the distribution, its extras, and what of them is missing here.

What a part consists of is read from the installed distribution, so that `setup.py` says it once.
"""

import functools
import importlib.metadata
from typing import Literal

from packaging.requirements import Requirement

__all__ = [
    "DISTRIBUTION",
    "NEEDED_BY",
    "Part",
    "base_requirements",
    "distribution_of",
    "is_installed",
    "members",
    "missing_from",
    "requirement_text",
]

Part = Literal["simulation", "local", "cloud", "export", "litert", "serve", "beam"]

DISTRIBUTION = "ecct-tf"
NEEDED_BY: dict[Part, str] = {
    "simulation": "`ecct simulate`, `ecct resume` and `ecct baselines` by TFF",
    "local": "the same commands without TFF",
    "cloud": "`ecct cloud`, `ecct export` and `ecct evaluate`",
    "export": "`ecct inspect` and `ecct verify`",
    "litert": "`ecct verify`, `ecct evaluate` and `ecct cloud cycle` in the runtime of phones",
    "serve": "`ecct cloud serve` and `ecct cloud token`",
    "beam": "`ecct cloud retrain` and `ecct cloud publish` by pipelines of Apache Beam",
}
# Modules of which the distribution has another name.
_HELD_BY = {"flatbuffers": "tensorflow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def members(part: Part) -> tuple[str, ...]:
    """The distributions of a part; none where ECCT-TF runs from sources, never installed."""
    return tuple(requirement.name for requirement in _declared(part))


def missing_from(part: Part) -> tuple[str, ...]:
    """The distributions of a part that are not installed."""
    return tuple(name for name in members(part) if not is_installed(name))


def is_installed(name: str) -> bool:
    """Whether the environment has a distribution, in whatever version."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def requirement_text(name: str, part: Part | None = None) -> str:
    """A distribution with its versions, such as `isal>=1.7`.

    Args:
      name: the distribution.
      part: whose versions; by default those of the base or the first part that has it.
    """
    declared = [*_declared(part)] if part else [*base_requirements()]
    for each in [] if part else NEEDED_BY:
        declared += _declared(each)
    for requirement in declared:
        if requirement.name == name:
            return f"{name}{requirement.specifier}"
    return name


def distribution_of(module: str) -> str | None:
    """The distribution of ours that holds `module`; None for a module that we do not ask for."""
    top = module.partition(".")[0]
    name = _HELD_BY.get(top, top.replace("_", "-"))
    known = {requirement.name for requirement in base_requirements()}
    for part in NEEDED_BY:
        known.update(members(part))
    return name if name in known else None


@functools.cache
def base_requirements() -> tuple[Requirement, ...]:
    """What the distribution needs without any part."""
    return tuple(requirement for requirement in _requirements() if _applies(requirement, ""))


@functools.cache
def _declared(part: Part) -> tuple[Requirement, ...]:
    return tuple(
        requirement
        for requirement in _requirements()
        if _applies(requirement, part) and not _applies(requirement, "")
    )


def _applies(requirement: Requirement, part: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": part})


def _requirements() -> list[Requirement]:
    try:
        texts = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Requirement(text) for text in texts]
