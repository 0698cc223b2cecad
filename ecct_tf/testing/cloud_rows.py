"""What is checked of a cloud that sends rows, `h_c` and `z_c` of items that it chose."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.data import CloudView
from ecct_tf.knowledge import CloudRows, ItemTable
from ecct_tf.testing.needs import need, need_close, need_finite, need_shape

__all__ = ["check_rows", "drift_of"]

Array = npt.NDArray[np.float32]


def check_rows(
    cloud: Any, *, users: npt.NDArray[np.int32], table: ItemTable, view: CloudView
) -> str:
    """Rows are each user's own, one an item, and say what the cloud itself says.

    Args:
      cloud: as it was when it published.
      users: `[n] int32`, all of them, four or more.
      table: that it published.
      view: what it knows.

    Raises:
      CheckFailedError: they are not.
    """
    sent = cloud.downlinks(users, round_number=0)
    need(isinstance(sent, CloudRows), f"expected CloudRows, got {type(sent).__name__}")
    need(np.ndim(sent.items) == 2, f"expected rows' items [n, K], got {np.shape(sent.items)}")
    shape = (len(users), sent.items.shape[1])
    need_shape("rows' items", sent.items, shape, np.int32)
    need_shape("rows' embeddings", sent.embeddings, (*shape, table.row_dim), np.float32)
    need_shape("rows' logits", sent.logits, shape, np.float32)
    need_finite("rows' embeddings", sent.embeddings)
    need_finite("rows' logits", sent.logits)
    low, high = int(sent.items.min()), int(sent.items.max())
    need(low >= 0 and high <= view.num_items, f"rows name items {low} to {high}")
    for user, items in zip(users.tolist(), sent.items, strict=True):
        real = items[items > 0]
        need(len(np.unique(real)) == len(real), f"two rows of user {user} are of one item")
    asked = cloud.queries(users, round_number=0)
    need(
        (asked[:, :, None] == sent.items[:, None, :]).any(axis=-1).all(),
        "devices are asked about items that they have no rows for",
    )
    said = cloud.scores(users, sent.items, knowledge=None, round_number=0)
    need_close("rows' logits against scores", sent.logits, np.where(sent.items > 0, said, 0.0))
    places = [3, 1]
    some = cloud.downlinks(users[places], round_number=0)
    for name, one, every in zip(CloudRows._fields, some, sent, strict=True):
        need_close(f"rows' {name} of two users alone", one, every[places])
    return f"{shape[1]} rows a user, whoever is asked beside, those of queries among them"


def drift_of(before: tuple[Array, ...], after: tuple[Array, ...]) -> float:
    """Mean change of what downlinks say, by its spread; of rows, of those of the same items."""
    if len(before) == 1:
        spread, old, new = before[0], before[0], after[0]
    else:
        same = before[0] == after[0]
        spread, old, new = before[1], before[1][same], after[1][same]
    return float(np.abs(new - old).mean() / max(spread.std(), 1e-9))
