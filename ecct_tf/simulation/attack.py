"""The attack of a run: whose devices are poisoned, and what they push."""

import numpy as np

from ecct_tf.config.parsing import near_miss
from ecct_tf.errors import ConfigError
from ecct_tf.federated.attack import Attack, poisoned_devices
from ecct_tf.simulation.experiment import Experiment

__all__ = ["attack_of"]

_PUSHED = 0x9054


def attack_of(experiment: Experiment) -> Attack | None:
    """The attack of a run; None without poisoned devices.

    Raises:
      ConfigError: the pushed item is none of the data's.
    """
    config, groups = experiment.config, experiment.groups
    chosen = poisoned_devices(config.attack, num_devices=len(groups), seed=config.seed)
    if not len(chosen):
        return None
    users = np.concatenate([groups.users_of(int(device)) for device in chosen])
    return Attack(config.attack, users.astype(np.int32), _pushed(experiment))


def _pushed(experiment: Experiment) -> int:
    tokens, wanted = experiment.dataset.item_tokens, experiment.config.attack.item
    if wanted is not None:
        if wanted not in tokens:
            raise ConfigError(
                f"attack.item: expected an item of the data, got {wanted!r}"
                f"{near_miss(wanted, tokens)}"
            )
        return tokens.index(wanted) + 1
    counts = np.bincount(experiment.split.items, minlength=len(tokens) + 1)
    known = np.flatnonzero(counts)
    middle = np.array_split(known[np.argsort(counts[known], kind="stable")], 3)[1]
    return int(np.random.default_rng([experiment.config.seed, _PUSHED]).choice(middle))
