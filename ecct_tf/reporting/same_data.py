"""Whether runs were measured on the same interactions and candidates."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecct_tf.config.yaml_text import setting_text
from ecct_tf.errors import ConfigError, RunFolderError
from ecct_tf.reporting.run import Run

__all__ = ["check_same_data"]

_KEYS = (
    "data.dataset",
    "data.keep_first",
    "data.keep_last",
    "data.split",
    "evaluation.negatives",
    "evaluation.k",
)
_BY_DATASET = {
    "synthetic": ("data.synthetic_users", "data.synthetic_items"),
    "in-memory": ("data.fingerprint",),
}
_BY_SPLIT = {"temporal": ("data.validation_fraction", "data.test_fraction")}


def check_same_data(runs: Sequence[Run]) -> None:
    """Refuses runs that cannot be compared.

    Raises:
      ConfigError: they differ in dataset, split, number of candidates or k, or, at the
        same seed, in the candidates themselves.
      RunFolderError: a file of candidates is damaged.
    """
    first = runs[0]
    keys = [*_KEYS]
    keys += _BY_DATASET.get(str(first.config["data.dataset"]), ())
    keys += _BY_SPLIT.get(str(first.config["data.split"]), ())
    for run in runs[1:]:
        for key in keys:
            ours, theirs = first.config.get(key), run.config.get(key)
            if ours != theirs:
                raise ConfigError(
                    f"runs can be compared only on the same data and candidates: {key} is "
                    f"{setting_text(ours, quotes=False)} in {first.path} and "
                    f"{setting_text(theirs, quotes=False)} in {run.path}; compare them separately"
                )
    _check_candidates(runs)


def _check_candidates(runs: Sequence[Run]) -> None:
    seen: dict[int, tuple[Path, dict[str, npt.NDArray[Any]]]] = {}
    for run in runs:
        file = run.path / "candidates_test.npz"
        # A copy may do without: the settings that determine the candidates were compared.
        if not file.exists():
            continue
        arrays = _arrays(file)
        other, expected = seen.setdefault(run.seed, (file, arrays))
        if any(not np.array_equal(arrays[name], expected[name]) for name in ("users", "items")):
            raise ConfigError(
                f"{other} and {file} hold different candidates though both runs have seed "
                f"{run.seed}: their data differ. Run one of them again on the other's data"
            )


def _arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("users", "items")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunFolderError(
            f"{file} is damaged ({error}); copy it again, or remove it to compare without it"
        ) from error
