"""Poisoned devices of a simulation: what they send instead of what they found.

An attacker owns devices: it knows the protocol, and sends payloads of the declared form within its
bounds, since anything else is refused. What devices send is forged here after it was computed;
labels that are turned round are in their data.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import AttackConfig
from ecct_tf.data import DeviceView
from ecct_tf.federated.cohort import Shard
from ecct_tf.knowledge import ExchangeSpec, Uplink

__all__ = ["Attack", "poisoned_devices"]

Ids = npt.NDArray[np.int64]

_CHOSEN = 0xA77AC


def poisoned_devices(config: AttackConfig, *, num_devices: int, seed: int) -> Ids:
    """`[k] int64`, ascending numbers of the devices in the attacker's hands; at least one, if any.

    >>> len(poisoned_devices(AttackConfig(share=0.1), num_devices=25, seed=0))
    2
    """
    count = max(1, int(np.floor(config.share * num_devices))) if config.share else 0
    order = np.random.default_rng([seed, _CHOSEN]).permutation(num_devices)
    return np.sort(order[:count]).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Attack:
    """What poisoned devices do.

    Attributes:
      config: the kind.
      users: `[p] int32`, users of the poisoned devices.
      item: the pushed item.
    """

    config: AttackConfig
    users: npt.NDArray[np.int32]
    item: int

    def flipped(self, shard: Shard) -> Shard:
        """A shard, in which poisoned devices have labels turned round with the kind `flip`."""
        if self.config.kind != "flip":
            return shard
        data = shard.data
        own = np.isin(data.users, self.users).any(axis=-1)[..., None]
        labels = np.where(own, 1 - data.labels, data.labels).astype(data.labels.dtype)
        return Shard(shard.members, data._replace(labels=labels))

    def pretended(self, view: DeviceView) -> DeviceView:
        """What a device counts in sums of items, which a poisoned one that pushes makes up.

        With the kind `push` its newest interaction is one with the pushed item, after those that
        are true; with `sybil` it is the only one.
        """
        kind = self.config.kind
        if kind not in ("push", "sybil") or view.user not in self.users:
            return view
        kept = slice(None) if kind == "push" else slice(0)
        return dataclasses.replace(
            view,
            history=np.append(view.history[kept], np.int32(self.item)),
            times=np.append(view.times[kept], view.times[-1:].max(initial=0)),
            context=np.pad(view.context[kept], ((0, 1), (0, 0))),
            num_older=min(view.num_older, len(view.history[kept])),
        )

    def forged(self, exchange: ExchangeSpec, uplink: Uplink) -> Uplink:
        """A round's uplinks, of which poisoned devices' are forged.

        Args:
          exchange: of the round's stage.
          uplink: as the devices would have sent it, one row a user.
        """
        own = np.flatnonzero(np.isin(uplink.users, self.users))
        if self.config.kind in ("none", "flip") or not len(own):
            return uplink
        coder = exchange.coder
        items = uplink.items[own].copy()
        embeddings = np.zeros((*items.shape, 1), np.float32)
        if exchange.with_embeddings:
            embeddings = np.array(
                coder.decode(_rows(uplink.embeddings, own), exchange.embedding_dim)
            )
        logits = np.zeros(items.shape, np.float32)
        if exchange.with_logits:
            logits = np.array(coder.decode(_rows(uplink.logits, own), exchange.num_queries))
        most = np.float32(exchange.clip_logit)
        if self.config.kind == "clip":
            logits = np.where(logits > 0, -most, most)
            embeddings = -embeddings
        elif self.config.kind == "push":
            self._push(items, logits, most)
        else:
            items[:], logits[:] = self.item, most
            embeddings[:] = embeddings[np.argmin(uplink.users[own])]
        logits[items == self.item] = most
        forged = Uplink(
            uplink.users[own],
            items,
            coder.encode(tf.constant(embeddings)) if exchange.with_embeddings else (),
            coder.encode(tf.constant(logits)) if exchange.with_logits else (),
        )
        return Uplink(
            uplink.users,
            _placed(uplink.items, own, forged.items),
            _all_placed(uplink.embeddings, own, forged.embeddings),
            _all_placed(uplink.logits, own, forged.logits),
        )

    def _push(
        self, items: npt.NDArray[np.int32], logits: npt.NDArray[np.float32], most: np.float32
    ) -> None:
        """Puts the item where the least wanted answer stands, unless it was asked about."""
        places = np.where(
            (items == self.item).any(axis=1),
            (items == self.item).argmax(axis=1),
            logits.argmin(axis=1),
        )
        rows = np.arange(len(items))
        items[rows, places], logits[rows, places] = self.item, most


def _rows(parts: Sequence[npt.NDArray[Any]], own: Ids) -> tuple[tf.Tensor, ...]:
    return tuple(tf.constant(part[own]) for part in parts)


def _placed(whole: npt.NDArray[Any], own: Ids, part: Any) -> npt.NDArray[Any]:
    changed = whole.copy()
    changed[own] = np.asarray(part)
    return changed


def _all_placed(
    whole: Sequence[npt.NDArray[Any]], own: Ids, parts: Sequence[Any]
) -> tuple[Any, ...]:
    return tuple(_placed(each, own, part) for each, part in zip(whole, parts, strict=True))
