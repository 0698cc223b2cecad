"""Features that let a linear model follow a curve."""

import numpy as np
import numpy.typing as npt

__all__ = ["Bends"]

Array = npt.NDArray[np.float64]

_PLACES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.97)


class Bends:
    """Piecewise linear functions that bend at quantiles of what they were made from.

    Args:
      values: `[rows, k] float64`, whose quantiles bend the functions of each column.

    Example:
      >>> Bends(np.array([[0.0], [0.0], [2.0]]))(np.array([[3.0]])).tolist()[0][:2]
      [3.0, 3.0]
    """

    def __init__(self, values: Array) -> None:
        self._knots = [np.unique(np.quantile(column, _PLACES)) for column in values.T]

    def __call__(self, values: Array) -> Array:
        """`[rows, k + bends] float64`: the values, and how far they lie above each bend."""
        above = [
            np.maximum(column[:, None] - knots, 0.0)
            for column, knots in zip(values.T, self._knots, strict=True)
        ]
        return np.hstack([values, *above])
