"""Custom stages by a setting: found, checked against a process, and known by their source."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from ecct_tf.config import RunConfig, RuntimeConfig, ServerConfig
from ecct_tf.config.aggregator_names import MEAN, check_share_every
from ecct_tf.errors import ConfigError
from ecct_tf.federated.own_stages import Stages
from ecct_tf.plugins import Origin, change_of, find_function, guarded, origin_of

__all__ = ["changed_stages", "check_stages", "process_stages", "stage_origins", "stages_of"]


def stages_of(server: ServerConfig, *, section: str) -> Stages | None:
    """The stages that a section names; None for the library's own.

    Args:
      server: the section.
      section: its name, such as `server`.

    Raises:
      ConfigError: they cannot be found, or the function does not return stages.
    """
    if server.stages is None:
        return None
    what = _what(f"{section}.stages", server.stages)
    function = find_function(server.stages, what=what)
    with guarded(what, module=function.__module__):
        found = function()
    if not isinstance(found, Stages):
        raise ConfigError(
            f"{what}: expected a function without arguments that returns "
            f"ecct_tf.federated.Stages, got {type(found).__name__}"
        )
    return dataclasses.replace(found, name=what)


def process_stages(
    stages: Stages | None,
    server: ServerConfig,
    *,
    section: str,
    runtime: RuntimeConfig,
    late: bool,
    witnessed: bool = False,
    share_every: int = 1,
) -> Stages | None:
    """The stages of a process: those that it is given, or those that its settings name.

    Args:
      stages: as given.
      server: the settings.
      section: their name, such as `server`.
      runtime: how shards are formed.
      late: whether changes are applied in later rounds than those of their devices.
      witnessed: whether real devices repeat what simulated ones do.
      share_every: rounds between two means of the shared weights.

    Raises:
      ConfigError: there are both, they cannot be found, or the process cannot have them.
    """
    named = stages_of(server, section=section)
    if named is not None and stages is not None:
        raise ConfigError(
            f"{section}.stages: got {server.stages!r}, and stages from a program; expected one of "
            "the two"
        )
    own = named or stages
    check_share_every(
        share_every,
        section=section,
        aggregator=server.aggregator,
        stages=None if own is None else own.name,
    )
    if own is not None:
        own.check_round(shard_size=runtime.shard_size, late=late, witnessed=witnessed)
        if server.aggregator != MEAN and own.changes is not None:
            raise ConfigError(
                f"{own.name}: `changes` joins the devices' changes, and so does "
                f"{section}.aggregator={server.aggregator}; leave one of the two out"
            )
    return own


def check_stages(config: RunConfig) -> None:
    """Refuses stages that cannot be found; imports their modules.

    Raises:
      ConfigError: so it is.
    """
    for section, _ in _named(config):
        stages_of(config.servers[section], section=section)


def stage_origins(config: RunConfig) -> dict[str, Origin]:
    """What is to be recorded of stages that a setting names, by the setting.

    Raises:
      ConfigError: some cannot be imported.
    """
    return {f"{section}.stages": _origin(section, name) for section, name in _named(config)}


def changed_stages(config: RunConfig, recorded: Mapping[str, Origin]) -> list[str]:
    """For stages whose source is not what was recorded: what changed, in words.

    Raises:
      ConfigError: some cannot be imported.
    """
    changes: Sequence[str | None] = [
        change_of(
            recorded[f"{section}.stages"],
            _origin(section, name),
            what=_what(f"{section}.stages", name),
        )
        for section, name in _named(config)
        if f"{section}.stages" in recorded
    ]
    return [change for change in changes if change is not None]


def _named(config: RunConfig) -> Iterator[tuple[str, str]]:
    for section, server in config.servers.items():
        if server.stages is not None:
            yield section, server.stages


def _origin(section: str, name: str) -> Origin:
    return origin_of(name, what=_what(f"{section}.stages", name))


def _what(setting: str, name: str) -> str:
    return f"{setting} {name!r}"
