"""Who takes part in the rounds of a run: its schedule, by the devices that its method has."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecct_tf.config import EDGE_METHODS, RunConfig
from ecct_tf.errors import ConfigError
from ecct_tf.federated.availability_trace import read_trace
from ecct_tf.federated.presence import Population
from ecct_tf.federated.schedule import Schedule
from ecct_tf.simulation.builder import assign_tiers
from ecct_tf.simulation.experiment import Experiment

__all__ = ["check_schedule", "device_order", "schedule_of"]


def device_order(config: RunConfig, num_devices: int) -> npt.NDArray[np.int64]:
    """`[devices] int64`: the place in `Experiment.groups` of each device, by its number in rounds.

    Devices of an exchange are numbered tier by tier, those of baselines as the data has them.
    """
    if config.method not in EDGE_METHODS:
        return np.arange(num_devices)
    tiers = assign_tiers(config.edge.tiers, num_devices=num_devices, seed=config.seed)
    return np.argsort(tiers, kind="stable")


def schedule_of(experiment: Experiment) -> Schedule:
    """The schedule of a run.

    Raises:
      DataError: the trace of availability cannot be read, or names users that the data lacks.
    """
    config, groups = experiment.config, experiment.groups
    tokens, path = experiment.dataset.user_tokens, config.participation.availability.trace
    # Not from views of the devices, of which there may be a million.
    counts = experiment.split.train_counts
    ordered = [groups.users_of(place) for place in device_order(config, len(groups))]
    population = Population(
        np.array([counts[users].sum() for users in ordered], np.int64),
        [[tokens[user] for user in users] for users in ordered],
    )
    return Schedule(
        config.participation,
        num_devices=len(groups),
        seed=config.seed,
        population=population,
        trace=None if path is None else read_trace(Path(path), users=set(tokens)),
    )


def check_schedule(schedule: Schedule, rounds: int) -> None:
    """Refuses a run in whose rounds nobody could ever take part.

    Raises:
      ConfigError: so it is.
    """
    if rounds and not any(schedule.presence.at(number).any() for number in range(rounds)):
        raise ConfigError(
            f"participation: no device could take part in any of the {rounds} rounds; expected at "
            "least one. Look at participation.availability (a trace counts rounds from 1) and "
            "participation.membership"
        )
