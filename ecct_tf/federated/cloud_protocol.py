"""What an exchange needs of a cloud: in a round, and in a whole run.

The process knows no Keras and no TFRS. Whatever has the three methods of `Cloud` can be the cloud
of its rounds: the recommender in `cloud/`, a service, a stub in a test. A run also fits, publishes,
scores and writes checkpoints: `TrainableCloud` has what it calls. A retraining job keeps versions
that grow; there the cloud is `cloud.CloudRecommender`, over towers of its own or of yours
(`docs/extend_cloud.md`).
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ecct_tf.knowledge import CloudRows, ItemTable, KnowledgeStore

__all__ = ["Cloud", "DownlinkSource", "TrainableCloud"]

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


@runtime_checkable
class DownlinkSource(Protocol):
    """What knows the next downlinks, which is all that scoring on devices needs of a cloud."""

    def downlinks(self, users: Ids, *, round_number: int) -> Array | CloudRows:
        """`u` of `h_c = u ⊙ v` as it goes to the devices of `users` `[n]`: `[n, d_c]`.

        From a cloud whose score is no product (`ItemTable.row_dim`) `CloudRows` of as many items
        as `cloud.rows` says, which are its own choice: made of what it knows, as the rest is.
        Without the devices' own uplinks, and in coordinates that weights trained on earlier
        downlinks can go on reading.
        """
        ...


@runtime_checkable
class Cloud(DownlinkSource, Protocol):
    """What a round needs of the cloud."""

    def queries(self, users: Ids, *, round_number: int) -> Ids:
        """The items to ask devices about, `[n, Q]`."""
        ...

    def update(
        self, knowledge: KnowledgeStore, *, round_number: int, use_logits: bool
    ) -> dict[str, float]:
        """Learns from the uplinks; returns measurements, of which a run records `cloud_loss`."""
        ...


@runtime_checkable
class TrainableCloud(Cloud, Protocol):
    """What a run needs of the cloud beside its rounds."""

    def publish(self) -> ItemTable:
        """The item table that devices fetch once; the item side stays as it is from here on."""
        ...

    def user_embeddings(
        self, users: Ids, *, knowledge: KnowledgeStore | None, round_number: int
    ) -> Array:
        """`u` as the cloud itself predicts with it, `[n, d_c]`.

        From a cloud whose score is no product, what uplinks add to it: the weights of `h_c` in
        `z_c`, zeros without any.

        Args:
          users: `[n]`, whose.
          knowledge: the uplinks to fuse, or None for the cloud's own view alone.
          round_number: the present round, from which staleness counts.
        """
        ...

    def scores(
        self,
        users: Ids,
        candidates: Ids,
        *,
        knowledge: KnowledgeStore | None,
        round_number: int,
    ) -> Array:
        """`z_c` of `candidates` `[n, c]` of `users` `[n]`: `[n, c]`."""
        ...

    def snapshot(self) -> dict[str, Array]:
        """All that learning changes, by name: the optimiser's state too."""
        ...

    def restore(self, snapshot: Mapping[str, Array]) -> None:
        """Goes back to a snapshot of this cloud, or of one built from the same view.

        Raises:
          CheckpointError: it has other variables or other shapes.
        """
        ...
