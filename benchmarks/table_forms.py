"""What smaller forms of the item table cost in quality, before any round.

Starting weights are trained once, on the exact table; then each device's positions that the cloud
does not know, up to its validation interaction, are ranked with the table in each form. These are
several times as many rankings as a run tests, all paired, so that small losses show. Nothing of the
test part is read.

    python benchmarks/table_forms.py --dataset movielens-100k --forms int8,compact,pq4,fine,lean
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import RunConfig, load_config
from ecct_tf.data.clock import clock_readings
from ecct_tf.data.profile import profile_shape
from ecct_tf.data.samples import pad_history
from ecct_tf.edge import EdgeModel, item_tensors, pair_inputs
from ecct_tf.edge.features import ItemTensors
from ecct_tf.evaluation import paired_interval
from ecct_tf.knowledge import ItemTable
from ecct_tf.knowledge.table_files import transmit
from ecct_tf.simulation.builder import device_work
from ecct_tf.simulation.experiment import Experiment, build_experiment
from ecct_tf.simulation.run_cloud import build_cloud
from ecct_tf.simulation.starts import cloud_starts

MOST, NEGATIVES, CHUNK = 20, 99, 128


class Positions(NamedTuple):
    """`[n]`, `[n, L]`, `[n, 100]`, the item first, and readings of the clock `[n, W]`."""

    users: npt.NDArray[np.int32]
    histories: npt.NDArray[np.int32]
    candidates: npt.NDArray[np.int32]
    clocks: npt.NDArray[np.float32]


def device_positions(experiment: Experiment, *, most: int) -> Positions:
    """The newest `MOST` positions of each user that its cloud does not know, no tested one."""
    split, features = experiment.split, experiment.config.features
    rng = np.random.default_rng([experiment.config.seed, 99])
    parts = []
    for user in split.users.tolist():
        end = int(split.train_counts[user] + split.validation_counts[user])
        places = np.arange(max(int(split.older_counts[user]), 1), end)[-MOST:]
        history, first = split.before(user, end), int(split.offsets[user])
        clocks = clock_readings(split.timestamps[first : first + end], places, config=features)
        others = np.setdiff1d(np.arange(1, split.num_items + 1), split.touched(user))
        for place, clock in zip(places.tolist(), clocks, strict=True):
            drawn = rng.choice(others, NEGATIVES, replace=False)
            asked = np.concatenate([history[place : place + 1], drawn])
            parts.append(
                (user, pad_history(history[:place], features.history_length), asked, clock)
            )
    kept = np.sort(rng.permutation(len(parts))[:most])
    users, histories, candidates, clocks = zip(*(parts[row] for row in kept), strict=True)
    return Positions(
        np.array(users, np.int32),
        np.stack(histories).astype(np.int32),
        np.stack(candidates).astype(np.int32),
        np.stack(clocks).astype(np.float32),
    )


def ranks(
    model: EdgeModel,
    weights: npt.NDArray[np.float32],
    table: ItemTable,
    vectors: npt.NDArray[np.float32],
    positions: Positions,
    config: RunConfig,
) -> npt.NDArray[np.int64]:
    """`[n]`: how many negatives are ranked above each item; private columns are all of value 0."""
    items = ItemTensors(*(tf.constant(array) for array in item_tensors(table)))
    shape = model.profile
    columns = len(shape.sizes) + shape.numbers + sum(shape.sets)

    @tf.function(reduce_retracing=True, autograph=False)
    def logits(
        history: tf.Tensor, asked: tf.Tensor, known: tf.Tensor, clock: tf.Tensor
    ) -> tf.Tensor:
        inputs = pair_inputs(
            items,
            block_sizes=tuple(block.source.shape[1] for block in table.blocks),
            config=config.features,
            history=history,
            candidates=asked,
            profile=tf.zeros([tf.shape(asked)[0], columns], tf.int32),
            user_embeddings=known,
            use_logit=True,
            clock=clock,
            reads_items=model.reads_items,
        )
        return model.forward(tf.constant(weights), inputs).logit

    found = []
    for start in range(0, len(positions.users), CHUNK):
        some = Positions(*(part[start : start + CHUNK] for part in positions))
        scores = logits(some.histories, some.candidates, vectors[some.users], some.clocks).numpy()
        found.append((scores[:, 1:] >= scores[:, :1]).sum(axis=1))
    return np.concatenate(found)


@click.command()
@click.option("--dataset", default="movielens-100k", show_default=True)
@click.option("--forms", default="int8,compact,pq2,fine,pq4,lean,pq8", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--most", default=6000, show_default=True, help="Positions, drawn from all.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Further settings.")
def main(dataset: str, forms: str, seed: int, most: int, settings: tuple[str, ...]) -> None:
    """Prints HR@10 and NDCG@10 of each form, and its loss against the first with its interval."""
    config = load_config(overrides=[f"data.dataset={dataset}", f"seed={seed}", *settings])
    experiment = build_experiment(config)
    cloud = build_cloud(experiment)
    exact = cloud.publish()
    positions = device_positions(experiment, most=most)
    everybody = np.arange(experiment.dataset.num_users, dtype=np.int32)
    vectors = np.asarray(cloud.downlinks(everybody, round_number=0))
    profile = profile_shape(experiment.groups[0][0].profile.columns)
    model = device_work(config, "mlp", table=exact, profile=profile).model
    weights = cloud_starts(experiment, exact)["mlp"]
    print(f"{dataset}, seed {seed}, {exact.num_items:,} items, {len(positions.users):,} positions")
    first = None
    for form in forms.split(","):
        table, num_bytes = transmit(exact, form, "int8")
        places = ranks(model, weights, table, vectors, positions, config)
        hits = (places < 10).astype(np.float64)
        gains = np.where(places < 10, 1 / np.log2(places + 2.0), 0.0)
        if first is None:
            first = hits, gains
        loss = paired_interval(hits, first[0], users=positions.users)
        told = f"{loss.mean:+.4f}"
        if loss.low is not None and loss.high is not None:
            told += f" ({loss.low:+.4f} to {loss.high:+.4f})"
        print(
            f"{form:>6} {num_bytes / exact.num_items:6.0f} B an item in all, HR@10 "
            f"{hits.mean():.4f} {told}, NDCG@10 {gains.mean():.4f} "
            f"{gains.mean() - first[1].mean():+.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
