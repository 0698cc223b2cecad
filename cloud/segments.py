"""Segments of users: what a device reads whose user the cloud does not know yet."""

import dataclasses

import numpy as np
import numpy.typing as npt

from cloud.queries import choose_queries
from cloud.version_files import StoredCloud

__all__ = ["EVERYBODY", "SegmentDownlinks", "mean_of_everybody", "segment_downlinks"]

EVERYBODY = "all"
"""The segment of all users, for whoever is in no other."""

# The mean of fewer tells about single users, and would outlast their erasure.
_FEWEST = 5


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentDownlinks:
    """Downlinks of segments, before any codec.

    Attributes:
      names: `all` first, then one for each category of the centralized user columns that a
        user with a history has, if at least five such users have it.
      embeddings: `[segments, d_c] float32`, the mean over the segment's users.
      queries: `[segments, Q] int32`.
    """

    names: tuple[str, ...]
    embeddings: npt.NDArray[np.float32]
    queries: npt.NDArray[np.int32]


def segment_downlinks(
    stored: StoredCloud, users: npt.NDArray[np.float32], *, round_number: int
) -> SegmentDownlinks:
    """The downlinks of all segments of a version.

    A segment says what the mean user of it would be told; single users without any older
    interaction do not count.

    Args:
      stored: the version.
      users: `[users, d_c] float32`, its user embeddings without uplinks.
      round_number: from which the queries are drawn.
    """
    older_counts = np.diff(stored.older.offsets)
    heard = older_counts > 0
    names, means = [EVERYBODY], [mean_of_everybody(users, older_counts)]
    categories = stored.space.user_categories
    for name, column in zip(categories, stored.user_columns().T, strict=True):
        inside = heard & (column > 0)
        if np.count_nonzero(inside) >= _FEWEST:
            names.append(name)
            means.append(users[inside].mean(axis=0))
    embeddings = np.stack(means)
    logits = embeddings @ stored.table.cloud[1:].T + stored.table.bias[1:]
    queries = [
        choose_queries(
            np.random.default_rng([stored.seed, 5, round_number, index]),
            logits=logits[index],
            known=np.zeros(0, np.int32),
            size=stored.num_queries,
            top_share=stored.config.query_top_share,
        )
        for index in range(len(names))
    ]
    return SegmentDownlinks(tuple(names), embeddings, np.stack(queries))


def mean_of_everybody(
    users: npt.NDArray[np.float32], older_counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """`[d_c] float32`, the downlink of the segment of all users.

    Args:
      users: `[users, d_c] float32`, their user embeddings without uplinks.
      older_counts: `[users] int64`, how many interactions of each the cloud knows; who has none
        does not count, unless nobody has any.
    """
    heard = older_counts > 0
    mean: npt.NDArray[np.float32] = users[heard if heard.any() else slice(None)].mean(axis=0)
    return mean
