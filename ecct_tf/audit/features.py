"""What a cloud can say of a user: by its own view, and by what it received of them."""

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from ecct_tf.audit.received import Answers
from ecct_tf.data import CloudView, EncodedColumn, Kind

__all__ = ["CentralKnowledge", "central_knowledge", "received_features"]

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

# Directions in which users' older histories differ most.
_RANK = 48
# Of those, how many tell along which items a user's logits are higher than others'.
_RESIDUAL_RANK = 16
# Values of a category above which it would be a name, not a property.
_MANY_VALUES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class CentralKnowledge:
    """What the cloud knew before any uplink.

    Attributes:
      users: `[users, f] float64`, features of each user.
      items: `[items + 1, r] float64`, what the histories say of items; row 0 is zero.
      popularity: `[items + 1] float64`, older interactions with each.
    """

    users: Array
    items: Array
    popularity: Array


def central_knowledge(view: CloudView, *, seed: int) -> CentralKnowledge:
    """Features out of the cloud's own view alone.

    Of a user: the older history along the directions in which histories differ most, the mean of
    its items' columns, how many interactions over how long, and the centralized user columns.

    Args:
      view: of the cloud.
      seed: of the decomposition.
    """
    older = view.older
    counts = np.diff(older.offsets)
    shape = (view.num_users, view.num_items + 1)
    # A copy, since the view's arrays are read-only and duplicates are joined in place.
    parts = np.ones(len(older.items)), older.items.copy(), older.offsets
    matrix = sparse.csr_matrix(parts, shape=shape)
    matrix.sum_duplicates()
    popularity = np.asarray((matrix > 0).sum(axis=0)).ravel().astype(np.float64)
    rarity = np.log1p(view.num_users / (1.0 + popularity))
    weighted = matrix.minimum(1.0) @ sparse.diags(rarity)
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    weighted = sparse.diags(1.0 / np.maximum(lengths, 1e-12)) @ weighted
    rank = max(1, min(_RANK, min(shape) - 1))
    left, values, right = randomized_svd(weighted, rank, random_state=seed)
    columns = [_numbers(column) for column in view.items.columns]
    attributes = np.hstack([np.zeros((view.num_items + 1, 0)), *columns])
    means = (matrix @ attributes) / np.maximum(counts, 1)[:, None]
    spans = np.array([_span(view, user) for user in range(view.num_users)])
    users = [left * values, means, np.log1p(counts)[:, None], np.log1p(spans)[:, None]]
    users += [_numbers(column) for column in view.users.columns]
    items = (right.T * values).astype(np.float64)
    items[0] = 0.0
    return CentralKnowledge(np.hstack(users).astype(np.float64), items, popularity)


def received_features(answers: Answers, knowledge: CentralKnowledge, users: Ids) -> Array:
    """`[n, g] float64`: what uplinks say of each of `users` `[n]`, who sent some.

    Mean and spread of `h_e` and `z_e`, how often the device answered, and along which items its
    logits are higher than those of other devices for the same items.
    """
    place = np.searchsorted(users, answers.users)
    kept, sent = answers.with_embedding, answers.with_logit

    def mean(values: Array, rows: npt.NDArray[np.bool_]) -> Array:
        sums = np.zeros((len(users), values.shape[1]))
        np.add.at(sums, place[rows], values[rows])
        return sums / np.maximum(np.bincount(place[rows], minlength=len(users)), 1)[:, None]

    def spread(values: Array, rows: npt.NDArray[np.bool_]) -> Array:
        return np.sqrt(np.maximum(mean(values**2, rows) - mean(values, rows) ** 2, 0.0))

    logits = answers.logit[:, None]
    sums = np.bincount(answers.items[sent], weights=answers.logit[sent])
    by_item = sums / np.maximum(np.bincount(answers.items[sent]), 1)
    own = np.zeros_like(answers.logit)
    own[sent] = answers.logit[sent] - by_item[answers.items[sent]]
    directions = knowledge.items[answers.items, :_RESIDUAL_RANK]
    parts = [
        mean(answers.embedding, kept),
        spread(answers.embedding, kept),
        mean(logits, sent),
        spread(logits, sent),
        mean(own[:, None], sent),
        mean(own[:, None] * directions, sent),
        np.bincount(place, minlength=len(users))[:, None],
    ]
    return np.hstack(parts).astype(np.float64)


def _span(view: CloudView, user: int) -> float:
    """Days between a user's first and last older interaction."""
    times = view.older.times_of(user)
    return float(times[-1] - times[0]) / 86_400 if len(times) else 0.0


def _numbers(column: EncodedColumn) -> Array:
    """`[rows, k] float64` of a column; nothing of one that rather names than describes."""
    if column.column.kind is Kind.CATEGORICAL:
        if len(column.vocabulary) > _MANY_VALUES:
            return np.zeros((column.num_rows, 0))
        return np.eye(len(column.vocabulary) + 1)[column.values]
    values = np.asarray(column.values, np.float64)
    return values.reshape(column.num_rows, -1)
