"""Rounds of FedJAX: `for_each_client` on its jit backend, and its weighted mean.

    python fedjax_rounds.py WORK.npz

Batches are padded to one size, so that a step is compiled once, and are put on the device before
the first round.
"""

import functools
import sys
from pathlib import Path

import fedjax
import jax
import jax.numpy as jnp
import numpy as np
from model import Operations, Samples, batch_losses, logits
from rows import Row, Work, change_of, device_samples, read_work, serve

_OPERATIONS = Operations(
    concat=functools.partial(jnp.concatenate, axis=-1),
    relu=jax.nn.relu,
    tanh=jnp.tanh,
    sigmoid=jax.nn.sigmoid,
    softplus=jax.nn.softplus,
)


class Rounds:
    """Federated averaging."""

    def __init__(self, work: Work) -> None:
        settings = work.settings

        def mean_loss(weights, batch):
            samples = Samples(*(batch[name] for name in Samples._fields))
            mask = batch[fedjax.EXAMPLE_MASK_KEY]
            losses = batch_losses(
                _OPERATIONS,
                logits(_OPERATIONS, weights, samples),
                samples,
                distillation_weight=settings["distillation_weight"],
                temperature=settings["temperature"],
            )
            count = jnp.sum(mask)
            return jnp.sum(losses * mask) / count, count

        def client_init(shared, _):
            return shared, 0.0

        def client_step(state, batch):
            weights, total = state
            (loss, count), gradient = jax.value_and_grad(mean_loss, has_aux=True)(weights, batch)
            rate = settings["learning_rate"]
            stepped = jax.tree_util.tree_map(lambda w, g: w - rate * g, weights, gradient)
            return stepped, total + loss * count

        def client_final(shared, state):
            weights, total = state
            return jax.tree_util.tree_map(jnp.subtract, weights, shared), total

        self._devices = []
        for number, samples in enumerate(device_samples(work)):
            dataset = fedjax.ClientDataset(samples._asdict())
            batches = jax.device_put(list(dataset.padded_batch(batch_size=settings["batch_size"])))
            self._devices.append((number, batches, {}))
        self._counts = work.counts.tolist()
        self._train = fedjax.for_each_client(client_init, client_step, client_final)
        self.weights = {name: jnp.asarray(value) for name, value in work.start.items()}

    def __call__(self) -> list[jax.Array]:
        """Does a round; the sum of each device's losses."""
        losses = []

        def changes():
            for number, (change, loss), *_ in self._train(self.weights, self._devices):
                losses.append(loss)
                yield change, self._counts[number]

        mean = fedjax.tree_util.tree_mean(changes())
        self.weights = fedjax.tree_util.tree_add(self.weights, mean)
        jax.block_until_ready(self.weights)
        return losses


def _row(name: str, *, table: bool) -> Row:
    work = read_work(Path(sys.argv[1]), table=table)
    rounds = Rounds(work)
    loss = np.sum(rounds()) / np.sum(work.counts)
    return Row(name, rounds, loss, change_of(work, rounds.weights), table=table)


def main() -> None:
    """Serves the rows."""
    rows = [_row("FedJAX, averaging", table=False), _row("FedJAX, with item table", table=True)]
    serve(rows, packages=["fedjax", "jax"])


if __name__ == "__main__":
    main()
