"""Taste clusters: items that the same users met, by the older interactions that the cloud knows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ecct_tf.data.split import Split

__all__ = ["taste_clusters"]

_ITERATIONS = 8
_OVERSAMPLING = 8
_PASSES = 50


def taste_clusters(split: Split, *, clusters: int) -> npt.NDArray[np.int64]:
    """`[num_items + 1] int64`: the cluster of each item, from 0; of padding 0.

    Spectral co-clustering: with users and items scaled by the root of their number of older
    interactions, the leading singular vectors of the items beside the trivial one, which is
    popularity, then k-means over their directions. The clusters belong to the data: no seed of a
    run moves them. Items without older interactions go to the largest cluster.

    Args:
      split: whose older parts are read.
      clusters: how many at most; fewer where fewer items have older interactions.

    Example:
      >>> from ecct_tf.data import SyntheticConfig, leave_one_out, synthetic_dataset
      >>> split = leave_one_out(synthetic_dataset(SyntheticConfig(users=16)))
      >>> sorted(set(taste_clusters(split, clusters=3).tolist()))
      [0, 1, 2]
    """
    sizes = np.diff(split.offsets)
    owner = np.repeat(np.arange(split.num_users), sizes)
    place = np.arange(len(split.items)) - split.offsets[owner]
    older = place < split.older_counts[owner]
    users, items = owner[older], split.items[older].astype(np.int64)
    counts = np.bincount(items, minlength=split.num_items + 1)
    known = np.flatnonzero(counts)
    labels = np.zeros(split.num_items + 1, np.int64)
    if len(known) <= clusters:
        labels[known] = np.arange(len(known))
        return labels
    vectors = _directions(users, items, split.num_users, counts, width=clusters - 1)[known]
    found = _k_means(vectors, clusters)
    labels[:] = np.bincount(found).argmax()
    labels[known] = found
    labels[0] = 0
    return labels


def _directions(
    users: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
    num_users: int,
    counts: npt.NDArray[np.int64],
    *,
    width: int,
) -> npt.NDArray[np.float64]:
    """`[items, width]`: singular vectors by subspace iteration, rows of length 1."""
    active = np.maximum(np.bincount(users, minlength=num_users), 1)
    weights = 1.0 / np.sqrt(active[users] * counts[items])

    def to_users(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        columns = [np.bincount(users, weights * v[items], minlength=num_users) for v in vectors.T]
        return np.stack(columns, axis=1)

    def to_items(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        columns = [np.bincount(items, weights * v[users], minlength=len(counts)) for v in vectors.T]
        return np.stack(columns, axis=1)

    size = min(width + _OVERSAMPLING, int(np.count_nonzero(counts)))
    basis = np.random.default_rng(0).normal(size=(len(counts), size))
    # The singular vector of the value 1 is known; others may have that value too.
    trivial = np.sqrt(counts / counts.sum())
    for _ in range(_ITERATIONS):
        moved = to_items(to_users(basis))
        basis, _ = np.linalg.qr(moved - np.outer(trivial, trivial @ moved))
    _, singular, rotation = np.linalg.svd(to_users(basis), full_matrices=False)
    vectors = (basis @ rotation.T * singular)[:, :width]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: npt.NDArray[np.float64] = vectors / np.maximum(lengths, 1e-12)
    return directions


def _k_means(vectors: npt.NDArray[np.float64], clusters: int) -> npt.NDArray[np.int64]:
    """`[rows] int64`, from 0; centres begin as k-means++ chooses them, none stays empty."""
    rng = np.random.default_rng(1)
    centres = [vectors[int(rng.integers(len(vectors)))]]
    for _ in range(1, clusters):
        nearest = np.min([((vectors - centre) ** 2).sum(axis=1) for centre in centres], axis=0)
        total = nearest.sum()
        chances = nearest / total if total > 0 else np.full(len(vectors), 1 / len(vectors))
        centres.append(vectors[int(rng.choice(len(vectors), p=chances))])
    middle = np.stack(centres)
    labels = np.zeros(len(vectors), np.int64)
    for number in range(_PASSES):
        distances = ((vectors[:, None, :] - middle[None]) ** 2).sum(axis=2)
        found = distances.argmin(axis=1)
        for empty in np.setdiff1d(np.arange(clusters), found):
            found[int(distances[np.arange(len(found)), found].argmax())] = empty
            distances[found == empty] = 0.0
        if number and np.array_equal(found, labels):
            break
        labels = found
        middle = np.stack([vectors[labels == each].mean(axis=0) for each in range(clusters)])
    return labels
