"""Methods that a user brings by name: built, checked, and known again by their source."""

from collections.abc import Mapping
from typing import Any

from ecct_tf.config import is_own_method, method_target
from ecct_tf.errors import ConfigError
from ecct_tf.federated import Algorithm
from ecct_tf.plugins import Origin, changes_of, find_function, guarded, origin_of
from ecct_tf.simulation.experiment import Experiment

__all__ = ["build_own_method", "changed_methods", "check_algorithm", "method_origins"]

_FUNCTIONS = ("initialize", "next", "scores", "to_arrays", "from_arrays")
_COUNTS = ("rounds", "num_devices")


def build_own_method(experiment: Experiment) -> Algorithm[Any]:
    """Calls the function that the run's method stands for; imports its module.

    Args:
      experiment: the data and the configuration, which the function is given.

    Raises:
      ConfigError: nothing has the name; the module cannot be imported; or its function fails, or
        returns no algorithm.
    """
    name = experiment.config.method
    target, what = method_target(name), _what(name)
    function = find_function(target, what=what)
    with guarded(what, module=target.partition(":")[0]):
        found = function(experiment)
    return check_algorithm(found, what=what)


def check_algorithm(found: object, *, what: str) -> Algorithm[Any]:
    """What a function returned, if it has the members of an `Algorithm`.

    Raises:
      ConfigError: it lacks some, or has other numbers of rounds and devices than whole ones from 0.
    """
    lacks = [name for name in _FUNCTIONS if not callable(getattr(found, name, None))]
    lacks += [name for name in _COUNTS if not hasattr(found, name)]
    if lacks:
        raise ConfigError(
            f"{what}: expected an ecct_tf.federated.Algorithm, got {type(found).__name__} without "
            f"{', '.join(lacks)}"
        )
    algorithm: Any = found
    for name in _COUNTS:
        value = getattr(algorithm, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ConfigError(f"{what}: expected {name} to be a whole number from 0, got {value!r}")
    checked: Algorithm[Any] = algorithm
    return checked


def method_origins(name: str) -> dict[str, Origin]:
    """What is to be recorded of a method that is not the library's own, by its name.

    Raises:
      ConfigError: it cannot be imported.
    """
    if is_own_method(name):
        return {}
    return {name: origin_of(method_target(name), what=_what(name))}


def changed_methods(name: str, recorded: Mapping[str, Origin]) -> list[str]:
    """What changed in the source of a method since it was recorded, in words.

    Raises:
      ConfigError: it cannot be imported.
    """
    return changes_of(method_origins(name), recorded, what=_what)


def _what(name: str) -> str:
    return f"method {name!r}"
