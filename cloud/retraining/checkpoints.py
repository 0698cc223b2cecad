"""A phase's checkpoints: whole ones only, in folders whatever their name is.

`tf.train.CheckpointManager` looks for its own files by patterns, so that below a folder like
`k[1]` it finds none: nothing is restored and nothing removed. Here each checkpoint is a
folder with a number, which appears by a rename once TensorFlow has written all of it.
"""

import shutil
from pathlib import Path

import tensorflow as tf

from ecct_tf.errors import CheckpointError
from ecct_tf.tensorflow_files import literal, writing

__all__ = ["Checkpoints"]

_PREFIX = "state"
_PART = ".part"


class Checkpoints:
    """The checkpoints in one folder.

    Args:
      tracked: what they hold.
      folder: where they lie.
      keep: how many of the newest stay.
    """

    def __init__(self, tracked: tf.train.Checkpoint, folder: Path, *, keep: int) -> None:
        self._tracked = tracked
        self._folder = folder
        self._keep = keep

    def restore(self) -> Path | None:
        """Restores the newest checkpoint and returns its folder; None when there is none.

        Raises:
          CheckpointError: it cannot be read, or is of another model.
        """
        numbers = self._numbers()
        if not numbers:
            return None
        path = self._path(numbers[-1])
        try:
            with literal(path) as readable:
                self._tracked.read(str(readable / _PREFIX)).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise CheckpointError(
                f"{path}: expected a checkpoint of this job, cannot resume from it: {error}. "
                f"Remove {self._folder} to repeat the phase."
            ) from error
        return path

    def save(self) -> None:
        """Writes the next checkpoint, then removes those that are too old.

        A kill or a full disk leaves the ones before it as they were.

        Raises:
          StorageError: the system refused the write.
        """
        numbers = self._numbers()
        part = self._folder / _PART
        shutil.rmtree(part, ignore_errors=True)
        try:
            with writing(
                self._folder,
                way_out="the checkpoints before this one are whole, and the same command resumes "
                "from the newest",
            ):
                part.mkdir(parents=True)
                self._tracked.write(str(part / _PREFIX))
                part.rename(self._path(numbers[-1] + 1 if numbers else 1))
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        for number in numbers[: len(numbers) + 1 - self._keep]:
            shutil.rmtree(self._path(number), ignore_errors=True)

    def _numbers(self) -> list[int]:
        if not self._folder.is_dir():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}"
