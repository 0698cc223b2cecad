"""Which fault comes with which request."""

import dataclasses
import random
from collections.abc import Mapping

__all__ = ["FaultPlan"]

# Of requests with answers; each is drawn for a share of them.
REPEATED, LATE, LOST_REQUEST, LOST_ANSWER = "repeated", "late", "lost request", "lost answer"
BROKEN = "broken off"
KILLS = ("service before", "service meanwhile", "service after", "devices")
# When a device in a browser asks: the browser, its page, or all with the program that drives it.
BROWSER_KILLS = ("browser", "service meanwhile", "page", "service after", "browser host")


@dataclasses.dataclass(frozen=True)
class FaultPlan:
    """What happens when the request of a number comes by, from 0.

    Attributes:
      seed: of what is drawn for single requests.
      kills: by number, from which on it happens as soon as what is to be killed is alive: the
        service before, meanwhile or after the request, or devices.
      browser_kills: likewise, by the number among the requests that browsers make.
      full: numbers between which the disk is full.
      revoked: numbers at which the token of whoever asks is revoked.
      share: of requests that are lost, repeated, late or broken off, each kind as many.
    """

    seed: int
    kills: Mapping[int, str]
    full: tuple[int, int]
    revoked: frozenset[int]
    share: float = 0.05
    browser_kills: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def draw(
        cls,
        seed: int,
        *,
        requests: int,
        kills: int,
        revoked: int,
        share: float = 0.05,
        browser_requests: int = 0,
    ) -> "FaultPlan":
        """A plan for about so many requests; the disk is full for a twentieth of them.

        If browsers make some of the requests, half of the kills come with theirs.
        """
        rng = random.Random(seed)
        in_browsers = kills // 2 if browser_requests else 0
        kills -= in_browsers
        points = rng.sample(range(1, requests), kills)
        kinds = [KILLS[place % len(KILLS)] for place in range(kills)]
        begin = rng.randrange(requests // 4, requests // 2)
        ends = rng.sample(range(1, requests), revoked)
        end = begin + max(3, requests // 20)
        own = rng.sample(range(1, browser_requests), in_browsers) if in_browsers else []
        return cls(
            seed,
            dict(zip(points, kinds, strict=True)),
            (begin, end),
            frozenset(ends),
            share,
            {point: BROWSER_KILLS[place % len(BROWSER_KILLS)] for place, point in enumerate(own)},
        )

    def fault(self, number: int, *, method: str) -> str | None:
        """What happens to one request besides; the same whenever it is asked."""
        drawn = random.Random(f"{self.seed}:{number}").random() / self.share
        kinds = (REPEATED, LATE, LOST_REQUEST, LOST_ANSWER) if method == "PUT" else (BROKEN,)
        return kinds[int(drawn)] if drawn < len(kinds) else None
