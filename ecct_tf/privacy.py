"""What a device gives away in a run, in the terms of differential privacy.

Everything that leaves a device with Gaussian noise is one Gaussian mechanism more. Together they
are one Gaussian mechanism again, whose distinguishability is the root of the sum of squares
(Dong, Roth and Su 2022, Corollary 3.3), and whose ε follows for any δ without a bound in between
(Balle and Wang 2018, Theorem 8). The unit is a device: two worlds differ in all data of one.

An account says what the noise is worth on real devices. A simulation's own noise follows from its
seed, and protects nobody.
"""

import dataclasses
import math
from collections.abc import Mapping

from scipy import optimize, stats

from ecct_tf.config import RunConfig
from ecct_tf.config.aggregator_names import MEAN
from ecct_tf.errors import ConfigError

__all__ = ["PrivacyAccount", "gaussian_epsilon"]

# Of the data of one device against any other: a bounded answer moves by twice its bound at most.
_SENSITIVITY = 2.0


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The least ε of a Gaussian mechanism for `delta`.

    Args:
      mu: its sensitivity over the standard deviation of its noise; infinite without noise.
      delta: δ.

    >>> round(gaussian_epsilon(1.0, 1e-5), 4)
    4.3772
    >>> gaussian_epsilon(0.0, 1e-5), gaussian_epsilon(math.inf, 1e-5)
    (0.0, inf)
    """
    if math.isinf(mu):
        return math.inf

    def excess(epsilon: float) -> float:
        near, far = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
        # The second term in logarithms: its factors alone are beyond what a float holds.
        return float(stats.norm.cdf(near) - math.exp(epsilon + stats.norm.logcdf(far)) - delta)

    if not mu or excess(0.0) <= 0:
        return 0.0
    # Where the first term alone is below δ.
    most = mu * (mu / 2 + float(stats.norm.isf(delta)))
    return float(optimize.brentq(excess, 0.0, most))


@dataclasses.dataclass(frozen=True)
class PrivacyAccount:
    """What devices of a run spend.

    Attributes:
      delta: δ.
      answers: what has noise of its own in an uplink, of either kind: Q answers of a row, or one
        vector that is summed over devices.
      row_noise: noise of embeddings and logits over their bounds; 0 without noise.
      by_user: whether rows of users cross, with noise of each device, or else sums over devices.
      embeddings: whether embeddings cross.
      sum_noises: of each sum before the first round, by its section of `exchange`, over its bound;
        empty where devices send none.
      unprotected: what leaves devices without noise, or with noise that nobody accounts for.
    """

    delta: float
    answers: int
    row_noise: float
    sum_noises: Mapping[str, float]
    unprotected: tuple[str, ...]
    by_user: bool = True
    embeddings: bool = True

    @classmethod
    def of(cls, config: RunConfig) -> "PrivacyAccount | None":
        """The account of a run of ECCT; None where there is neither noise nor a bound.

        >>> PrivacyAccount.of(RunConfig()) is None
        True
        """
        exchange = config.exchange
        sums = exchange.rows == "item"
        row_noise = exchange.item_sums.noise_multiplier if sums else exchange.noise_multiplier
        # With noise, or a bound, devices tell nothing of items unless a number of positions is set.
        known = {"item_increments": "pairs of items", "recent_popularity": "items met lately"}
        told = [name for name in known if exchange.up and getattr(exchange, name).positions]
        noises = {name: getattr(exchange, name).noise_multiplier for name in told}
        noised = row_noise or any(noises.values())
        if config.method != "ecct" or not (noised or config.privacy.max_epsilon):
            return None
        unprotected = []
        if exchange.up and not row_noise:
            unprotected.append(
                "sums of items (exchange.item_sums.noise_multiplier=0)"
                if sums
                else "uplinks (exchange.noise_multiplier=0)"
            )
        for name, noise in noises.items():
            if not noise:
                unprotected.append(f"{known[name]} (exchange.{name}.noise_multiplier=0)")
        if config.edge.shared != "none":
            through = "" if config.server.aggregator == MEAN else ", whose own noise is not counted"
            unprotected.append(f"weights (edge.shared={config.edge.shared}{through})")
        if config.server.stages is not None:
            unprotected.append(f"what own stages send (server.stages={config.server.stages})")
        if config.data.nodes is not None and not (sums and not told):
            # A node's model reads all its users, so that each user's data moves the uplinks of all.
            # Of sums of items the bound is one of the whole node.
            unprotected.append("uplinks of users who share a device (data.nodes), counted singly")
        return cls(
            delta=config.privacy.delta,
            answers=1 if sums else exchange.queries,
            row_noise=row_noise if exchange.up else math.inf,
            sum_noises=noises,
            unprotected=tuple(unprotected),
            by_user=not sums,
            embeddings=exchange.item_sums.embeddings if sums else exchange.embeddings,
        )

    @property
    def noise_setting(self) -> str:
        """The setting that `row_noise` comes from."""
        return f"exchange.{'' if self.by_user else 'item_sums.'}noise_multiplier"

    def epsilon(self, embeddings: int, logits: int) -> float:
        """ε of all that has noise, for a device with so many uplinks of each kind.

        Args:
          embeddings: uplinks that it sent; each carries embeddings, unless the run sends none.
          logits: those of them that carried logits, too.
        """
        rows = self.answers * (embeddings * self.embeddings + logits)
        squares = rows * _squared(self.row_noise)
        squares += sum(map(_squared, self.sum_noises.values()))
        return gaussian_epsilon(math.sqrt(squares), self.delta)

    def check_bound(self, most: float, *, embeddings: int, logits: int) -> None:
        """Refuses a run in which a device would spend more than `most`.

        Args:
          most: `privacy.max_epsilon`.
          embeddings: uplinks of the device that sends most.
          logits: those of them with logits.

        Raises:
          ConfigError: names what is unprotected, or how much noise would do.
        """
        bound = f"privacy.max_epsilon: expected at most {most:g} for a device"
        if self.unprotected:
            named = "; ".join(self.unprotected)
            silent = "".join(f"exchange.{name}.positions=0, " for name in self.sum_noises)
            raise ConfigError(
                f"{bound}, but there is no bound: without counted noise leave {named}. Give them "
                f"noise or let them stay: {self.noise_setting}, {silent}edge.shared=none, "
                "exchange.up=false"
            )
        spent = self.epsilon(embeddings, logits)
        if spent > most:
            factor = self._factor(most, embeddings, logits)
            sent = f"uplinks of {self.answers} answers" if self.by_user else "rounds of sums"
            noises = {self.noise_setting: self.row_noise} | {
                f"exchange.{name}.noise_multiplier": noise
                for name, noise in self.sum_noises.items()
            }
            enough = ", ".join(f"{name}={noise * factor:.4g}" for name, noise in noises.items())
            raise ConfigError(
                f"{bound}, and {embeddings} {sent} would spend "
                f"{spent:.4g} at δ = {self.delta:g}; {factor:.4g} times all noise would do "
                f"({enough}), or fewer rounds"
                f"{' and exchange.queries' if self.by_user else ''}"
            )

    def _factor(self, most: float, embeddings: int, logits: int) -> float:
        def excess(factor: float) -> float:
            noisier = dataclasses.replace(
                self,
                row_noise=self.row_noise * factor,
                sum_noises={name: noise * factor for name, noise in self.sum_noises.items()},
            )
            return noisier.epsilon(embeddings, logits) - most

        high = 2.0
        while excess(high) > 0:
            high *= 2.0
        # A little more, so that it is enough with the four digits that are told.
        return float(optimize.brentq(excess, 1.0, high)) * 1.001

    def told(self, epsilon: float) -> str:
        """One sentence on what the devices have spent, `epsilon` by what has noise."""
        spent = f"ε = {epsilon:.4g} at δ = {self.delta:g} for a device"
        if not self.unprotected:
            drawn = "devices draw their" if self.by_user else "who sums draws the"
            return f"Privacy: {spent}, if {drawn} noise as phones do."
        return (
            f"Privacy: no bound, since without counted noise leave {'; '.join(self.unprotected)}. "
            f"What has noise spends {spent}."
        )


def _squared(noise: float) -> float:
    return (_SENSITIVITY / noise) ** 2 if noise else 0.0
