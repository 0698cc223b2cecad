"""Custom aggregators: what joins the devices' changes of the shared weights in TFF's rounds.

A setting names a function; it returns a factory of `tff.aggregators`. Here it is found and
called, without TFF: the engine makes the aggregation of it.
"""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

from ecct_tf.config import RunConfig, ServerConfig
from ecct_tf.config.aggregator_names import MEAN, aggregator_target, check_single_devices
from ecct_tf.errors import ConfigError
from ecct_tf.federated.engine import chosen_engine
from ecct_tf.plugins import Origin, change_of, find_function, origin_of

__all__ = [
    "Aggregated",
    "Aggregator",
    "AggregatorSpec",
    "AggregatorState",
    "aggregator_leaves",
    "aggregator_of",
    "aggregator_origins",
    "changed_aggregators",
    "check_aggregators",
    "refusal",
]

AggregatorState = tuple[npt.NDArray[Any], ...]


@dataclasses.dataclass(frozen=True)
class AggregatorSpec:
    """What an aggregator is made for; a run has one for each tier of devices.

    Attributes:
      size: P_shared, the length of a device's change.
      devices: devices of the tier, of which some take part in a round.
    """

    size: int
    devices: int


class Aggregated(NamedTuple):
    """What an aggregator leaves of a round.

    Attributes:
      state: leaves of its state; empty for one without state, and before the first round.
      measured: its scalar measurements by name.
    """

    state: AggregatorState = ()
    measured: Mapping[str, float] = {}


@dataclasses.dataclass(frozen=True)
class Aggregator:
    """An aggregator that a setting names.

    Attributes:
      name: a registered name, or `module:name`.
      setting: where it stands, for messages.
      spec: what it is made for.
    """

    name: str
    setting: str
    spec: AggregatorSpec

    @property
    def what(self) -> str:
        """The aggregator, for messages."""
        return _what(self.setting, self.name)

    def factory(self) -> Any:
        """What the function returns.

        Raises:
          ConfigError: it cannot be found, or it raises.
        """
        function = find_function(aggregator_target(self.name, setting=self.setting), what=self.what)
        try:
            return function(*_arguments(function, self.spec))
        # It is a user's code, and what it raises belongs into one sentence.
        except Exception as error:
            raise ConfigError(
                f"{self.what}: calling it failed: {type(error).__name__}: {error}; expected a "
                "function without arguments, or of one AggregatorSpec, that returns a factory of "
                "tff.aggregators"
            ) from error


def aggregator_of(
    server: ServerConfig, *, section: str, size: int, devices: int, shard_size: int
) -> Aggregator | None:
    """The aggregator of a section; None for the library's own mean.

    Args:
      server: the section.
      section: its name, such as `server`.
      size: P_shared.
      devices: devices that share the weights.
      shard_size: devices in a client value.

    Raises:
      ConfigError: a client value is more than one device.
    """
    name, setting = server.aggregator, f"{section}.aggregator"
    if name == MEAN:
        return None
    check_single_devices(name, setting=setting, shard_size=shard_size)
    return Aggregator(name, setting, AggregatorSpec(size, devices))


def aggregator_leaves(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> AggregatorState:
    """The leaves that a checkpoint has as `prefix/0`, `prefix/1` and so on."""
    count = sum(name.startswith(f"{prefix}/") for name in arrays)
    return tuple(arrays[f"{prefix}/{place}"] for place in range(count))


def check_aggregators(config: RunConfig) -> None:
    """Refuses aggregators that cannot be found or that the engine has not; imports their modules.

    Raises:
      ConfigError: nothing has the name, its module cannot be imported or lacks the function, or
        rounds run by another engine than TFF.
    """
    for setting, name in _named(config):
        find_function(aggregator_target(name, setting=setting), what=_what(setting, name))
        engine = chosen_engine(config.runtime.engine)
        if engine != "tff":
            raise refusal(_what(setting, name), engine=engine)


def refusal(what: str, *, engine: str) -> ConfigError:
    """The error for an engine that has no aggregators but the mean."""
    return ConfigError(
        f"{what}: expected mean with the engine {engine}, since factories of tff.aggregators are "
        "computed by TFF; set runtime.engine=tff where TFF is installed, or leave the setting out"
    )


def aggregator_origins(config: RunConfig) -> dict[str, Origin]:
    """What is to be recorded of each aggregator that is not the library's own, by its setting.

    Raises:
      ConfigError: one cannot be imported.
    """
    return {setting: _origin(setting, name) for setting, name in _named(config)}


def changed_aggregators(config: RunConfig, recorded: Mapping[str, Origin]) -> list[str]:
    """For each aggregator whose source is not what was recorded: what changed, in words.

    Raises:
      ConfigError: one cannot be imported.
    """
    changes = (
        change_of(recorded[setting], _origin(setting, name), what=_what(setting, name))
        for setting, name in _named(config)
        if setting in recorded
    )
    return [change for change in changes if change is not None]


def _named(config: RunConfig) -> Iterator[tuple[str, str]]:
    """The settings that name another aggregator than the mean, with its name."""
    for section, server in config.servers.items():
        if server.aggregator != MEAN:
            yield f"{section}.aggregator", server.aggregator


def _what(setting: str, name: str) -> str:
    return f"{setting} {name!r}"


def _origin(setting: str, name: str) -> Origin:
    return origin_of(aggregator_target(name, setting=setting), what=_what(setting, name))


def _arguments(function: Any, spec: AggregatorSpec) -> tuple[AggregatorSpec, ...]:
    """Nothing where the function can be called so; else the spec."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return (spec,)
    return ()
