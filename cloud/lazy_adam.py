"""Adam over the rows of a large table, which moves a row only when somebody looks at it.

Adam moves every row in every step: one without a gradient by what is left of its momentum. In a
catalog of a million items that is nearly all of them, and nearly all of the time. Here a row is
left as it was, and catches up when it is read next, with all the steps that it missed in one closed
form.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LazyAdam"]

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.integer[Any]]

_MOMENTUM, _SQUARES, _EPSILON = 0.9, 0.999, 1e-7
_ROWS_AT_ONCE = 1 << 16


class LazyAdam:
    """A table, `[n, ...] float32`, and what Adam knows of its rows.

    It ends where Keras's `Adam` over the whole table ends, but for rounding and one term: while a
    row waits, Adam's epsilon counts as fading with the second moment that it is added to. That
    changes what is left of a momentum by half a hundredth at most, by estimate, where the root of
    the second moment is far below epsilon, 1e-7; where it is far above, by nothing.

    Args:
      table: the first values; it is written to.
      learning_rate: of Adam.
      decay: by which each row is multiplied after each step.

    Example:
      >>> adam = LazyAdam(np.ones((3, 1), np.float32), learning_rate=0.5, decay=1.0)
      >>> adam.apply(np.array([1]), np.ones((1, 1), np.float32))
      >>> adam.table.ravel().round(3).tolist()
      [1.0, 0.5, 1.0]
    """

    def __init__(self, table: Array, *, learning_rate: float, decay: float = 1.0) -> None:
        self.table = table
        self._rate, self._decay = learning_rate, decay
        # Pages that nothing is written to take no memory; `zeros_like` would write to all.
        self._momentum, self._squares = (np.zeros(table.shape, np.float32) for _ in range(2))
        self._seen = np.zeros(len(table), np.int64)
        self._step = 0
        # Of a row that was last moved in step t, what its steps since then add up to.
        self._missed = np.zeros(1)

    def rows(self, rows: Rows) -> Array:
        """`[k, ...]`: rows as they are after all steps so far, of numbers `[k]`, each once."""
        waited = self._step - self._seen[rows]
        late = rows[waited > 0]
        if len(late):
            self._catch_up(late, waited[waited > 0])
        found: Array = self.table[rows]
        return found

    def apply(self, rows: Rows, gradients: Array) -> None:
        """One step of the whole table: of `rows` `[k]`, each once, by `gradients` `[k, ...]`.

        All other rows have no gradient.
        """
        self.rows(rows)
        self._step += 1
        rate = self._rate * np.sqrt(1 - _SQUARES**self._step) / (1 - _MOMENTUM**self._step)
        momentum = self._momentum[rows]
        momentum += (gradients - momentum) * np.float32(1 - _MOMENTUM)
        squares = self._squares[rows]
        squares += (np.square(gradients) - squares) * np.float32(1 - _SQUARES)
        moved = momentum * np.float32(rate) / (np.sqrt(squares) + np.float32(_EPSILON))
        self.table[rows] = (self.table[rows] - moved) * np.float32(self._decay)
        self._momentum[rows], self._squares[rows] = momentum, squares
        self._seen[rows] = self._step
        ages = np.arange(self._step, 0, -1)
        self._missed += rate * (_MOMENTUM / np.sqrt(_SQUARES)) ** ages
        self._missed *= self._decay
        self._missed = np.append(self._missed, 0.0)

    def whole(self) -> Array:
        """The table with every row as it is after all steps so far."""
        for start in range(0, len(self.table), _ROWS_AT_ONCE):
            self.rows(np.arange(start, min(start + _ROWS_AT_ONCE, len(self.table))))
        return self.table

    def _catch_up(self, rows: Rows, waited: npt.NDArray[np.int64]) -> None:
        """Makes up for the last steps, `waited` `[k]` of them, of `rows` `[k]`."""
        column = (slice(None), *(None for _ in self.table.shape[1:]))

        def each(values: npt.NDArray[np.float64]) -> Array:
            made: Array = values.astype(np.float32)[column]
            return made

        momentum, squares = self._momentum[rows], self._squares[rows]
        moved = momentum / (np.sqrt(squares) + np.float32(_EPSILON))
        kept = self.table[rows] * each(self._decay**waited)
        self.table[rows] = kept - moved * each(self._missed[self._seen[rows]])
        self._momentum[rows] = momentum * each(_MOMENTUM**waited)
        self._squares[rows] = squares * each(_SQUARES**waited)
        self._seen[rows] = self._step
