"""What the conformance kit asks of a cloud that is fitted and published, a function a check."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.growth import grow_space
from ecct_tf.data import CloudView
from ecct_tf.errors import CheckpointError
from ecct_tf.federated import TrainableCloud
from ecct_tf.knowledge import CloudRows, ItemTable, KnowledgeStore, UplinkRows
from ecct_tf.testing.cloud_data import smaller_view
from ecct_tf.testing.cloud_rows import check_rows, drift_of
from ecct_tf.testing.findings import CheckFailedError
from ecct_tf.testing.needs import difference, need, need_close, need_finite, need_shape

__all__ = ["CHECKS", "EDGE_DIM", "QUERIES", "CloudCase", "Make"]

Array = npt.NDArray[np.float32]
Make = Callable[..., Any]

EDGE_DIM, QUERIES = 3, 4
# Of the downlinks' own spread: what weights out on devices may meet after one update.
_DRIFT = 0.25


@dataclasses.dataclass(frozen=True, eq=False)
class CloudCase:
    """A cloud that is fitted and published; each check begins at `start`.

    Attributes:
      make: makes a cloud of a view.
      view: the cloud's side of the data.
      cloud: one of the view.
      table: the item table that it published.
      start: its snapshot after that.
      users: `[users] int32`, all of them.
    """

    make: Make
    view: CloudView
    cloud: Any
    table: ItemTable
    start: dict[str, Array]
    users: npt.NDArray[np.int32]

    @classmethod
    def of(cls, make: Make, view: CloudView) -> "CloudCase":
        """Makes a cloud, fits it and has it publish.

        Raises:
          CheckFailedError: it lacks methods.
        """
        cloud = make(view)
        lacks = [name for name in _METHODS if not callable(getattr(cloud, name, None))]
        if lacks or not isinstance(cloud, TrainableCloud):
            raise CheckFailedError(f"expected the methods of TrainableCloud, it lacks {lacks}")
        if hasattr(cloud, "fit"):
            cloud.fit()
        users = np.arange(view.num_users, dtype=np.int32)
        return cls(make, view, cloud, cloud.publish(), _copied(cloud.snapshot()), users)

    def begun(self) -> Any:
        """The cloud as it was at `start`."""
        self.cloud.restore(self.start)
        return self.cloud

    def fresh(self) -> Any:
        """Another build, published, as when a run is resumed."""
        cloud = self.make(self.view)
        cloud.publish()
        return cloud

    @property
    def sends_rows(self) -> bool:
        """Whether downlinks carry rows, since a score is no product."""
        return self.table.row_dim > 0

    def embeddings(self, cloud: Any, knowledge: KnowledgeStore | None = None) -> Array:
        """User embeddings; of a cloud that sends rows, the scores of some items."""
        if self.sends_rows:
            items = np.tile(np.arange(1, 9, dtype=np.int32), (len(self.users), 1))
            scores: Array = cloud.scores(self.users, items, knowledge=knowledge, round_number=1)
            return scores
        found: Array = cloud.user_embeddings(self.users, knowledge=knowledge, round_number=1)
        return found

    def sent(self, cloud: Any, *, round_number: int = 0) -> tuple[Array, ...]:
        """The arrays of downlinks."""
        found = cloud.downlinks(self.users, round_number=round_number)
        return tuple(found) if isinstance(found, CloudRows) else (found,)

    @functools.cached_property
    def knowledge(self) -> KnowledgeStore:
        """Uplinks of all users but the last two, who like even items."""
        users = self.users[:-2]
        items = self.cloud.queries(users, round_number=0)
        draw = np.random.default_rng(0)
        rows = UplinkRows(
            users=users,
            items=items,
            embeddings=draw.normal(size=(*items.shape, EDGE_DIM)).astype(np.float32),
            logits=np.where(items % 2 == 0, 3.0, -3.0).astype(np.float32),
        )
        store = KnowledgeStore.empty(
            num_users=len(self.users), num_queries=QUERIES, embedding_dim=EDGE_DIM
        )
        return store.updated(rows, round_number=0)

    def taught(self, cloud: Any) -> dict[str, float]:
        """What an update from `knowledge` measures."""
        measured: dict[str, float] = cloud.update(self.knowledge, round_number=0, use_logits=True)
        return measured


_METHODS = (
    "downlinks", "publish", "queries", "restore", "scores", "snapshot", "update", "user_embeddings",
)  # fmt: skip


def _table(case: CloudCase) -> str:
    table, items = case.table, case.view.num_items
    need(table.num_items == items, f"expected {items} items in the table, got {table.num_items}")
    need_finite("the table's item embeddings", table.cloud)
    need_finite("the table's item biases", table.bias)
    if case.sends_rows:
        again = case.begun().publish()
        need(again.row_dim == table.row_dim, "a second publication has rows of another width")
        return f"no embeddings of items: rows of {table.row_dim} numbers are sent"
    spread = float(table.cloud[1:].std(axis=0).max())
    need(spread > 0, "all items have one embedding")
    again = case.begun().publish()
    need(np.array_equal(again.cloud, table.cloud), "a second publication has another table")
    return f"embeddings of {table.cloud.shape[1]}, spread {spread:.3g}"


def _downlinks(case: CloudCase) -> str:
    if case.sends_rows:
        return check_rows(case.begun(), users=case.users, table=case.table, view=case.view)
    cloud, width = case.begun(), case.table.cloud.shape[1]
    sent = cloud.downlinks(case.users, round_number=0)
    need_shape("downlinks", sent, (len(case.users), width), np.float32)
    need_finite("downlinks", sent)
    some = case.users[[3, 1]]
    need_close("downlinks of two users alone", cloud.downlinks(some, round_number=0), sent[some])
    own = case.embeddings(cloud)
    need_shape("user_embeddings", own, (len(case.users), width), np.float32)
    return "one row a user, whoever is asked beside"


def _scores(case: CloudCase) -> str:
    cloud = case.begun()
    items = np.tile(np.arange(1, 4, dtype=np.int32), (len(case.users), 1))
    found = cloud.scores(case.users, items, knowledge=None, round_number=0)
    need_shape("scores", found, items.shape, np.float32)
    if case.sends_rows:
        need_finite("scores", found)
        need(float(np.ptp(found)) > 0, "all pairs have one score")
        return f"of pairs, spread {float(found.std()):.3g}"
    parts = np.einsum("nd,ncd->nc", case.embeddings(cloud), case.table.cloud[items])
    need_close("scores against u · v + b of the table", found, parts + case.table.bias[items])
    return "u · v + b"


def _queries(case: CloudCase) -> str:
    cloud = case.begun()
    asked = cloud.queries(case.users, round_number=3)
    need_shape("queries", asked, (len(case.users), QUERIES), np.int32)
    low, high = int(asked.min()), int(asked.max())
    need(low >= 1 and high <= case.view.num_items, f"queries name items {low} to {high}")
    again = cloud.queries(case.users, round_number=3)
    need(np.array_equal(asked, again), "queries of one round differ when they are asked again")
    other = cloud.queries(case.users, round_number=4)
    need(not np.array_equal(asked, other), "every round asks about the same items")
    return "items of the catalog, by round"


def _learning(case: CloudCase) -> str:
    cloud = case.begun()
    before = case.embeddings(cloud)
    measured = case.taught(cloud)
    loss = measured.get("cloud_loss")
    need(loss is not None and np.isfinite(loss), f"update measured {measured}, no cloud_loss")
    after = case.embeddings(cloud)
    need_finite("user embeddings after an update", after)
    change = float(np.abs(after - before).max())
    need(change > 0, "an update changes nothing of what the cloud answers")
    what = "scores" if case.sends_rows else "embeddings"
    return f"loss {loss:.3g}, {what} change by up to {change:.2g}"


def _fusion(case: CloudCase) -> str:
    cloud = case.begun()
    case.taught(cloud)
    alone, fused = case.embeddings(cloud), case.embeddings(cloud, case.knowledge)
    need_finite("fused user embeddings", fused)
    need_close("embeddings of users who sent nothing", fused[-2:], alone[-2:])
    change = float(np.abs(fused - alone).max())
    need(change > 0, "uplinks change nothing of their users' embeddings")
    what = "scores" if case.sends_rows else "embeddings"
    return f"own uplinks change {what} by up to {change:.2g}"


def _readable(case: CloudCase) -> str:
    cloud = case.begun()
    before = case.sent(cloud)
    case.taught(cloud)
    need(
        np.array_equal(cloud.publish().cloud, case.table.cloud),
        "the item side learned after publication, though devices hold it",
    )
    drift = drift_of(before, case.sent(cloud, round_number=0 if case.sends_rows else 1))
    need(
        drift <= _DRIFT,
        f"downlinks drift by {drift:.2g} of their spread in one update, more than {_DRIFT}: "
        "weights on devices were trained to read the earlier ones",
    )
    return f"item table as published, downlinks drift by {drift:.2g} of their spread"


def _restore(case: CloudCase) -> str:
    cloud = case.begun()
    begun = case.embeddings(cloud), *case.sent(cloud)
    case.taught(cloud)
    learned = _copied(cloud.snapshot())
    ended = case.embeddings(cloud), *case.sent(cloud)
    # What changes in place must not have changed a snapshot that was taken before.
    for when, snapshot, expected in (("first", case.start, begun), ("learned", learned, ended)):
        for whose, target in (("the same cloud", cloud), ("another build", case.fresh())):
            target.restore(snapshot)
            found = case.embeddings(target), *case.sent(target)
            for got, wanted in zip(found, expected, strict=True):
                need(
                    np.array_equal(got, wanted),
                    f"{whose} answers otherwise after restoring its {when} state, by up to "
                    f"{difference(got, wanted)}: something that decides is not in the snapshot",
                )
    try:
        cloud.restore({**case.start, "no such variable": np.zeros(1, np.float32)})
    except CheckpointError:
        return f"{len(case.start)} arrays, in this build and another"
    raise CheckFailedError("a snapshot with a variable that there is not was taken, not refused")


def _repeatable(case: CloudCase) -> str:
    ends = []
    for cloud in (case.cloud, case.fresh()):
        cloud.restore(case.start)
        case.taught(cloud)
        ends.append(_copied(cloud.snapshot()))
    for name, value in ends[0].items():
        need(
            name in ends[1] and np.array_equal(value, ends[1][name]),
            f"the same update ends with another {name!r}: random numbers, or a state that no "
            "snapshot has",
        )
    return "the same update from the same state, bit by bit"


def _growth(case: CloudCase) -> str | None:
    if not hasattr(case.cloud, "grown"):
        return None
    smaller = smaller_view(case.view)
    before = case.make(smaller)
    if hasattr(before, "fit"):
        before.fit()
    table = before.publish()
    after = case.make(case.view, space=grow_space(before.space, case.view))
    after.publish()
    after.restore(after.grown(before.snapshot(), space=before.space))
    if case.sends_rows:
        need_finite("scores after growth", case.embeddings(after))
        need_finite("rows after growth", case.sent(after)[1])
        return f"{case.view.num_items - smaller.num_items} items and users came"
    rows = smaller.num_items + 1
    items = np.asarray(after.model.item_vectors(np.arange(case.view.num_items + 1)))
    need_close("old items after growth", items[:rows], table.cloud)
    need_finite("items after growth", items)
    sent = after.downlinks(case.users, round_number=0)
    need_finite("downlinks after growth", sent)
    return f"{case.view.num_items - smaller.num_items} items and users came, old ones stay"


CHECKS: dict[str, Callable[[CloudCase], str | None]] = {
    "item table": _table,
    "downlinks": _downlinks,
    "scores": _scores,
    "queries": _queries,
    "learning": _learning,
    "fusion": _fusion,
    "stays readable": _readable,
    "restore": _restore,
    "repeatable": _repeatable,
    "growth": _growth,
}


def _copied(snapshot: dict[str, Array]) -> dict[str, Array]:
    if not isinstance(snapshot, dict) or not snapshot:
        raise CheckFailedError(f"expected a snapshot of arrays by name, got {snapshot!r}")
    return {name: np.array(value) for name, value in snapshot.items()}
