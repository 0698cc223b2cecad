"""A packed file in an interpreter of this process: checked, read and ready to be called.

`mobile_export.runtime.interpreter` runs files that nobody vouches for in a process of their own;
here the manifest vouches. LiteRT and NumPy suffice. Where there is only TensorFlow, its
interpreter can be asked for by name; nothing falls back to it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ecct_tf.errors import DeviceError, ExportError
from ecct_tf.installation import install_command
from ecct_tf.parts import is_installed
from mobile_export.flatbuffer.packing import (
    check_digest,
    digest,
    expected_digest,
    read_metadata,
)
from mobile_export.runtime.compiled_file import CompiledFile
from mobile_export.runtime.edge_file import EdgeFile, vocabularies
from mobile_export.runtime.interpreter import Runtime

__all__ = ["LoadedFile", "interpreter_of"]

Arrays = dict[str, npt.NDArray[Any]]


class LoadedFile(EdgeFile):
    """The signatures of one file as functions, and what it tells of itself.

    Attributes:
      num_bytes: its size.

    Args:
      path: the file. Its hash is checked before it is loaded.
      runtime: `litert`, `litert-compiled` for its CompiledModel, or `tensorflow` for its
        interpreter.
      sha256: expected of the file; by default what the manifest beside it says.

    Raises:
      ExportError: when the file is not what the manifest says, or the runtime is not
        installed or refuses it.
    """

    def __init__(self, path: Path | str, *, runtime: Runtime, sha256: str | None = None) -> None:
        path = Path(path)  # a text is as good
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ExportError(
                f"{path}: expected a file of `ecct export`: {error.strerror}"
            ) from error
        # The bytes that were checked are the ones that are loaded.
        check_digest(content, sha256 or expected_digest(path), name=path.name)
        metadata = read_metadata(content)
        super().__init__(
            name=path.name,
            sha256=digest(content),
            metadata=metadata,
            texts=vocabularies(metadata, content, name=path.name),
        )
        self.num_bytes = len(content)
        self._runners = _runners(content, runtime=runtime, name=path.name)

    def call(self, signature: str, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Runs a signature.

        Raises:
          DeviceError: when the runtime refuses the inputs.
        """
        try:
            found: Arrays = self._runners[signature](**inputs)
        except (ValueError, RuntimeError, TypeError) as error:
            raise DeviceError(f"{self.name}: {signature} was refused: {error}") from error
        return found


def interpreter_of(runtime: Runtime) -> Any:
    """The class of `runtime` that loads a file.

    Raises:
      ExportError: the runtime is not installed here.
    """
    try:
        if runtime == "litert-compiled":
            # What it needs is imported when a file is loaded.
            from ai_edge_litert import compiled_model  # noqa: F401  # only whether it is there

            return CompiledFile
        if runtime == "litert":
            from ai_edge_litert import interpreter

            return interpreter.Interpreter
        import tensorflow as tf

        return tf.lite.Interpreter
    except ImportError as error:
        raise ExportError(
            f"{runtime} is not installed here: {error}. {_way_out(runtime)}"
        ) from error


def _way_out(runtime: Runtime) -> str:
    other = '`--runtime tensorflow`, in Python runtime="tensorflow"'
    if runtime == "tensorflow":
        return f"To add it: {install_command('export')}"
    if is_installed("tensorflow-federated"):
        # The two want different packages, so that LiteRT cannot be added to this environment.
        return (
            f"TensorFlow's interpreter is installed: {other}. LiteRT needs an environment without "
            "TensorFlow Federated; in a clone `make install-current` makes one, .venv-current"
        )
    return (
        f"To add it: {install_command('litert')}. Where there is TensorFlow, {other}, takes its "
        "interpreter"
    )


def _runners(content: bytes, *, runtime: Runtime, name: str) -> dict[str, Any]:
    kind = interpreter_of(runtime)
    try:
        loaded = kind(model_content=content, num_threads=1)
        return {key: loaded.get_signature_runner(key) for key in loaded.get_signature_list()}
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"{name}: {runtime} cannot load it: {error}") from error
