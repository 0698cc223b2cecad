"""A run keeps the sums that reached its cloud, for who asks what could be read out of them."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config import RunConfig
from ecct_tf.errors import CheckpointError
from ecct_tf.federated.item_rows import Asked
from ecct_tf.files import write_bytes
from ecct_tf.knowledge.item_means import AskedSums
from ecct_tf.knowledge.item_sums import ItemSumSpec
from ecct_tf.simulation.loop import Callback, RoundResult

__all__ = ["SUMS_FOLDER", "SumsLogger", "stored_sums"]

SUMS_FOLDER = "item_sums"
"""In the run folder."""

_FIELDS = ("total", "users", "items", "expected", "salt", "devices", "with_logits")


class SumsLogger(Callback):
    """Writes a file of each round: the sum of each cohort, and whom the cloud asked about what.

    It must come before the `Checkpointer`: a round without its checkpoint is repeated, to the same
    file.

    Args:
      folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / SUMS_FOLDER

    def on_round(self, result: RoundResult, state: Any) -> None:
        """Writes the file of the round."""
        del state
        arrays = dict[str, Any]()
        for place, asked in enumerate(result.report.sums):
            sums = asked.sums
            values = (sums.total, sums.users, sums.items, asked.expected, sums.salt, sums.devices)
            for name, value in zip(_FIELDS, (*values, sums.spec.with_logits), strict=True):
                arrays[f"{place}/{name}"] = value
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_bytes(_file(self._folder, result.round_number - 1), content.getvalue())


def stored_sums(
    folder: Path, config: RunConfig, *, rounds: int, num_items: int
) -> list[tuple[int, list[Asked]]] | None:
    """The sums of the first `rounds` of a run, each with its round; None where one is missing.

    Args:
      folder: of the run.
      config: of the run.
      rounds: how many.
      num_items: of the data.

    Raises:
      CheckpointError: a file is damaged.
    """
    files = [_file(folder / SUMS_FOLDER, number) for number in range(rounds)]
    if not files or not all(file.is_file() for file in files):
        return None
    form = ItemSumSpec(num_items, config.edge.embedding_dim, config.exchange.item_sums)
    return [(number, _read(file, form)) for number, file in enumerate(files)]


def _read(file: Path, form: ItemSumSpec) -> list[Asked]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        count = len({name.split("/")[0] for name in found})
        return [
            _asked([found[f"{place}/{name}"] for name in _FIELDS], form) for place in range(count)
        ]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{file}: expected the sums of a round, as the run wrote them, got {error}. Restore "
            "the file from a copy, or remove it to do without"
        ) from error


def _asked(values: Sequence[npt.NDArray[Any]], form: ItemSumSpec) -> Asked:
    total, users, items, expected, salt, devices, with_logits = values
    spec = ItemSumSpec(form.num_items, form.embedding_dim, form.config, bool(with_logits))
    if total.shape != (spec.size,):
        raise ValueError(f"{total.shape} numbers in place of {spec.size}")
    return Asked(AskedSums(spec, total, users, items, int(salt), int(devices)), expected)


def _file(folder: Path, number: int) -> Path:
    return folder / f"round-{number:06d}.npz"
