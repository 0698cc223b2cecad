"""Where runs come from: settings, software, machine and the commands that made them."""

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from ecct_tf.config import RunConfig
from ecct_tf.config.flat import flat_config
from ecct_tf.reporting.comparison import Comparison
from ecct_tf.reporting.run import Run

__all__ = ["AllSettings", "Origin", "Settings", "commands_of", "origins_of", "settings_of"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the runs of one model.

    Attributes:
      name: the model's, without a side.
      differences: key, value and default of those that differ from the defaults, and are not
        common to all.
      text: all of them, as YAML.
    """

    name: str
    differences: tuple[tuple[str, str, str], ...]
    text: str


@dataclasses.dataclass(frozen=True)
class AllSettings:
    """Settings of all runs.

    Attributes:
      common: key, value and default of those that differ from the defaults in all runs alike.
      models: what else differs, by model.
    """

    common: tuple[tuple[str, str, str], ...]
    models: tuple[Settings, ...]


@dataclasses.dataclass(frozen=True)
class Origin:
    """Software and machine of a run, as its `environment.json` has it.

    Attributes:
      run: the run.
      started: date and time to the minute; empty where unknown.
      resumed: how often it was resumed.
      machine: name and value.
      packages: name and version.
    """

    run: Run
    started: str
    resumed: int
    machine: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]


def settings_of(comparison: Comparison) -> AllSettings:
    """Settings by model; seeds apart, all runs of a model have the same."""
    defaults = flat_config(dataclasses.asdict(RunConfig()))
    found: dict[str, Settings] = {}
    for model in comparison.models:
        if not model.runs:
            continue
        run = model.runs[0]
        differences = tuple(
            (key, _yaml(value), _yaml(defaults[key]) if key in defaults else "–")
            for key, value in run.config.items()
            if key != "seed" and (key not in defaults or value != defaults[key])
        )
        name = model.name_without_side
        found.setdefault(name, Settings(name, differences, run.config_text))
    listed = [each.differences for each in found.values()]
    common = tuple(each for each in listed[0] if all(each in other for other in listed))
    return AllSettings(
        # One model has nothing in common with others.
        common=common if len(listed) > 1 else (),
        models=tuple(
            dataclasses.replace(
                each, differences=tuple(it for it in each.differences if it not in common)
            )
            if len(listed) > 1
            else each
            for each in found.values()
        ),
    )


def _yaml(value: Any) -> str:
    """A value as it stands in the file, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def origins_of(runs: Sequence[Run]) -> list[Origin]:
    """Software and machine of each run."""
    found = []
    for run in runs:
        values = run.environment
        packages, resumed = values.get("packages"), values.get("resumed")
        found.append(
            Origin(
                run=run,
                started=str(values.get("started") or "").replace("T", " ")[:16],
                resumed=len(resumed) if isinstance(resumed, list) else 0,
                machine=tuple(
                    (name, str(values[name]))
                    for name in ("python", "platform", "cpus")
                    if values.get(name) is not None
                ),
                packages=tuple(
                    (str(name), str(version or "not installed"))
                    for name, version in (packages if isinstance(packages, dict) else {}).items()
                ),
            )
        )
    return found


def commands_of(runs: Sequence[Run]) -> list[str]:
    """The commands that made the runs, for a shell; one that made several stands once."""
    commands = [run.environment.get("command") for run in runs]
    lists = [command for command in commands if isinstance(command, list) and command]
    return list(dict.fromkeys(shlex.join(map(str, command)) for command in lists))
