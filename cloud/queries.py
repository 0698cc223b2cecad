"""Which items a device is asked about."""

import numpy as np
import numpy.typing as npt

from ecct_tf.data import CloudView, sample_negatives

__all__ = ["choose_queries", "queries_of"]

Ids = npt.NDArray[np.int32]


def choose_queries(
    rng: np.random.Generator,
    *,
    logits: npt.NDArray[np.float32],
    known: Ids,
    size: int,
    top_share: float,
) -> Ids:
    """Best guesses and uniform ones out of the catalog, without what the cloud knows.

    Args:
      rng: draws.
      logits: `[items] float32`, `z_c` of items 1, 2, ….
      known: `[n] int32`, what the cloud knows of the history; may be empty.
      size: Q.
      top_share: share of them drawn from the best guesses, of which there are four times as
        many.

    Returns:
      `[Q] int32`; the uniform ones may repeat.
    """
    tops = round(size * top_share)
    pool = min(max(4 * tops, 1), len(logits))
    open_logits = logits.copy()
    open_logits[known - 1] = -np.inf
    best = np.argpartition(-open_logits, pool - 1)[:pool]
    # In a small catalog the pool may reach into what is known.
    best = best[np.isfinite(open_logits[best])]
    own_tops = min(tops, len(best))
    chosen = 1 + rng.choice(best, own_tops, replace=False)
    uniform = sample_negatives(rng, positives=known, num_items=len(logits), size=size - own_tops)
    return np.concatenate([chosen, uniform]).astype(np.int32)


def queries_of(
    users: Ids,
    *,
    logits: npt.NDArray[np.float32],
    view: CloudView,
    size: int,
    top_share: float,
    seed: tuple[int, ...],
) -> Ids:
    """The queries of several users, each drawn by itself, so that it does not matter who is asked.

    Args:
      users: `[n] int32`.
      logits: `[n, items] float32`, `z_c` of items 1, 2, ….
      view: what the cloud knows of their histories.
      size: Q.
      top_share: as in `choose_queries`.
      seed: to which each user's number is added.

    Returns:
      `[n, Q] int32`.
    """
    chosen = np.empty((len(users), size), np.int32)
    for row, user in enumerate(users.tolist()):
        chosen[row] = choose_queries(
            np.random.default_rng([*seed, user]),
            logits=logits[row],
            known=view.older.of(user),
            size=size,
            top_share=top_share,
        )
    return chosen
