"""EASE: a linear item-item model in closed form.

H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: the
matrix `B` with zero diagonal that minimises `||X - X B||^2 + lambda ||B||^2` over
the binary device-item matrix `X`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse  # type: ignore[import-untyped, unused-ignore]
from scipy.linalg import lapack  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from ecct_tf.baselines._interactions import IntArray, checked_candidates, interaction_matrix
from ecct_tf.baselines.factored_ease import FactoredEase, fit_factored_ease
from ecct_tf.config import SimilarityConfig
from ecct_tf.errors import ConfigError, DataError

__all__ = ["Ease", "ease_scores", "fit_ease", "fit_item_weights"]

# Bounds the dense [devices, items] block that scoring holds at once.
_DEVICES_AT_ONCE = 1024
# And the sparse matrices that fitting holds at once.
_HISTORIES_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class Ease:
    """A fitted model.

    Attributes:
      weights: `[num_items + 1, num_items + 1] float32`; `weights[i, j]` is what an
        interaction with item `i` adds to the score of item `j`. The diagonal and
        row and column 0 (padding) are zero.
    """

    weights: npt.NDArray[np.float32] = field(repr=False)

    def __post_init__(self) -> None:
        shape, dtype = self.weights.shape, self.weights.dtype
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2 or dtype != np.float32:
            raise DataError(
                "Ease.weights: expected a square float32 matrix [num_items + 1, num_items + 1], "
                f"received shape {shape} of {dtype}. Make one with `fit_ease`."
            )
        if self.weights[0].any() or self.weights[:, 0].any():
            raise DataError(
                "Ease.weights: expected zeros in row and column 0 (padding), received other "
                "values. Items are numbered from 1: shift the matrix, or use `fit_ease`."
            )

    @property
    def num_items(self) -> int:
        """The largest item id."""
        return int(self.weights.shape[0]) - 1

    def applied_to(self, columns: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """`weights @ columns` for `columns` `[num_items + 1, d] float32`."""
        result: npt.NDArray[np.float32] = self.weights @ columns
        return result

    def operator(self) -> npt.NDArray[np.float64]:
        """The weights in double precision, of which a truncated decomposition can be taken."""
        return self.weights.astype(np.float64)

    def scores(self, histories: sparse.csr_matrix, items: IntArray) -> npt.NDArray[np.float32]:
        """`histories @ weights` at `items`.

        Args:
          histories: `[n, num_items + 1]`, weighted.
          items: `[n, c] int`.

        Returns:
          `[n, c] float32`.
        """
        scores = np.empty(items.shape, dtype=np.float32)
        for start in range(0, items.shape[0], _DEVICES_AT_ONCE):
            rows = slice(start, start + _DEVICES_AT_ONCE)
            all_items = histories[rows] @ self.weights
            scores[rows] = np.take_along_axis(all_items, items[rows].astype(np.int64), axis=1)
        return scores


def fit_ease(
    histories: Sequence[IntArray],
    *,
    num_items: int,
    regularization: float = 500.0,
    added: sparse.csr_matrix | None = None,
) -> Ease:
    """Fits EASE to whole histories; order and repetitions within one do not matter.

    Args:
      histories: per device `[length] int`, items 1..num_items (0 is padding).
      num_items: the largest item id. Fitting inverts a `[num_items, num_items]`
        float64 matrix: a second for thousands of items. Larger catalogs have
        `fit_factored_ease`.
      regularization: lambda, above 0, in units of co-occurrence counts.
      added: `[num_items + 1, num_items + 1]`, co-occurrences beside those of the histories, on
        the diagonal how often each item occurs; symmetric.

    >>> model = fit_ease([np.array([1, 2]), np.array([1, 2])], num_items=2, regularization=2.0)
    >>> model.weights.tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.0]]
    """
    if not (np.isfinite(regularization) and regularization > 0.0):
        raise ConfigError(
            f"regularization: expected a finite value above 0, received {regularization}. "
            "Usual: 100 to 1000."
        )
    gram = _together(histories, num_items=num_items)
    if added is not None:
        gram += added[1:, 1:].toarray()
    gram[np.diag_indices(num_items)] += regularization
    inverse = _inverse(gram)
    weights = np.zeros((num_items + 1, num_items + 1), dtype=np.float32)
    weights[1:, 1:] = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return Ease(weights)


def _together(histories: Sequence[IntArray], *, num_items: int) -> npt.NDArray[np.float64]:
    """`[num_items, num_items]`: in how many histories two items are, some histories at a time.

    They are whole numbers, so that their sum is the same however it is cut.
    """
    gram = np.zeros((num_items, num_items))
    for start in range(0, max(len(histories), 1), _HISTORIES_AT_ONCE):
        some = histories[start : start + _HISTORIES_AT_ONCE]
        matrix = interaction_matrix(some, num_items=num_items, first=start)
        real = matrix[:, 1:].astype(np.float64)
        gram += (real.T @ real).toarray()
    return gram


def _inverse(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of a symmetric matrix, in a third of the time where it is positive definite.

    Co-occurrences are; with noise added to them they need not be.
    """
    factor, failed = lapack.dpotrf(gram, lower=1)
    if failed:
        return np.linalg.inv(gram)
    lower, _ = lapack.dpotri(factor, lower=1)
    lower = np.tril(lower)
    inverse: npt.NDArray[np.float64] = lower + np.tril(lower, -1).T
    return inverse


def ease_scores(
    model: Ease | FactoredEase,
    histories: Sequence[IntArray],
    candidates: IntArray,
    *,
    decay: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Scores each device's candidates from its own history.

    Args:
      model: from `fit_ease` or `fit_factored_ease`.
      histories: for each of the `k` rows of candidates `[length] int`, oldest first,
        everything that came before the tested interaction; may be empty.
      candidates: `[k, c] int32`, items 1..num_items.
      decay: in (0, 1]. An item weighs `decay ** age`, the newest interaction having
        age 0; an item that came up more than once counts once, at its newest.

    Returns:
      `[k, c] float32`. They are not logits: read the ranking metrics and the AUC,
      not the log loss.

    >>> model = fit_ease([np.array([1, 2]), np.array([1, 2])], num_items=3, regularization=2.0)
    >>> ease_scores(model, [np.array([1])], np.array([[2, 3]], np.int32)).tolist()
    [[0.5, 0.0]]
    """
    items = checked_candidates(candidates, num_items=model.num_items)
    if len(histories) != items.shape[0]:
        raise DataError(
            f"histories: expected one per row of candidates, {items.shape[0]}, received "
            f"{len(histories)}. Pass an empty array for a device without a history."
        )
    matrix = interaction_matrix(histories, num_items=model.num_items, decay=decay)
    return model.scores(matrix, items)


def fit_item_weights(
    histories: Sequence[IntArray],
    *,
    num_items: int,
    regularization: float,
    similarity: SimilarityConfig,
) -> Ease | FactoredEase:
    """Fits EASE in the form that `similarity` has for a catalog of `num_items`.

    Args:
      histories: per device `[length] int`, items 1..num_items (0 is padding).
      num_items: the largest item id.
      regularization: lambda, above 0, in units of co-occurrence counts.
      similarity: which form, and how many directions it keeps.
    """
    if similarity.is_dense(num_items):
        return fit_ease(histories, num_items=num_items, regularization=regularization)
    return fit_factored_ease(
        histories,
        num_items=num_items,
        regularization=regularization,
        factors=similarity.factors,
    )
