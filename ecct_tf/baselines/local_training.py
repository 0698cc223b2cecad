"""Local SGD of stacked devices, each on its own copy of an item table and a head."""

import dataclasses

import tensorflow as tf

from ecct_tf.baselines.local_data import LocalData
from ecct_tf.baselines.local_models import LocalModel, Rows
from ecct_tf.edge.losses import EdgeLoss, bce

__all__ = ["LocalTraining", "local_logits"]


@dataclasses.dataclass(frozen=True)
class LocalTraining:
    """SGD over a device's positions.

    A batch's mean loss gives each item it meets a small share only, so item rows have a
    learning rate of their own. Only rows that a batch meets are touched.

    Attributes:
      model: what to train.
      epochs: passes over the positions.
      batch_size: positions in a batch.
      learning_rate: of the head.
      embedding_learning_rate: of the item table.
      proximal: μ of FedProx; 0 for none.
      loss: of a position, whose own item comes first, and its negatives.
      alternating: whether a batch first updates the head and then, with the new head, the
        table, as PFedRec does; otherwise both at once.
    """

    model: LocalModel
    epochs: int
    batch_size: int
    learning_rate: float
    embedding_learning_rate: float
    proximal: float = 0.0
    loss: EdgeLoss = dataclasses.field(default_factory=bce)
    alternating: bool = False

    def __call__(
        self, start: tf.Tensor, data: LocalData, negatives: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Trains C devices.

        Args:
          start: `[C, P] float32`, the weights of each.
          data: a shard.
          negatives: `[C, N, k] int32`.

        Returns:
          The final weights `[C, P]` and the mean loss `[C]` of the last epoch.
        """
        model = self.model
        devices = tf.shape(start)[0]
        # A shard is padded to its largest device where that fills no batch.
        batch = tf.minimum(self.batch_size, tf.shape(data.positives)[1])
        table = tf.reshape(start[:, : model.table_size], [-1, model.row_width])
        head = start[:, model.table_size :]
        received = (table, head)
        candidates = tf.concat([data.positives[..., None], negatives], axis=-1)
        own_steps = -(-data.samples // batch)
        epoch_steps = tf.reduce_max(own_steps)

        def step(
            index: tf.Tensor, table: tf.Tensor, head: tf.Tensor, loss: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            epoch, within = index // epoch_steps, index % epoch_steps
            part = slice(within * batch, (within + 1) * batch)
            places = tf.range(batch) + within * batch
            mask = tf.cast(places < data.samples[:, None], tf.float32)
            table, head, batch_loss = self._step(
                table,
                head,
                received,
                candidates=candidates[:, part],
                histories=data.histories[:, part],
                profile=data.profile[:, part],
                clock=data.clock[:, part],
                mask=mask,
                active=tf.cast(within < own_steps, tf.float32)[:, None],
            )
            seen = tf.reduce_sum(mask, axis=-1) / tf.cast(tf.maximum(data.samples, 1), tf.float32)
            last = tf.cast(tf.equal(epoch, self.epochs - 1), tf.float32)
            return index + 1, table, head, loss + last * seen * batch_loss

        _, table, head, loss = tf.while_loop(
            lambda index, *_: index < epoch_steps * self.epochs,
            step,
            (tf.constant(0), table, head, tf.zeros([devices])),
            parallel_iterations=1,
        )
        final = tf.concat([tf.reshape(table, [devices, model.table_size]), head], axis=-1)
        return tf.ensure_shape(final, [None, model.size]), loss

    def _step(
        self,
        table: tf.Tensor,
        head: tf.Tensor,
        received: tuple[tf.Tensor, tf.Tensor],
        *,
        candidates: tf.Tensor,
        histories: tf.Tensor,
        profile: tf.Tensor,
        clock: tf.Tensor,
        mask: tf.Tensor,
        active: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        model = self.model
        devices, batch = tf.shape(head)[0], tf.shape(mask)[1]
        first = ((model.num_items + 1) * tf.range(devices))[:, None, None]
        # Apart, so that no gradient of a slice of both has to be formed.
        places = (histories + first, candidates + first)
        rows = (tf.gather(table, places[0]), tf.gather(table, places[1]))
        history_mask = tf.cast(histories > 0, tf.float32)

        def losses(head: tf.Tensor, rows: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            logits = model.forward(
                head,
                Rows(
                    candidates=rows[1],
                    history=rows[0],
                    history_mask=history_mask,
                    profile=profile,
                    clock=clock,
                ),
            )
            labels = tf.one_hot(tf.zeros([devices, batch], tf.int32), tf.shape(candidates)[2])
            each = self.loss.of(logits, labels)
            if each.shape.rank == logits.shape.rank:
                each = tf.reduce_mean(each, axis=-1)
            total = tf.reduce_sum(each * mask, axis=-1)
            return total / tf.maximum(tf.reduce_sum(mask, axis=-1), 1.0)

        with tf.GradientTape() as tape:
            tape.watch((head, rows))
            loss = losses(head, rows)
            total = tf.reduce_sum(loss)
        head_gradient, rows_gradient = tape.gradient(
            total, (head, rows), unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        new_head = self._descend(
            head, received[1], head_gradient, self.learning_rate, active=active
        )
        if self.alternating:
            with tf.GradientTape() as tape:
                tape.watch(rows)
                total = tf.reduce_sum(losses(new_head, rows))
            rows_gradient = tape.gradient(
                total, rows, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
        rate = self.embedding_learning_rate
        met = tf.concat([tf.reshape(ids, [-1, 1]) for ids in places], axis=0)
        steps = [tf.reshape(rate * part, [-1, model.row_width]) for part in rows_gradient]
        table = tf.tensor_scatter_nd_sub(table, met, tf.concat(steps, axis=0))
        if self.proximal:
            by_row = tf.repeat(active, model.num_items + 1, axis=0)
            table = self._towards(table, received[0], rate, active=by_row)
        return table, new_head, loss

    def _descend(
        self,
        weights: tf.Tensor,
        received: tf.Tensor,
        gradient: tf.Tensor,
        rate: float,
        *,
        active: tf.Tensor,
    ) -> tf.Tensor:
        stepped = weights - rate * gradient
        return self._towards(stepped, received, rate, active=active) if self.proximal else stepped

    def _towards(
        self, weights: tf.Tensor, received: tf.Tensor, rate: float, *, active: tf.Tensor
    ) -> tf.Tensor:
        """FedProx's term as an implicit step: exact for the quadratic, stable for any μ."""
        pull = rate * self.proximal
        return weights + active * (pull / (1.0 + pull)) * (received - weights)


def local_logits(
    model: LocalModel,
    weights: tf.Tensor,
    *,
    histories: tf.Tensor,
    candidates: tf.Tensor,
    profile: tf.Tensor,
    clock: tf.Tensor,
) -> tf.Tensor:
    """Logits `[C, B, K]` of candidates `[C, B, K]` after histories `[C, B, L]`.

    Args:
      model: the model.
      weights: `[C, P] float32`.
      histories: `[C, B, L] int32`, newest last.
      candidates: `[C, B, K] int32`.
      profile: `[C, B, columns] int32`.
      clock: `[C, B, W] float32`.
    """
    table = tf.reshape(weights[:, : model.table_size], [-1, model.num_items + 1, model.row_width])
    return model.forward(
        weights[:, model.table_size :],
        Rows(
            candidates=tf.gather(table, candidates, batch_dims=1),
            history=tf.gather(table, histories, batch_dims=1),
            history_mask=tf.cast(histories > 0, tf.float32),
            profile=profile,
            clock=clock,
        ),
    )
