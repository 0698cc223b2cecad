"""What the parts of a retraining job take that grow with users, items and uplinks, one by one.

The parts run on drawn data in one process, without training and without TensorFlow's steps, so that
the sizes of the goal can be measured in minutes of processor time. Printed after each part are
seconds of processor time since the start, and the memory during it: all that is resident, of it
what is in no file, at the end and at most.

    python benchmarks/cloud_scale_parts.py --share 0.1
"""

import dataclasses
import shutil
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np

from cloud.array_files import read_arrays, write_arrays
from cloud.features import user_states
from cloud.influence import answer_weights
from cloud.retraining.history import hold_out
from cloud.retraining.uplinks import KnowledgeBuilder
from cloud.successions import positive_information, successions
from cloud.user_rows import UserRows, make_here
from cloud.user_states import UserStates
from ecct_tf.baselines.factored_ease import fit_factored_ease
from ecct_tf.data import CentralizedTable, CloudView, FeatureSchema, OlderInteractions
from ecct_tf.knowledge import Block, KnowledgeStore

USERS, ITEMS, INTERACTIONS, UPLINKS = 2_000_000, 200_000, 20_000_000, 5_000_000
_QUERIES, _DIM, _RANK, _EARLIER = 24, 16, 24, 2
_AT_ONCE = 5_000


@click.command()
@click.option("--share", default=0.1, show_default=True, help="Of the goal's sizes.")
@click.option("--factors", default=64, show_default=True, help="cloud.similarity.factors")
@click.option("--seed", default=0, show_default=True)
def main(share: float, factors: int, seed: int) -> None:
    """Runs the parts and prints what each took."""
    users, items, uplinks = (round(share * size) for size in (USERS, ITEMS, UPLINKS))
    print(f"{users:,} users, {items:,} items, {round(share * INTERACTIONS):,} interactions, "
          f"{uplinks:,} uplinks, seed {seed}")  # fmt: skip
    view = _view(users, items, round(share * INTERACTIONS), np.random.default_rng(seed))
    _print("data")
    histories = view.older.histories
    bands = successions(histories, num_items=items, decay=0.5)
    _print("successions")
    pairs = positive_information(bands).nnz
    _print(f"information of {pairs:,} pairs")
    fit_factored_ease(histories, num_items=items, regularization=400.0, factors=factors)
    _print("factored preferences")
    hold_out(view, negatives=99, gate=4, seed=seed, most_to_stop=20_000, most_for_gate=50_000)
    _print("what is held out")
    with tempfile.TemporaryDirectory() as made:
        _in_files(view, Path(made), uplinks=uplinks)
        size = sum(each.stat().st_size for each in Path(made).rglob("*") if each.is_file())
    print(f"{size / 2**30:.2f} GiB on disk at the end")


def _in_files(view: CloudView, folder: Path, *, uplinks: int) -> None:
    users = view.num_users
    nothing = KnowledgeStore.empty(
        num_users=users,
        num_queries=_QUERIES,
        embedding_dim=_DIM,
        num_earlier=_EARLIER,
        by_row=True,
    )
    builder = KnowledgeBuilder(nothing, folder=folder / "work")
    for start in range(0, uplinks, _AT_ONCE):
        whose = np.arange(start, min(start + _AT_ONCE, uplinks))
        rows = len(whose)
        builder.add(
            SimpleNamespace(
                users=(whose % users).astype(np.int32),
                rounds=(whose // users).astype(np.int32),
                with_logits=np.ones(rows, np.bool_),
                items=np.ones((rows, _QUERIES), np.int32),
                logits=np.ones((rows, _QUERIES), np.float32),
                embeddings=np.ones((rows, _QUERIES, _DIM), np.float32),
            )
        )
    present = (uplinks - 1) // users
    knowledge = builder.finish(present=present)
    _print("knowledge of the uplinks")
    path = folder / "knowledge.npz"
    fields = dataclasses.fields(knowledge)
    write_arrays(path, {field.name: getattr(knowledge, field.name) for field in fields})
    knowledge = KnowledgeStore.from_arrays(read_arrays(path, in_place=True))
    shutil.rmtree(folder / "work", ignore_errors=True)
    _print("knowledge written")
    answer_weights(
        knowledge,
        trust=knowledge.trust(round_number=present, half_life=5.0),
        max_device_share=0.05,
        max_item_share=0.05,
    )
    _print("weights of answers")
    source = np.random.default_rng(0).normal(size=(view.num_items + 1, _RANK)).astype(np.float32)
    blocks = Block("preference", source, source), Block("sequence", source, source)
    older, sizes = view.older, np.diff(view.older.offsets)
    states = UserStates(
        lambda rows: user_states(
            blocks,
            older.items,
            starts=older.offsets[rows],
            sizes=sizes[rows],
            centralized=np.zeros((len(rows), 0), np.float32),
        ),
        length=users,
    )
    here = states.__getitem__
    make_here(UserRows("states", users, here, lambda _: here, folder), options=())
    _print("states of users")


def _view(users: int, items: int, interactions: int, rng: np.random.Generator) -> CloudView:
    """Users by a log-normal law, two interactions each at least, items by Zipf's."""
    activity = np.cumsum(rng.lognormal(sigma=1.1, size=users))
    popularity = np.cumsum(1.0 / np.arange(10, items + 10))
    drawn = np.searchsorted(activity / activity[-1], rng.random(interactions - 2 * users))
    owners = np.sort(np.concatenate([np.repeat(np.arange(users), 2), drawn]))
    ranks = np.searchsorted(popularity / popularity[-1], rng.random(interactions))
    none = CentralizedTable(FeatureSchema("drawn", ()), ())
    older = OlderInteractions(
        items=(1 + rng.permutation(items)[np.minimum(ranks, items - 1)]).astype(np.int32),
        offsets=np.searchsorted(owners, np.arange(users + 1)),
        timestamps=np.arange(interactions),
    )
    return CloudView(num_users=users, num_items=items, older=older, items=none, users=none)


def _print(part: str) -> None:
    sizes = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, value = line.split(":", 1)
        if name in ("VmRSS", "RssAnon", "VmHWM"):
            sizes[name] = int(value.split()[0]) / 2**20
    print(
        f"{time.process_time():7.1f} s  {part:32} {sizes['VmRSS']:5.2f} GiB, "
        f"{sizes['RssAnon']:5.2f} in no file, at most {sizes['VmHWM']:5.2f}",
        flush=True,
    )
    # From here on the most is counted anew.
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
