"""Checkpoints: the whole state of a run in a file that proves itself.

A file's name carries the round and the start of the SHA-256 of its content. It appears
by a rename, so a kill leaves either no file or a whole one; and whatever damages it
later is noticed, in which case the one before it serves. What never changes in a run is in files
of its own, which are written once; of `TouchedRows` there is what was written.
"""

import dataclasses
import hashlib
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecct_tf.errors import CheckpointError
from ecct_tf.files import open_plain, write_atomically
from ecct_tf.fixed_arrays import FixedArray, stored_fixed, write_fixed
from ecct_tf.touched_rows import TouchedRows

if TYPE_CHECKING:
    # What reads a run's figures alone imports no TensorFlow.
    from ecct_tf.federated import Arrays

__all__ = ["Checkpoint", "CheckpointStore"]

_log = logging.getLogger(__name__)

_FORMAT = 3
# The first had all rows of all arrays, the second no settings.
_READ = ("1", "2", "3")
_NAME = re.compile(r"round-(\d{6})-([0-9a-f]{16})\.npz")
_META, _SETTINGS = "__meta__", "__settings__"
# Of arrays of which few rows were written, so much is stored of each.
_TOUCHED = "__touched__"
# Of arrays that stay the same, the name of a file beside the checkpoints, and its SHA-256.
_FIXED, _LIKE = "__fixed__", "__like__"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A state as it was after some round.

    Attributes:
      round_number: rounds done.
      fingerprint: of the data that it was trained on.
      arrays: the state, as `Algorithm.to_arrays` gave it, `TouchedRows` as such.
      settings: `begun_settings` of the run; empty in one of an earlier release.
    """

    round_number: int
    fingerprint: str
    arrays: dict[str, Any]
    settings: str = ""


class CheckpointStore:
    """The checkpoints of one run.

    Args:
      folder: where they lie; made when the first is written.
      keep: how many of the newest stay.
      settings: `begun_settings` of the run, which each file has.
    """

    def __init__(self, folder: Path, *, keep: int = 2, settings: str = "") -> None:
        self._folder = folder
        self._keep = keep
        self._settings = settings
        self._fixed: dict[str, str] = {}

    def save(self, round_number: int, arrays: "Arrays", *, fingerprint: str) -> Path:
        """Writes a checkpoint, then removes those that are too old."""
        buffer = io.BytesIO()
        meta = np.array([str(_FORMAT), str(round_number), fingerprint])
        # As bytes: NumPy has four for a character.
        settings = np.frombuffer(self._settings.encode(), np.uint8)
        np.savez(buffer, **{_META: meta, _SETTINGS: settings}, **self._stored(arrays))
        content = buffer.getbuffer()
        path = self._folder / f"round-{round_number:06d}-{_digest(content)}.npz"
        write_atomically(path, lambda file: file.write(content), private=True)
        for _, old in list(self._paths())[self._keep :]:
            old.unlink(missing_ok=True)
        return path

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; None when the run has none.

        A damaged one is passed over, and a warning says so.

        Raises:
          CheckpointError: when there are checkpoints and all are damaged, or one is of
            another format.
        """
        damaged = []
        for round_number, path in self._paths():
            try:
                return self._read(path)
            except _DamagedError as error:
                damaged.append(path.name)
                _log.warning(
                    "checkpoint %s of round %d is damaged (%s); trying the one before it",
                    path,
                    round_number,
                    error,
                )
        if damaged:
            raise CheckpointError(
                f"{self._folder}: all checkpoints are damaged ({', '.join(damaged)}). Remove "
                "them to begin the run anew, or restore them from a copy."
            )
        return None

    def _paths(self) -> Iterator[tuple[int, Path]]:
        """Checkpoint files, the newest first."""
        found = []
        for path in self._folder.glob("round-*.npz"):
            match = _NAME.fullmatch(path.name)
            if match:
                found.append((int(match[1]), path))
        yield from sorted(found, key=lambda pair: (pair[0], _written(pair[1])), reverse=True)

    def _read(self, path: Path) -> Checkpoint:
        try:
            with open_plain(path) as file:
                content = file.read()
        except OSError as error:
            raise _DamagedError(str(error)) from error
        received = _digest(content)
        expected = path.stem.rpartition("-")[2]
        if received != expected:
            raise _DamagedError(
                f"its {len(content)} bytes have SHA-256 {received}…, expected {expected}…"
            )
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        found_format, round_number, fingerprint = arrays.pop(_META).tolist()
        if found_format not in _READ:
            raise CheckpointError(
                f"{path}: expected checkpoint format {' or '.join(_READ)}, found {found_format}; "
                "it was written by another version of ECCT-TF"
            )
        settings = arrays.pop(_SETTINGS, np.zeros(0, np.uint8)).tobytes().decode()
        return Checkpoint(int(round_number), fingerprint, self._restored(arrays), settings)

    def _stored(self, arrays: "Arrays") -> dict[str, npt.NDArray[Any]]:
        """What a file has of a state; the rest is in other files, or follows from it."""
        stored: dict[str, npt.NDArray[Any]] = {}
        for name, array in arrays.items():
            if isinstance(array, TouchedRows):
                touched = array.touched
                own = {"length": np.array(len(array)), "default": array.default, "rows": touched}
                own["values"] = array[touched]
                stored |= {f"{_TOUCHED}/{part}/{name}": found for part, found in own.items()}
            elif isinstance(array, FixedArray):
                stored[f"{_FIXED}/{name}"] = np.array([array.key, self._kept(array)])
                # What it is like is known without the file.
                stored[f"{_LIKE}/{name}"] = np.zeros((0, *array.shape), array.dtype)
            else:
                stored[name] = np.asarray(array)
        return stored

    def _kept(self, array: FixedArray) -> str:
        """SHA-256 of the file of `array`, which each store writes once.

        One that lies there already is of an earlier part of the run, and may be damaged.
        """
        path = self._path_of(array.key)
        if array.key not in self._fixed or not path.exists():
            self._fixed[array.key] = write_fixed(path, array)
        return self._fixed[array.key]

    def _path_of(self, key: str) -> Path:
        return self._folder / f"fixed-{key}.npy"

    def _restored(self, stored: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """What `_stored` was given."""
        arrays: dict[str, Any] = {}
        for name, found in stored.items():
            kind, _, rest = name.partition("/")
            if kind == _FIXED:
                key, sha256 = found.tolist()
                path, like = self._path_of(key), stored[f"{_LIKE}/{rest}"]
                arrays[rest] = stored_fixed(
                    path, key=key, sha256=sha256, shape=like.shape[1:], dtype=like.dtype
                )
            elif kind == _TOUCHED:
                part, _, whose = rest.partition("/")
                if part == "length":
                    arrays[whose] = TouchedRows.stored(
                        stored[f"{_TOUCHED}/default/{whose}"],
                        rows=stored[f"{_TOUCHED}/rows/{whose}"],
                        values=stored[f"{_TOUCHED}/values/{whose}"],
                        length=int(found),
                    )
            elif kind != _LIKE:
                arrays[name] = found
        return arrays


class _DamagedError(Exception):
    """A file is not what its name says."""


def _written(path: Path) -> float:
    """When; 0 of a link that leads nowhere, which is found to be damaged when it is read."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
