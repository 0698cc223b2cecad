"""How much each device of a run has given away so far."""

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.federated import Schedule
from ecct_tf.privacy import PrivacyAccount

__all__ = ["PrivacyMeter"]


class PrivacyMeter:
    """Counts the uplinks of each device; all follows from the seed, so there is no state to keep.

    Args:
      account: what an uplink spends.
      config: who takes part, and when logits begin to cross.
      num_devices: devices of the run.
      schedule: of the run; None for one that only the seed decides.
    """

    def __init__(
        self,
        account: PrivacyAccount,
        config: RunConfig,
        *,
        num_devices: int,
        schedule: Schedule | None = None,
    ) -> None:
        self.account = account
        self._config = config
        self._rounds = 0
        self._schedule = schedule or Schedule(
            config.participation, num_devices=num_devices, seed=config.seed
        )
        # Uplinks by device, all and those with logits.
        self._sent: npt.NDArray[np.int64] = np.zeros((num_devices, 2), np.int64)

    @classmethod
    def of(
        cls, config: RunConfig, *, num_devices: int, schedule: Schedule | None = None
    ) -> "PrivacyMeter | None":
        """The meter of a run; None where nothing has noise and no bound is set."""
        account = PrivacyAccount.of(config)
        if account is None:
            return None
        return cls(account, config, num_devices=num_devices, schedule=schedule)

    def epsilon(self, rounds: int) -> float:
        """The largest ε of all devices after so many rounds, by what has noise."""
        return self.account.epsilon(*self._most(rounds))

    def check_bound(self, rounds: int) -> None:
        """Refuses a run of so many rounds that would spend more than `privacy.max_epsilon`.

        Raises:
          ConfigError: it would, or something leaves devices without noise.
        """
        most = self._config.privacy.max_epsilon
        if most is not None:
            embeddings, logits = self._most(rounds)
            self.account.check_bound(most, embeddings=embeddings, logits=logits)

    def _most(self, rounds: int) -> tuple[int, int]:
        """Uplinks, and those with logits, of the device that has sent most numbers."""
        if rounds < self._rounds:
            self._rounds = 0
            self._sent[:] = 0
        for number in range(self._rounds, rounds):
            answering = self._schedule.draw(number).answering
            self._sent[answering, 0] += 1
            if number >= self._config.stage_1_rounds:
                self._sent[answering, 1] += 1
        self._rounds = rounds
        embeddings, logits = self._sent[np.argmax(self._sent.sum(axis=1))].tolist()
        return embeddings, logits
