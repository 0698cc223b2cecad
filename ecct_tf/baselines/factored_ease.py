"""EASE for catalogs whose items by items do not fit: the same model, never written out.

With `G = X^T X` the co-occurrences of items, EASE needs the inverse of `G + lambda I`: memory
and time grow with the square and the cube of the catalog. Here `G` is its `k` strongest
directions plus a diagonal, `V diag(s) V^T + diag(r)`: the directions hold what items share, the
diagonal `r` gives each item back the rest of its own count. Its inverse has a closed form
(Woodbury), and the weights come out as `left @ right.T - diag(own)`. Where `k` reaches the rank
of `X` nothing is left out, and the weights are those of `fit_ease`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse  # type: ignore[import-untyped, unused-ignore]  # it ships no types
from scipy.sparse.linalg import (  # type: ignore[import-untyped, unused-ignore]
    LinearOperator,
)
from sklearn.utils.extmath import randomized_svd

from ecct_tf.baselines._interactions import IntArray, interaction_matrix
from ecct_tf.budget import LARGEST_BASIS_BYTES
from ecct_tf.errors import ConfigError

__all__ = ["FactoredEase", "fit_factored_ease"]

_POWER_ITERATIONS = 4
# Directions weaker than this share of the strongest are rounding.
_WEAKEST = 1e-9
_USERS_AT_ONCE = 1024
_OVERSAMPLES = 10
_MULTIPLIED_AT_ONCE = 1 << 16
# In larger catalogs items that nobody met, whose weights are zero, are left out.
_AMONG_ALL = 1 << 17

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FactoredEase:
    """A fitted model; `weights[i, j] = left[i] · right[j]` but for the diagonal, which is zero.

    Attributes:
      left: `[num_items + 1, k] float32`; row 0 (padding) is zero.
      right: `[num_items + 1, k] float32`, likewise.
      own: `[num_items + 1] float32`, what `left @ right.T` has on its diagonal.
    """

    left: Array = field(repr=False)
    right: Array = field(repr=False)
    own: Array = field(repr=False)

    @property
    def num_items(self) -> int:
        """The largest item id."""
        return len(self.own) - 1

    def among(self, items: IntArray) -> "FactoredEase":
        """The weights of some items among themselves, by their places in `items` `[k]`."""
        return FactoredEase(self.left[items], self.right[items], self.own[items])

    def applied_to(self, columns: Array) -> Array:
        """`weights @ columns` for `columns` `[num_items + 1, d] float32`."""
        result: Array = self.left @ (self.right.T @ columns) - self.own[:, None] * columns
        return result

    def operator(self) -> Any:
        """The weights as a `LinearOperator`, of which a truncated decomposition can be taken."""
        left, right, own = (part.astype(np.float64) for part in (self.left, self.right, self.own))

        def times(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.asarray(left @ (right.T @ x) - (own * x.T).T)

        def transposed(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.asarray(right @ (left.T @ x) - (own * x.T).T)

        return LinearOperator(
            (len(own), len(own)),
            matvec=times,
            rmatvec=transposed,
            matmat=times,
            rmatmat=transposed,
            dtype=np.float64,
        )

    def scores(self, histories: sparse.csr_matrix, items: IntArray) -> Array:
        """`histories @ weights` at `items`.

        Args:
          histories: `[n, num_items + 1]`, weighted.
          items: `[n, c] int`.

        Returns:
          `[n, c] float32`.
        """
        result = np.empty(items.shape, np.float32)
        for start in range(0, len(items), _USERS_AT_ONCE):
            rows = slice(start, start + _USERS_AT_ONCE)
            users, chosen = histories[rows] @ self.left, items[rows]
            for row, (user, mine) in enumerate(zip(users, chosen, strict=True), start=start):
                result[row] = self.right[mine] @ user
            known = np.asarray(
                histories[rows][np.arange(len(chosen))[:, None], chosen].todense()
            ).reshape(chosen.shape)
            result[rows] -= known * self.own[chosen]
        return result


def fit_factored_ease(
    histories: Sequence[IntArray], *, num_items: int, regularization: float, factors: int
) -> FactoredEase:
    """Fits EASE to whole histories, by the `factors` strongest directions of what items share.

    Memory is `factors` numbers an item, and of few users a user; time grows with the interactions
    times `factors` and with the items times its square.

    Args:
      histories: per device `[length] int`, items 1..num_items (0 is padding).
      num_items: the largest item id.
      regularization: lambda, above 0, in units of co-occurrence counts.
      factors: k, at least 1; more than the histories have is the same as all of them.

    >>> histories = [np.array([1, 2]), np.array([1, 2])]
    >>> model = fit_factored_ease(histories, num_items=2, regularization=2.0, factors=2)
    >>> (model.left @ model.right.T - np.diag(model.own)).round(4).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.0]]
    """
    if not (np.isfinite(regularization) and regularization > 0.0) or factors < 1:
        raise ConfigError(
            "expected a finite regularization above 0 and one or more factors, received "
            f"{regularization} and {factors}; usual are 100 to 1000 and some hundreds"
        )
    parts = [
        interaction_matrix(
            histories[start : start + _MULTIPLIED_AT_ONCE], num_items=num_items, first=start
        )[:, 1:].astype(np.float64)
        for start in range(0, max(len(histories), 1), _MULTIPLIED_AT_ONCE)
    ]
    matrix = parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")
    met: Any = slice(1, None)
    if num_items > _AMONG_ALL:
        columns = np.unique(matrix.indices)
        matrix, met = matrix[:, columns], 1 + columns
    directions, strengths = _directions(matrix, factors)
    counts = np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()
    rest = np.maximum(counts - (directions**2) @ strengths, 0.0)
    diagonal = rest + regularization
    scaled = directions / diagonal[:, None]
    inner = np.diag(1.0 / strengths) + directions.T @ scaled
    half = np.linalg.cholesky(np.linalg.inv(inner))
    root = scaled @ half
    inverse_diagonal = 1.0 / diagonal - (root**2).sum(axis=1)
    left = np.zeros((num_items + 1, root.shape[1]), np.float32)
    right, own = np.zeros(left.shape, np.float32), np.zeros(num_items + 1, np.float32)
    left[met] = root
    right[met] = root / inverse_diagonal[:, None]
    own[met] = (root**2).sum(axis=1) / inverse_diagonal
    return FactoredEase(left, right, own)


def _directions(
    matrix: sparse.csr_matrix, factors: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Right singular vectors `[items, k]` and squared singular values `[k]`, strongest first."""
    users, items = matrix.shape
    if min(users, items) <= factors:
        small = (matrix @ matrix.T if users <= items else matrix.T @ matrix).toarray()
        strengths, vectors = np.linalg.eigh(small)
        order = np.argsort(-strengths)
        strengths, vectors = strengths[order], vectors[:, order]
        kept = strengths > _WEAKEST * max(strengths[0], 1e-300)
        strengths, vectors = strengths[kept], vectors[:, kept]
        if users <= items:
            vectors = (matrix.T @ vectors) / np.sqrt(strengths)
        return vectors, strengths
    if users > items and 8 * users * factors > LARGEST_BASIS_BYTES:
        return _directions_of_items(matrix, factors)
    _, values, rows = randomized_svd(
        matrix, n_components=factors, n_iter=_POWER_ITERATIONS, random_state=0
    )
    kept = values**2 > _WEAKEST * values[0] ** 2
    return rows.T[:, kept], values[kept] ** 2


