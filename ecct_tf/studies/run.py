"""A study's folder: its runs, begun, resumed or left as they are."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ecct_tf.config import dump_config
from ecct_tf.config.differences import differences
from ecct_tf.config.study_names import study_target
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.files import read_plain_text, write_text
from ecct_tf.plugins import origin_of
from ecct_tf.simulation.campaign import run_all
from ecct_tf.simulation.run_folder import RunFolder
from ecct_tf.studies.plan import StudyPlan

__all__ = ["check_study_folder", "run_study"]

_FILE = "study.json"


def check_study_folder(plan: StudyPlan, out: Path) -> None:
    """Refuses a folder that holds something else; reads only.

    Raises:
      ConfigError: it holds another study, or what is no study's.
      RunFolderError: it holds a run of the study with other settings; the message says which.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / _FILE).is_file():
            raise ConfigError(
                f"{out}: expected a study's folder or none, found something else; give another "
                "--out"
            )
        found = _read(out / _FILE).get("study")
        if found != plan.study.name:
            raise ConfigError(
                f"{out} holds the study {found!r}, expected {plan.study.name!r}; give another "
                "--out, or remove it"
            )
    for name, config in plan.runs.items():
        path = out / name
        stored = RunFolder.open(path).config if (path / "config.yaml").exists() else config
        if stored != config:
            raise RunFolderError(
                f"{path} holds a run with other settings: "
                f"{differences(dump_config(stored), dump_config(config))}. Give the settings of "
                "the stored study, another --out, or remove the folder"
            )


def run_study(
    plan: StudyPlan, *, name: str, out: Path, command: str, say: Callable[[str], None]
) -> list[Path]:
    """Runs what is not complete yet; returns all run folders.

    Args:
      plan: from `plan_study`.
      name: the study's, or `module:name`, as it was named.
      out: the study's folder.
      command: that began or continues it, to be stored.
      say: is told what happens.

    Raises:
      ConfigError: see `check_study_folder`.
      RunFolderError: likewise.
    """
    check_study_folder(plan, out)
    out.mkdir(parents=True, exist_ok=True)
    target = study_target(name)
    values: dict[str, Any] = {
        "study": plan.study.name,
        "command": command,
        "points": {point.label: list(point.overrides) for point in plan.points},
        "seeds": list(plan.seeds),
        # The library's own is known by the library's version, in the run folders.
        "origin": None if target.startswith("ecct_tf.") else origin_of(target, what=name),
    }
    write_text(out / _FILE, json.dumps(values, indent=2) + "\n")
    try:
        folders = run_all(plan.runs, out=out, say=say)
    except BaseException:
        _leave_no_empty(out)
        raise
    if plan.study.after is not None:
        for number, path in enumerate(folders, start=1):
            say(f"[{number}/{len(folders)}] {plan.study.name}: measuring {path}")
            plan.study.after(path)
    return folders


def _leave_no_empty(out: Path) -> None:
    """Removes the folder of a study of which nothing was begun, with folders of points in it."""
    found = list(out.rglob("*"))
    if any(path.is_file() and path != out / _FILE for path in found):
        return
    # Nothing is removed that another process makes meanwhile.
    with suppress(OSError):
        for folder in sorted((path for path in found if path.is_dir()), reverse=True):
            folder.rmdir()
        (out / _FILE).unlink()
        out.rmdir()


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(read_plain_text(path))
    except ValueError as error:
        raise ConfigError(f"{path}: it was damaged ({error}); give another --out") from error
    return values if isinstance(values, dict) else {}
