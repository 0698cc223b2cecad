"""What it takes to find the best guesses of users out of catalogs, whole and block by block.

A publication and a simulation's rounds find for each user the items that the cloud ranks highest
and does not know of the user. Vectors are drawn; the items found in both ways are compared.
Times are of the processor.

    OMP_NUM_THREADS=1 python benchmarks/best_guesses.py --items 20000,200000
"""

import time
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from cloud.best_products import BestProducts
from cloud.chunks import users_at_once
from cloud.queries import guesses_of_logits

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]

_KNOWN = 10


@click.command()
@click.option("--items", default="20000,200000", show_default=True)
@click.option("--users", default=768, show_default=True)
@click.option("--width", default=64, show_default=True, help="Numbers of a vector.")
@click.option("--count", default=48, show_default=True, help="Best guesses of a user.")
@click.option("--seed", default=0, show_default=True)
def main(items: str, users: int, width: int, count: int, seed: int) -> None:
    """Prints microseconds a user."""
    print(f"{users} users, {width} numbers, {count} best guesses, seed {seed}")
    print(f"{'items':>10} {'whole, µs':>10} {'blocks, µs':>11} {'users with other guesses':>25}")
    for size in (int(each) for each in items.split(",")):
        rng = np.random.default_rng(seed)
        vectors, asked = (
            rng.normal(size=(rows, width)).astype(np.float32) for rows in (size, users)
        )
        biases = rng.normal(size=size).astype(np.float32)
        known = [1 + rng.choice(size, _KNOWN, replace=False).astype(np.int32) for _ in asked]
        begun = time.process_time()
        blocks = BestProducts(vectors, biases).of(asked, closed=known, count=count)
        middle = time.process_time()
        whole = _whole(asked, vectors, biases, known=known, count=count)
        end = time.process_time()
        others = sum(set(a.tolist()) != set(b.tolist()) for a, b in zip(blocks, whole, strict=True))
        print(
            f"{size:>10,} {1e6 * (end - middle) / users:>10.0f} "
            f"{1e6 * (middle - begun) / users:>11.0f} {others:>25}",
            flush=True,
        )


def _whole(
    asked: Array, vectors: Array, biases: Array, *, known: list[Ids], count: int
) -> list[npt.NDArray[Any]]:
    guesses = guesses_of_logits(lambda rows: asked[rows] @ vectors.T + biases)
    found: list[npt.NDArray[Any]] = []
    step = users_at_once(len(biases))
    for start in range(0, len(asked), step):
        rows = np.arange(start, min(start + step, len(asked)), dtype=np.int32)
        found += guesses(rows, known[start : start + step], count)
    return found


if __name__ == "__main__":
    main()
