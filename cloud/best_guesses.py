"""The best guesses of a cloud whose score is a product of two towers, in catalogs of any size."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cloud.best_products import IN_ONE_PIECE, BestProducts
from cloud.chunks import users_at_once
from cloud.queries import Guesses, guesses_of_logits

__all__ = ["product_guesses"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


def product_guesses(
    vectors: Callable[[Ids], Array], *, items: Array, biases: Array
) -> tuple[Guesses, int]:
    """The items of the largest `u · v + b`, and for how many users to ask at once.

    Small catalogs are scored whole; of large ones the same items come in another order.

    Args:
      vectors: `(users [n]) -> [n, d] float32`, `u` of users.
      items: `[items, d] float32`, `v` of the items 1, 2, ….
      biases: `[items] float32`, `b` of them.
    """
    if len(items) > IN_ONE_PIECE:
        best = BestProducts(items, biases)
        return lambda users, known, count: best.of(
            vectors(users), closed=known, count=count
        ), users_at_once(0)

    def logits(users: Ids) -> Array:
        found: Array = vectors(users) @ items.T
        found += biases
        return found

    return guesses_of_logits(logits), users_at_once(len(items))
