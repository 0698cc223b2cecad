"""The two payloads: all that ever crosses the boundary between a device and the cloud.

A `Downlink` carries what the cloud knows of the device's users and which items it asks
about; an `Uplink` answers with the edge's embeddings and, in stage 2, logits for those
items. Their specification fixes shapes, dtypes and byte counts; nothing that is not a
field here can cross. (A federated mean of shared weights, if a run has one, is a third
transfer, accounted for beside them.)

The downlink is factorised: instead of `h_c` and `z_c` for each (device, item) it brings
the user embedding `u`, from which a device makes `h_c = u ⊙ v` and `z_c = sum(h_c) + b`
with the `v` and `b` of its item table. That is a few dozen bytes, and it spares the
device from telling the cloud which items it needs, which would give away its recent
interactions. This form is inferred; the paper leaves the transport open.

A cloud whose score is no product of two parts sends `CloudRows` instead: `h_c` and `z_c` of K
items that it chose by itself. The device asks for nothing either way.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ecct_tf.config import AnswerBy, CodecName
from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.fixed_order import root_from_one, sum_halves
from ecct_tf.knowledge.codecs import Codec, Encoded, build_codec
from ecct_tf.knowledge.noise import draw_noise
from ecct_tf.knowledge.rows import CloudRows

__all__ = ["Downlink", "ExchangeSpec", "Uplink"]


class Downlink(NamedTuple):
    """What one device receives in a round; U users live on it, usually one.

    Attributes:
      user_embeddings: encoded `[..., U, d_c]`, the cloud's user embeddings; an empty tuple where
        rows are sent.
      queries: `[..., U, Q] int32`, the items that the cloud asks about.
      rows: with items `[..., U, K] int32`, embeddings encoded `[..., U, K, d_c]` and logits encoded
        `[..., U, K]`; an empty tuple where user embeddings are sent.
    """

    user_embeddings: Encoded
    queries: tf.Tensor
    rows: Any = ()


class Uplink(NamedTuple):
    """What devices send in a round, one row a user.

    Attributes:
      users: `[n] int32`.
      items: `[n, Q] int32`, the items asked about.
      embeddings: encoded `[n, Q, d_e]`, `h_e`; an empty tuple where only logits cross.
      logits: encoded `[n, Q]`, `z_e`; an empty tuple in stage 1.
    """

    users: tf.Tensor
    items: tf.Tensor
    embeddings: Encoded
    logits: Encoded


@dataclasses.dataclass(frozen=True)
class ExchangeSpec:
    """Declared form of both payloads.

    Attributes:
      cloud_dim: d_c.
      embedding_dim: d_e.
      num_queries: Q.
      codec: how embeddings and logits are written.
      with_logits: whether logits cross (stage 2).
      with_embeddings: whether embeddings cross up and are read below: without them (an ablation)
        an uplink has none, and `u` crosses only as what `z_c` is made of.
      clip_norm: largest Euclidean norm of an `h_e` that leaves a device.
      clip_logit: largest absolute `z_e` that leaves a device.
      noise_multiplier: Gaussian noise that a device adds before it encodes, as a multiple
        of `clip_norm` for embeddings and of `clip_logit` for logits; 0 for none.
      num_rows: K, rows of a downlink where the cloud's score is no product; 0 for user embeddings.
      answer_by: how an uplink says which items it answers for; it changes its bytes alone.
    """

    cloud_dim: int
    embedding_dim: int
    num_queries: int
    codec: CodecName = "int8"
    with_logits: bool = True
    with_embeddings: bool = True
    clip_norm: float = 8.0
    clip_logit: float = 12.0
    noise_multiplier: float = 0.0
    num_rows: int = 0
    answer_by: AnswerBy = "item"

    def __post_init__(self) -> None:
        for name in ("cloud_dim", "embedding_dim", "num_queries"):
            if getattr(self, name) < 1:
                raise ConfigError(f"exchange.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("clip_norm", "clip_logit"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"exchange.{name} must be positive, got {getattr(self, name)}")
        if self.noise_multiplier < 0:
            raise ConfigError(
                f"exchange.noise_multiplier must not be negative, got {self.noise_multiplier}"
            )
        if self.num_rows < 0:
            raise ConfigError(f"cloud.rows must not be negative, got {self.num_rows}")
        build_codec(self.codec)

    @property
    def coder(self) -> Codec:
        """The codec."""
        return build_codec(self.codec)

    @property
    def downlink_bytes(self) -> int:
        """Bytes of one user's downlink as encoded."""
        return self.known_bytes + self.queries_bytes

    @property
    def known_bytes(self) -> int:
        """Bytes of what the cloud knows in one user's downlink: an embedding, or rows."""
        if not self.num_rows:
            return self.coder.encoded_bytes(1, self.cloud_dim)
        embeddings = 0
        if self.with_embeddings:
            embeddings = self.coder.encoded_bytes(self.num_rows, self.cloud_dim)
        return 4 * self.num_rows + embeddings + self.coder.encoded_bytes(1, self.num_rows)

    @property
    def queries_bytes(self) -> int:
        """Bytes of the queries in one user's downlink."""
        return 4 * self.num_queries

    @property
    def uplink_bytes(self) -> int:
        """Bytes of one user's uplink as encoded: id, items or their fingerprint, and values."""
        embeddings = 0
        if self.with_embeddings:
            embeddings = self.coder.encoded_bytes(self.num_queries, self.embedding_dim)
        logits = self.coder.encoded_bytes(1, self.num_queries) if self.with_logits else 0
        # As `ecct_tf.wire.places` writes them, or `ecct_tf.wire.uplink`.
        asked = 4 if self.answer_by == "place" else 4 * self.num_queries
        return 4 + asked + embeddings + logits

    def nothing_known(self, lead: Sequence[int]) -> Any:
        """What a cloud knows that says nothing: zeros of the declared form, not encoded.

        Args:
          lead: leading axes, such as the number of users.

        Returns:
          `[*lead, d_c] float32`, or `CloudRows` of the items 0.
        """
        if not self.num_rows:
            return np.zeros((*lead, self.cloud_dim), np.float32)
        shape = (*lead, self.num_rows)
        return CloudRows(
            np.zeros(shape, np.int32),
            np.zeros((*shape, self.cloud_dim), np.float32),
            np.zeros(shape, np.float32),
        )

    def check_known(self, known: Any, *, users: int) -> None:
        """Raises `CodecError` unless what a cloud says of `users` has the declared form."""
        wanted = self.nothing_known([users])
        parts = (wanted, known) if self.num_rows else ((wanted,), (known,))
        if self.num_rows and not isinstance(known, CloudRows):
            raise CodecError(
                f"downlinks: expected CloudRows of {self.num_rows} items a user, as the item table "
                f"says, got {type(known).__name__}"
            )
        for name, want, got in zip(CloudRows._fields, *parts, strict=False):
            if np.shape(got) != want.shape or np.asarray(got).dtype != want.dtype:
                what = f"rows' {name}" if self.num_rows else "user embeddings"
                raise CodecError(
                    f"downlinks: expected {what} of {want.shape} {want.dtype}, got "
                    f"{np.shape(got)} {np.asarray(got).dtype}"
                )

    def encode_known(self, known: Any) -> Any:
        """What crosses of an embedding `[..., d_c] float32` or of `CloudRows`."""
        if not self.num_rows:
            return self.coder.encode(known)
        embeddings = self.coder.encode(known.embeddings) if self.with_embeddings else ()
        return CloudRows(known.items, embeddings, self.coder.encode(known.logits))

    def decode_known(self, downlink: "Downlink") -> Any:
        """What a device reads: an embedding `[..., d_c] float32`, or `CloudRows`."""
        if not self.num_rows:
            return self.coder.decode(downlink.user_embeddings, self.cloud_dim)
        items, embeddings, logits = downlink.rows
        said = self.coder.decode(tuple(logits), self.num_rows)
        if not self.with_embeddings:
            nothing = tf.zeros(tf.concat([tf.shape(said), [self.cloud_dim]], axis=0))
            return CloudRows(items, nothing, said)
        vectors = self.coder.decode(tuple(embeddings), self.cloud_dim)
        return CloudRows(items, vectors, said)

    def as_received(self, known: Any) -> Any:
        """`known` after it crossed."""
        return self.decode_known(self.downlink(self.encode_known(known), queries=()))

    def downlink(self, encoded: Any, *, queries: Any) -> "Downlink":
        """The payload of what `encode_known` made."""
        if self.num_rows:
            return Downlink((), queries, encoded)
        return Downlink(encoded, queries)

    def make_uplink(
        self,
        users: tf.Tensor,
        items: tf.Tensor,
        embeddings: tf.Tensor,
        logits: tf.Tensor,
        *,
        noise_seed: tf.Tensor | None = None,
    ) -> Uplink:
        """Clips, noises and encodes what a device may send.

        Args:
          users: `[n] int32`.
          items: `[n, Q] int32`.
          embeddings: `[n, Q, d_e] float32`; dropped where they do not cross.
          logits: `[n, Q] float32`; dropped in stage 1.
          noise_seed: `[2] int64`, from `ecct_tf.knowledge.noise`; None without noise.

        Raises:
          ConfigError: with noise, but without its seed.
        """
        squares = sum_halves(tf.square(embeddings), axis=-1, keepdims=True)
        beyond = root_from_one(tf.maximum(squares * self.clip_norm**-2, 1.0))
        clipped = embeddings / beyond
        bounded = tf.clip_by_value(logits, -self.clip_logit, self.clip_logit)
        if self.noise_multiplier:
            if noise_seed is None:
                raise ConfigError("exchange.noise_multiplier: expected the seed of the noise")
            noise = self._noise(users, noise_seed)
            clipped += self.clip_norm * noise[..., :-1]
            bounded += self.clip_logit * noise[..., -1]
        return Uplink(
            users=users,
            items=items,
            embeddings=self.coder.encode(clipped) if self.with_embeddings else (),
            logits=self.coder.encode(bounded) if self.with_logits else (),
        )

    def _noise(self, users: tf.Tensor, noise_seed: tf.Tensor) -> tf.Tensor:
        """`[n, Q, d_e + 1] float32`, from a seed of each user's own: shards do not matter."""
        return self.noise_multiplier * draw_noise(
            users, noise_seed, queries=self.num_queries, width=self.embedding_dim
        )

    def check_uplink(self, uplink: Uplink) -> None:
        """Raises `CodecError` unless the arrays of `uplink` have the declared form."""
        rows = len(uplink.users)
        expected: dict[str, tuple[tuple[int | None, ...], type[np.generic]]] = {
            "users": ((rows,), np.int32),
            "items": ((rows, self.num_queries), np.int32),
        }
        shape = (rows, self.num_queries, self.embedding_dim)
        parts: dict[str, tuple[tuple[int | None, ...], Encoded]] = {}
        if self.with_embeddings:
            parts["embeddings"] = (shape, uplink.embeddings)
        elif uplink.embeddings:
            raise CodecError("an uplink of logits alone must not carry embeddings")
        if self.with_logits:
            parts["logits"] = (shape[:2], uplink.logits)
        elif uplink.logits:
            raise CodecError("an uplink of stage 1 must not carry logits")
        arrays = {"users": uplink.users, "items": uplink.items}
        for name, (full_shape, encoded) in parts.items():
            if len(encoded) != len(self.coder.dtypes):
                raise CodecError(
                    f"uplink field {name}: expected {len(self.coder.dtypes)} tensors of codec "
                    f"{self.codec}, got {len(encoded)}; device and cloud were built with "
                    "different settings"
                )
            for index, (dtype, part) in enumerate(
                zip(self.coder.dtypes, self.coder.shapes(full_shape), strict=True)
            ):
                expected[f"{name}[{index}]"] = (part, dtype)
                arrays[f"{name}[{index}]"] = encoded[index]
        for name, (want_shape, want_dtype) in expected.items():
            got = np.asarray(arrays[name])
            if got.shape != want_shape or got.dtype != want_dtype:
                raise CodecError(
                    f"uplink field {name}: expected {want_shape} {np.dtype(want_dtype)}, "
                    f"got {got.shape} {got.dtype}"
                )
