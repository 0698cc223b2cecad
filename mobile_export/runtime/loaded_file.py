"""A packed file in an interpreter of this process: checked, read and ready to be called.

`mobile_export.runtime.interpreter` runs files that nobody vouches for in a process of their own;
here the manifest vouches. LiteRT and NumPy suffice. Where there is only TensorFlow, its
interpreter can be asked for by name; nothing falls back to it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ecct_tf.config import FeatureConfig
from ecct_tf.errors import DeviceError, ExportError
from ecct_tf.installation import install_command
from ecct_tf.parts import is_installed
from ecct_tf.wire import architecture_fingerprint
from mobile_export.contract.samples import group_size_of, samples_of
from mobile_export.contract.signatures import FILE_SCHEMA, Sizes, contract_of
from mobile_export.contract.soundness import check_numbers
from mobile_export.flatbuffer.packing import (
    associated_files,
    check_digest,
    digest,
    expected_digest,
    read_metadata,
    vocabulary_rows,
)
from mobile_export.runtime.interpreter import Runtime

__all__ = ["LoadedFile", "interpreter_of"]

Arrays = dict[str, npt.NDArray[Any]]


class LoadedFile:
    """The signatures of one file as functions.

    Attributes:
      name: of the file.
      sha256: of its bytes, in hexadecimal.
      num_bytes: its size.
      metadata: what it tells of itself.
      sizes: what its shapes follow from.
      features: how it reads histories and the clock, as far as its caller prepares that.
      samples: what devices of the run trained on.
      group_size: rows of `train` that belong together: all of a position, or 1.
      table_sha256: of the item table that it holds, as the cloud publishes it, in hexadecimal.
      contract: its signatures by name.
      layout: SHA-256 of how it lays out its weights and optimiser slots; files that share
        it can take each other's weights.
      architecture: fingerprint of its edge model, as files of starting weights have it.
      profile_words: rows of the values of each private category, by its name.

    Args:
      path: the file. Its hash is checked before it is loaded.
      runtime: `litert`, or `tensorflow` for its interpreter.
      sha256: expected of the file; by default what the manifest beside it says.

    Raises:
      ExportError: when the file is not what the manifest says, or the runtime is not
        installed or refuses it.
    """

    def __init__(self, path: Path, *, runtime: Runtime, sha256: str | None = None) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ExportError(f"{path}: expected a file of `ecct export`: {error}") from error
        # The bytes that were checked are the ones that are loaded.
        check_digest(content, sha256 or expected_digest(path), name=path.name)
        self.name = path.name
        self.sha256 = digest(content)
        self.num_bytes = len(content)
        self.metadata = read_metadata(content)
        if self.metadata["schema"] != FILE_SCHEMA:
            raise ExportError(
                f"{path.name}: expected schema {FILE_SCHEMA}, found {self.metadata['schema']}; "
                "export it again with this release"
            )
        check_numbers(self.metadata)
        self.contract = contract_of(self.metadata)
        self.sizes = _sizes(self.metadata)
        self.features = FeatureConfig(
            history_length=self.sizes.history_length,
            last_items=0,
            clock=self.sizes.clock_width > 0,
        )
        self.samples = samples_of(self.metadata)
        self.group_size = group_size_of(self.metadata)
        self.table_sha256 = str(self.metadata["items"]["table_sha256"])
        self.layout = _layout(self.metadata)
        self.architecture = architecture_fingerprint(
            self.metadata["tier"], self.metadata["model"], self.metadata["weights"]["layout"]
        )
        self.profile_words = _profile_words(self.metadata, content, name=path.name)
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


def _sizes(metadata: Mapping[str, Any]) -> Sizes:
    signatures, exchange = metadata["signatures"], metadata["exchange"]
    weights = int(metadata["weights"]["size"])
    slots = len(metadata["training"]["slot_starts"])
    shapes = {port["name"]: port["shape"] for port in signatures["infer"]["inputs"]}
    listed = {port["name"]: port["shape"] for port in signatures["score"]["inputs"]}
    return Sizes(
        history_length=metadata["features"]["history_length"],
        profile_columns=len(metadata["profile"]),
        cloud_dim=exchange["cloud_dim"],
        embedding_dim=exchange["embedding_dim"],
        num_queries=exchange["num_queries"],
        codec=exchange["codec"],
        with_logits=exchange["with_logits"],
        with_noise=exchange["noise_multiplier"] > 0,
        weights=weights,
        state=weights * (1 + slots) + 1,
        batch=shapes["candidates"][0],
        candidates=listed["candidates"][0],
        clock_width=listed.get("clock", [0])[0],
    )


def _profile_words(
    metadata: Mapping[str, Any], content: bytes, *, name: str
) -> dict[str, dict[str, int]]:
    columns = [column for column in metadata["profile"] if column.get("file")]
    texts = associated_files(content, name=name) if columns else {}
    found = {}
    for column in columns:
        words = vocabulary_rows(texts.get(column["file"], ""))
        found[str(column["name"])] = {word: row for row, word in enumerate(words) if row}
    return found


def _layout(metadata: Mapping[str, Any]) -> str:
    parts = [
        metadata["tier"],
        metadata["weights"],
        metadata["variant"]["adapters"],
        metadata["training"]["optimizer"],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