def _directions_of_items(
    matrix: sparse.csr_matrix, factors: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The same by the same random directions, with nothing that has a number for each user.

    `randomized_svd` reduces `X` to `B = Q^T X`, where `Q` is an orthonormal basis of `X Z`. With
    `Q = X Z R^-1` and `R^T R = Z^T G Z`, which `G = X^T X` gives, `B` is `R^-T (G Z)^T`.
    """
    drawn = np.random.RandomState(0).normal(size=(matrix.shape[1], factors + _OVERSAMPLES))
    basis = drawn
    for _ in range(_POWER_ITERATIONS):
        basis, _ = np.linalg.qr(_together(matrix, basis))
    product = _together(matrix, basis)
    lower = np.linalg.cholesky(basis.T @ product)
    reduced = linalg.solve_triangular(lower, product.T, lower=True)
    _, values, rows = np.linalg.svd(reduced, full_matrices=False)
    values, rows = values[:factors], rows[:factors]
    kept = values**2 > _WEAKEST * values[0] ** 2
    return rows.T[:, kept], values[kept] ** 2


def _together(
    matrix: sparse.csr_matrix, columns: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """`matrix.T @ matrix @ columns`, `[items, k]`, for some users at a time."""
    found = np.zeros_like(columns)
    for start in range(0, matrix.shape[0], _MULTIPLIED_AT_ONCE):
        some = matrix[start : start + _MULTIPLIED_AT_ONCE]
        found += some.T @ (some @ columns)
    return found
