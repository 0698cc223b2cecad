"""How often learning goes over its data: a few interactions make few steps, unless repeated."""

import math

__all__ = ["passes"]

# Times as many epochs as asked for: beyond, little data would be learned by heart.
_MOST = 5


def passes(epochs: int, *, steps: int, min_steps: int) -> int:
    """Epochs that make `min_steps` steps: `epochs` or more, at most five times as many.

    Args:
      epochs: how many there are at least; 0 stays 0.
      steps: of one epoch.
      min_steps: of all epochs, as far as that takes no more than five times as many.

    >>> [passes(6, steps=steps, min_steps=180) for steps in (1, 12, 160)]
    [30, 15, 6]
    """
    return min(max(epochs, math.ceil(min_steps / max(steps, 1))), _MOST * epochs)
