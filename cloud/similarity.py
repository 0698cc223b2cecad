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
from scipy.sparse.linalg import svds

from ecct_tf.baselines import fit_ease, fit_item_weights
from ecct_tf.config import SimilarityConfig
from ecct_tf.data.chunks import chunks_of
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import Block
from ecct_tf.knowledge.pair_counts import PairCounts

__all__ = ["preference_block", "preference_sources", "sequence_block"]

Array = npt.NDArray[np.float32]
Histories = Sequence[npt.NDArray[np.int32]]

_CONTEXT_SMOOTHING = 0.75
_WINDOW = 8
_AUTO = SimilarityConfig()


def preference_block(
    histories: Histories,
    *,
    num_items: int,
    rank: int,
    regularization: float,
    similarity: SimilarityConfig = _AUTO,
    added: PairCounts | None = None,
) -> Block:
    """EASE's item-to-item weights, reduced to `rank` dimensions.

    Args:
      histories: of the cloud's view.
      num_items: the largest item id.
      rank: of the block.
      regularization: EASE's λ.
      similarity: the form of EASE; with `added` it must be the dense one.
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
    source, target = _low_rank(model.operator(), rank)
    return Block("preference", source, target)


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
    counts = _successions(histories, num_items=num_items, decay=decay)
    if added is not None:
        counts = (counts + added.after).tocsr()
    total_source = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1e-9)
    context = np.asarray(counts.sum(axis=0)).ravel() ** _CONTEXT_SMOOTHING
    context = np.maximum(context / max(context.sum(), 1e-9), 1e-12)
    cells = counts.tocoo()
    pmi = np.log(cells.data / (total_source[cells.row] * context[cells.col]))
    positive = sparse.csr_matrix((np.maximum(pmi, 0.0), (cells.row, cells.col)), shape=counts.shape)
    source, target = _low_rank(positive.astype(np.float64), rank)
    return Block("sequence", source, target)


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


def _successions(histories: Histories, *, num_items: int, decay: float) -> sparse.csr_matrix:
    """`[items + 1, items + 1]`: how often the column follows the row within a window."""
    counts = sparse.csr_matrix((num_items + 1, num_items + 1))
    sizes = np.array([len(history) for history in histories], np.int64)
    for index, chunk in enumerate(chunks_of(np.cumsum(sizes))):
        found = _successions_of(histories[chunk], sizes[chunk], shape=counts.shape, decay=decay)
        counts = found if not index else (counts + found).tocsr()
    return counts


def _successions_of(
    histories: Histories, sizes: npt.NDArray[np.int64], *, shape: tuple[int, int], decay: float
) -> sparse.csr_matrix:
    """The same of some histories, whose `sizes` these are."""
    items = np.concatenate([np.zeros(0, np.int32), *histories])
    owners = np.repeat(np.arange(len(sizes)), sizes)
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(items))
    distances = np.arange(1, _WINDOW + 1)
    followed = left[:, None] > distances
    firsts, steps = np.nonzero(followed)
    # User by user and step by step: what is added in this order is rounded in it.
    order = np.argsort(owners[firsts] * _WINDOW + steps, kind="stable")
    firsts, steps = firsts[order], steps[order]
    weights = np.array([decay**distance for distance in distances.tolist()])[steps]
    pairs = items[firsts], items[firsts + 1 + steps]
    return sparse.coo_matrix((weights, pairs), shape=shape).tocsr()


def _low_rank(matrix: Any, rank: int) -> tuple[Array, Array]:
    """Best rank-r factors with the singular values split evenly, signs made deterministic."""
    size = matrix.shape[0]
    if rank >= size:
        raise ConfigError(f"the embedding rank must be below the number of items, got {rank}")
    start = np.random.default_rng(0).standard_normal(size)
    if not (matrix @ start).any():
        # Nobody has two interactions, so that there is no direction to find.
        return np.zeros((size, rank), np.float32), np.zeros((size, rank), np.float32)
    left, values, right = svds(matrix, k=rank, v0=start)
    order = np.argsort(-values)
    left, values, right = left[:, order], values[order], right[order].T
    signs = np.sign(right[np.abs(right).argmax(axis=0), np.arange(rank)])
    root = np.sqrt(values) * np.where(signs == 0, 1.0, signs)
    return (left * root).astype(np.float32), (right * root).astype(np.float32)
