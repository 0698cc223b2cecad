"""Who of the devices that could takes part in a round, drawn from (seed, round)."""

import numpy as np
import numpy.typing as npt

from ecct_tf.config import ParticipationConfig

__all__ = ["draw_participants"]


def draw_participants(
    config: ParticipationConfig,
    *,
    num_devices: int,
    seed: int,
    round_number: int,
    present: npt.NDArray[np.int64] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draws the devices that get a downlink, and those of them that answer.

    Args:
      config: who takes part. What it says of delays needs the rounds before: `Schedule` has it.
      num_devices: devices of the run.
      seed: of the run.
      round_number: rounds done before this one.
      present: `[n] int64`, ascending, the devices that could take part; None for all.

    Returns:
      `[p] int64` and `[a] int64`, ascending device numbers; at least one device answers
      unless `dropout` is 1.
    """
    rng = np.random.default_rng([seed, 0x9A7, round_number])
    could = np.arange(num_devices) if present is None else present
    wanted = min(config.devices_per_round or num_devices, len(could))
    participants = np.sort(rng.choice(could, wanted, replace=False))
    lost = int(np.floor(config.dropout * wanted))
    answering = np.sort(rng.choice(participants, wanted - lost, replace=False))
    return participants.astype(np.int64), answering.astype(np.int64)
