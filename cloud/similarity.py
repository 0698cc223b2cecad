"""Item-to-item embeddings from the cloud's own view, in closed form.

Two kinds of knowledge, each as a low-rank pair (source, target) with
score(i -> j) = `source[i] · target[j]`:

- *preference*: EASE (Steck 2019, arXiv 1905.03375), what people who liked i like;
- *sequence*: positive pointwise mutual information of "j soon after i" (Levy and
  Goldberg 2014), what people reach for next.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator, eigsh, svds

from cloud.successions import bands_of, positive_information, successions
from ecct_tf.baselines import FactoredEase, fit_ease, fit_item_weights
from ecct_tf.config import SimilarityConfig
from ecct_tf.data.views import joined_of
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import Block
from ecct_tf.knowledge.pair_counts import PairCounts

__all__ = ["preference_block", "preference_sources", "sequence_block"]

Array = npt.NDArray[np.float32]
Histories = Sequence[npt.NDArray[np.int32]]

_AUTO = SimilarityConfig()
# In larger catalogs items that nobody met are left out.
_AMONG_ALL = 1 << 17


def preference_block(
    histories: Histories,
    *,
    num_items: int,
    rank: int,
    regularization: float,
    similarity: SimilarityConfig = _AUTO,
    symmetric: bool = False,
    added: PairCounts | None = None,
) -> Block:
    """EASE's item-to-item weights, reduced to `rank` dimensions.

    Args:
      histories: of the cloud's view.
      num_items: the largest item id.
      rank: of the block.
      regularization: EASE's λ.
      similarity: the form of EASE; with `added` it must be the dense one.
      symmetric: whether source and target are one array, of the mean of the weights both ways. They
        are nearly symmetric, so this costs little, and halves the block.
      added: what devices know of pairs beside these histories.
    """
    if added is None:
        model = fit_item_weights(
            histories, num_items=num_items, regularization=regularization, similarity=similarity
        )
    else:
        model = fit_ease(
            histories,
            num_items=num_items,
            regularization=regularization,
            added=_together(added, histories),
        )
    met = _met(histories, num_items=num_items, rank=rank)
    if met is None or not isinstance(model, FactoredEase):
        return _preference(model.operator(), rank, symmetric=symmetric)
    found = _preference(model.among(met).operator(), rank, symmetric=symmetric)
    target = _spread(found.target, met, num_items=num_items)
    source = target if symmetric else _spread(found.source, met, num_items=num_items)
    return Block("preference", source, target)


def _preference(weights: Any, rank: int, *, symmetric: bool) -> Block:
    if not symmetric:
        return Block("preference", *_low_rank(weights, rank))
    both = _low_rank_symmetric(weights, rank)
    return Block("preference", both, both)


def preference_sources(
    block: Block,
    histories: Histories,
    *,
    num_items: int,
    regularization: float,
    similarity: SimilarityConfig = _AUTO,
) -> Array:
    """Source embeddings for `histories`, expressed in the target space of `block`.

    Lets a model train on positions that these histories leave out: its inputs then come
    from similarities that have not seen the answer, as they will at serving.

    Returns:
      `[items + 1, rank] float32`.
    """
    model = fit_item_weights(
        histories, num_items=num_items, regularization=regularization, similarity=similarity
    )
    norms = np.maximum((block.target**2).sum(axis=0), 1e-12)
    sources: Array = (model.applied_to(block.target) / norms).astype(np.float32)
    return sources


def sequence_block(
    histories: Histories,
    *,
    num_items: int,
    rank: int,
    decay: float,
    added: PairCounts | None = None,
) -> Block:
    """Low-rank PPMI of "candidate soon after item", closer steps weighing `decay**distance`.

    `added` is what devices know of pairs beside these histories.
    """
    bands = successions(histories, num_items=num_items, decay=decay)
    if added is not None:
        for place, rows in enumerate(bands_of(num_items)):
            bands[place] = (bands[place] + added.after[rows]).tocsr()
    information = positive_information(bands)
    met = None if added is not None else _met(histories, num_items=num_items, rank=rank)
    if met is None:
        return Block("sequence", *_low_rank(information, rank))
    parts = _low_rank(information[met][:, met], rank)
    source, target = (_spread(part, met, num_items=num_items) for part in parts)
    return Block("sequence", source, target)


def _met(histories: Histories, *, num_items: int, rank: int) -> npt.NDArray[np.int64] | None:
    """The items of histories, ascending, if a catalog is so large that others are left out.

    What nobody met has no similarity to anything: its rows are zero, and cost as much as others.
    """
    if num_items <= _AMONG_ALL:
        return None
    found = np.flatnonzero(np.bincount(joined_of(histories), minlength=num_items + 1))
    return found if len(found) > rank else None


def _spread(part: Array, met: npt.NDArray[np.int64], *, num_items: int) -> Array:
    """`[items + 1, rank]`: rows of the items that were met, and zeros."""
    rows = np.zeros((num_items + 1, part.shape[1]), np.float32)
    rows[met] = part
    return rows


def _together(added: PairCounts, histories: Histories) -> sparse.csr_matrix:
    """Co-occurrences as "soon after" tells of them: a step counts 1, wider ones less.

    No pair has more than its rarer item: repetitions count in a sequence alone.
    """
    seen = np.concatenate([np.unique(history) for history in histories])
    most = np.bincount(seen, minlength=len(added.items)) + added.items
    steps = ((added.after + added.after.T) / added.step).tocoo()
    apart = steps.row != steps.col
    row, column = steps.row[apart], steps.col[apart]
    counts = np.minimum(steps.data[apart], np.minimum(most[row], most[column]))
    return sparse.csr_matrix((counts, (row, column)), shape=steps.shape) + sparse.diags(added.items)


def _low_rank(matrix: Any, rank: int) -> tuple[Array, Array]:
    """Best rank-r factors with the singular values split evenly, signs made deterministic."""
    size = matrix.shape[0]
    start = _first_direction(size, rank)
    if not (matrix @ start).any():
        # Nobody has two interactions, so that there is no direction to find.
        return np.zeros((size, rank), np.float32), np.zeros((size, rank), np.float32)
    left, values, right = svds(matrix, k=rank, v0=start)
    order = np.argsort(-values)
    left, values, right = left[:, order], values[order], right[order].T
    root = np.sqrt(values) * _signs(right)
    return (left * root).astype(np.float32), (right * root).astype(np.float32)


def _low_rank_symmetric(matrix: Any, rank: int) -> Array:
    """Best rank-r `e` with `e eᵀ` near the mean of `matrix` and its transpose: `[n, rank]`."""
    size = matrix.shape[0]
    start = _first_direction(size, rank)
    one_way = aslinearoperator(matrix)
    both = (one_way + one_way.adjoint()) * 0.5
    if not (both @ start).any():
        return np.zeros((size, rank), np.float32)
    values, vectors = eigsh(both, k=rank, v0=start, which="LA")
    order = np.argsort(-values)
    values, vectors = values[order], vectors[:, order]
    # What is negative has no square root: an item is no more unlike itself than alike.
    root = np.sqrt(np.maximum(values, 0.0)) * _signs(vectors)
    found: Array = (vectors * root).astype(np.float32)
    return found


def _first_direction(size: int, rank: int) -> npt.NDArray[np.float64]:
    if rank >= size:
        raise ConfigError(f"the embedding rank must be below the number of items, got {rank}")
    return np.random.default_rng(0).standard_normal(size)


def _signs(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`[rank]`, 1 or -1: those by which the largest component of each column is positive."""
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return np.where(signs == 0, 1.0, signs)
