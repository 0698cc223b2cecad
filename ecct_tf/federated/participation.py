"""Who of the devices that could takes part in a round, drawn from (seed, round)."""

import numpy as np
import numpy.typing as npt

from ecct_tf.config import ParticipationConfig
from ecct_tf.errors import ConfigError

__all__ = ["check_participants", "draw_participants"]


def draw_participants(
    config: ParticipationConfig,
    *,
    num_devices: int,
    seed: int,
    round_number: int,
    present: npt.NDArray[np.int64] | None = None,
    interactions: npt.NDArray[np.int64] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draws the devices that get a downlink, and those of them that answer.

    Args:
      config: who takes part. What it says of delays needs the rounds before: `Schedule` has it.
      num_devices: devices of the run.
      seed: of the run.
      round_number: rounds done before this one.
      present: `[n] int64`, ascending, the devices that could take part; None for all.
      interactions: `[num_devices] int64`, training interactions of each device, by which devices
        are drawn with `sampling=interactions`; one without any is never drawn.

    Raises:
      ConfigError: with `sampling=interactions`, but without them.

    Returns:
      `[p] int64` and `[a] int64`, ascending device numbers; at least one device answers
      unless `dropout` is 1.
    """
    rng = np.random.default_rng([seed, 0x9A7, round_number])
    could = np.arange(num_devices) if present is None else present
    chances = None
    if config.sampling == "interactions":
        if interactions is None:
            raise ConfigError(
                "participation.sampling=interactions: expected the interactions of each device"
            )
        could = could[interactions[could] > 0]
        chances = interactions[could] / max(interactions[could].sum(), 1)
    wanted = min(config.wanted(num_devices), len(could))
    participants = np.sort(rng.choice(could, wanted, replace=False, p=chances))
    lost = int(np.floor(config.dropout * wanted))
    answering = np.sort(rng.choice(participants, wanted - lost, replace=False))
    return participants.astype(np.int64), answering.astype(np.int64)


def check_participants(
    participants: npt.NDArray[np.int64], answering: npt.NDArray[np.int64], num_devices: int
) -> None:
    """Refuses devices that there are not, or that take part or answer twice.

    Raises:
      ConfigError: there are such, or one answers that does not take part.
    """
    if len(participants) and not 0 <= participants.min() <= participants.max() < num_devices:
        raise ConfigError(f"participants must be device numbers in 0..{num_devices - 1}")
    if len(np.unique(participants)) != len(participants):
        raise ConfigError("a device takes part in a round at most once")
    if len(np.unique(answering)) != len(answering):
        raise ConfigError("a device answers in a round at most once")
    if not np.isin(answering, participants).all():
        raise ConfigError("only participants can answer: answering must be a subset of them")
