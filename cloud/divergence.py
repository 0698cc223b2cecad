"""The cloud's learning ends with one sentence when it leaves the finite numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.errors import DivergenceError

__all__ = ["check_learned"]


def check_learned(
    variables: Sequence[tf.Variable] | Sequence[npt.NDArray[np.float32]],
    *,
    loss: float,
    when: str,
    settings: Mapping[str, object],
) -> None:
    """Refuses weights or a loss that are not finite: later epochs would not bring them back.

    Args:
      variables: what was learned.
      loss: of the newest epoch.
      when: who learned, and when, for the message.
      settings: those that decide, by their dotted names, with their values.

    Raises:
      DivergenceError: names the moment and the settings.
    """
    if np.isfinite(loss) and all(np.isfinite(np.asarray(found)).all() for found in variables):
        return
    decide = ", ".join(f"{name}={value}" for name, value in settings.items())
    raise DivergenceError(
        f"training diverged: {when}, has a loss of {loss} or weights that are not finite. "
        f"Nothing of it is kept. What decides: {decide}. Lower the learning rate first."
    )
