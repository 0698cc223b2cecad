"""The source model of a file: what its signatures must answer, straight from `ecct_tf.edge`.

No guards, no variables and no exported graph take part, so that it can judge one.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.edge import DeviceTask, EdgeInputs, EdgeModel, ItemTensors, pair_inputs
from ecct_tf.fixed_order import fixed_order
from mobile_export.contract.signatures import graph_codec

__all__ = ["SourceModel"]

Arrays = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class SourceModel:
    """An edge model as the simulation runs it.

    Attributes:
      model: the architecture.
      weights: `[P] float32`.
      items: the item table, as arrays.
      block_sizes: widths of its blocks.
      task: what the device does; without local noise.
    """

    model: EdgeModel
    weights: npt.NDArray[np.float32]
    items: ItemTensors
    block_sizes: tuple[int, ...]
    task: DeviceTask

    @functools.cached_property
    def _tensors(self) -> ItemTensors:
        return ItemTensors(*(tf.constant(array) for array in self.items))

    def answer(self, signature: str, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """What `infer`, `score` or `uplink` must return for `inputs`.

        Approximately so, but for the values that an `uplink` decodes to: these are exact.
        """
        if signature == "infer":
            rows = len(inputs["history"])
            return self._forward(
                inputs["history"], inputs["candidates"][:, None], inputs, lead=(rows,)
            )
        if signature == "score":
            found = self._forward(inputs["history"], inputs["candidates"], inputs)
            return {name: value for name, value in found.items() if name != "embedding"}
        # It has no `clock` among its inputs: answers say nothing of the time.
        found = self._forward(inputs["history"], inputs["queries"], inputs, fixed=True)
        return self._uplink(inputs["queries"], found["embedding"], found["logit"])

    def scores(
        self, weights: npt.NDArray[np.float32], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> npt.NDArray[np.float32]:
        """Logits of many users' candidates at once, each user with weights of its own.

        Args:
          weights: `[U, P] float32`.
          inputs: those of `score`, stacked by user.

        Returns:
          `[U, C] float32`.
        """
        found = self._inputs(
            inputs["history"],
            inputs["candidates"],
            profile=inputs["profile"],
            user_embeddings=self._vectors(inputs, scales=inputs["user_embedding_scale"]),
            clock=inputs.get("clock"),
        )
        logits: npt.NDArray[np.float32] = self.model.forward(
            tf.constant(weights), found
        ).logit.numpy()
        return logits

    def _forward(
        self,
        history: npt.NDArray[np.int32],
        candidates: npt.NDArray[np.int32],
        inputs: Mapping[str, npt.NDArray[Any]],
        *,
        lead: tuple[int, ...] = (),
        fixed: bool = False,
    ) -> Arrays:
        """`logit`, `embedding` and, where there are targets, `target_logits`."""
        vector = self._vectors(inputs, scales=inputs.get("user_embedding_scale", 1))
        profile = inputs.get("profile", np.zeros(0, np.int32))
        with fixed_order(fixed):
            found = self._inputs(
                history,
                candidates,
                profile=np.broadcast_to(profile, (*lead, len(profile))),
                user_embeddings=np.broadcast_to(vector, (*lead, len(vector))),
                clock=inputs.get("clock"),
            )
        if lead:
            found = found.map(lambda part: tf.reshape(part, [-1, *part.shape[2:]]))
        outputs = self.model.forward(tf.constant(self.weights), found, fixed_order=fixed)
        answers = {"logit": outputs.logit.numpy(), "embedding": outputs.embedding.numpy()}
        if outputs.targets is not None:
            answers["target_logits"] = outputs.targets.numpy()
        return answers

    def _vectors(
        self, inputs: Mapping[str, npt.NDArray[Any]], *, scales: Any
    ) -> npt.NDArray[np.float32]:
        decoded = inputs["user_embedding"].astype(np.float32) * scales
        return np.asarray(decoded if self.task.receives else 0 * decoded, np.float32)

    def _inputs(
        self,
        history: npt.NDArray[np.int32],
        candidates: npt.NDArray[np.int32],
        *,
        profile: npt.NDArray[np.int32],
        user_embeddings: npt.NDArray[np.float32],
        clock: npt.NDArray[np.float32] | None,
    ) -> EdgeInputs:
        return pair_inputs(
            self._tensors,
            block_sizes=self.block_sizes,
            config=self.task.features,
            history=tf.constant(history),
            candidates=tf.constant(candidates),
            profile=tf.constant(profile),
            user_embeddings=tf.constant(user_embeddings),
            use_logit=self.task.uses_logits,
            use_embedding=self.task.uses_embeddings,
            clock=None if clock is None else tf.constant(clock),
            reads_items=self.model.reads_items,
        )

    def _uplink(
        self,
        queries: npt.NDArray[np.int32],
        embedding: npt.NDArray[np.float32],
        logit: npt.NDArray[np.float32],
    ) -> Arrays:
        exchange = self.task.exchange
        codec = graph_codec(exchange.codec)
        exchange = dataclasses.replace(exchange, codec=codec, noise_multiplier=0.0)
        uplink = exchange.make_uplink(
            tf.constant([0]), queries[None], embedding[None], logit[None], noise_seed=tf.constant(0)
        )
        decode = exchange.coder.decode
        embeddings = decode(uplink.embeddings, exchange.embedding_dim)
        decoded = {"embeddings": embeddings.numpy()[0]}
        if exchange.with_logits:
            decoded["logits"] = decode(uplink.logits, exchange.num_queries).numpy()[0]
        return {"items": queries, **decoded}
