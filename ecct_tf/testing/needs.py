"""What checks ask for, and the words in which they fail."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.testing.findings import CheckFailedError

__all__ = ["difference", "need", "need_close", "need_finite", "need_shape"]

Array = npt.NDArray[np.float32]

CLOSE = 1e-4


def need(holds: object, told: str) -> None:
    """Fails a check unless something holds."""
    if not holds:
        raise CheckFailedError(told)


def need_shape(what: str, found: Any, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Fails a check unless an array has a shape and a dtype."""
    got = getattr(found, "shape", None), getattr(found, "dtype", type(found).__name__)
    need(
        got == (shape, np.dtype(dtype)),
        f"expected {what} of shape {list(shape)} and {np.dtype(dtype)}, got {got[0]} of {got[1]}",
    )


def need_finite(what: str, found: Array) -> None:
    """Fails a check unless all numbers are finite."""
    need(np.isfinite(found).all(), f"{what}: expected finite numbers, got others")


def need_close(what: str, found: Array, expected: Array) -> None:
    """Fails a check unless arrays are equal up to rounding."""
    need(
        np.allclose(found, expected, atol=CLOSE, rtol=CLOSE),
        f"{what}: off by up to {difference(found, expected)}",
    )


def difference(found: Array, expected: Array) -> str:
    """How far two arrays are apart, for messages."""
    if np.shape(found) != np.shape(expected):
        return f"shapes {np.shape(found)} and {np.shape(expected)}"
    return f"{float(np.abs(np.asarray(found) - expected).max()):.2g}"
