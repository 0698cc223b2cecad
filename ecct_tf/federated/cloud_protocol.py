"""What the federated process needs of a cloud: publish, embed, ask, learn.

The process knows no Keras and no TFRS. Whatever offers these methods can be the cloud
of a run: the recommender in `cloud/`, a service, a stub in a test.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from ecct_tf.knowledge import ItemTable, KnowledgeStore

__all__ = ["Cloud", "DownlinkSource"]


class DownlinkSource(Protocol):
    """What knows the next downlinks, which is all that scoring on devices needs of a cloud."""

    def downlinks(
        self, users: npt.NDArray[np.int32], *, round_number: int
    ) -> npt.NDArray[np.float32]:
        """`u` of `h_c = u ⊙ v` as it goes to the devices of `users` `[n]`: `[n, d_c]`.

        Without the devices' own uplinks, and in coordinates that weights trained on earlier
        downlinks can go on reading.
        """
        ...


class Cloud(DownlinkSource, Protocol):
    """The cloud side of an exchange."""

    def publish(self) -> ItemTable:
        """The item table that devices fetch once."""
        ...

    def queries(self, users: npt.NDArray[np.int32], *, round_number: int) -> npt.NDArray[np.int32]:
        """The items to ask devices about, `[n, Q]`."""
        ...

    def update(
        self, knowledge: KnowledgeStore, *, round_number: int, use_logits: bool
    ) -> dict[str, float]:
        """Learns from the uplinks; returns measurements."""
        ...
