"""Which runtimes run a file, from which version on, and what CompiledModel needs before a call."""

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["COMPILED_MODEL_FROM", "INTERPRETER_FROM", "RuntimeNeeds", "runtime_needs"]

INTERPRETER_FROM = "1.1.2"
"""The first LiteRT whose Interpreter was seen to run such files."""

COMPILED_MODEL_FROM = "2.1.5"
"""The first LiteRT whose CompiledModel has resource variables, in which a file keeps weights."""


@dataclasses.dataclass(frozen=True)
class RuntimeNeeds:
    """What a file needs of one interface of LiteRT.

    Attributes:
      interface: `Interpreter` or `CompiledModel`.
      version: lowest version of LiteRT, in words.
      before: what has to be done before calls, in words.
    """

    interface: str
    version: str
    before: str


def runtime_needs(metadata: Mapping[str, Any]) -> tuple[RuntimeNeeds, RuntimeNeeds]:
    """What a file needs of the Interpreter and of CompiledModel.

    Args:
      metadata: of the file, as `read_metadata` returns it; dimensions that are None follow the
        caller.

    Example:
      >>> port = {"name": "labels", "shape": [None]}
      >>> metadata = {"signatures": {"train": {"inputs": [port], "outputs": []}}}
      >>> for needs in runtime_needs(metadata):
      ...     print(f"{needs.interface}, {needs.version}: {needs.before}")
      Interpreter, LiteRT 1.1.2 or newer: nothing: arrays may have any number of rows
      CompiledModel, LiteRT 2.1.5 or newer: resize_input_tensor_by_name for the inputs of train
    """
    signatures = metadata["signatures"]
    open_ended = [
        name
        for name, signature in signatures.items()
        if any(None in port["shape"] for port in signature["inputs"])
    ]
    resized = (
        f"resize_input_tensor_by_name for the inputs of {', '.join(open_ended)}"
        if open_ended
        else "nothing: all shapes are fixed"
    )
    trains = "train" in signatures
    return (
        RuntimeNeeds(
            "Interpreter",
            f"LiteRT {INTERPRETER_FROM} or newer",
            "nothing: arrays may have any number of rows" if open_ended else resized,
        ),
        RuntimeNeeds(
            "CompiledModel",
            f"LiteRT {COMPILED_MODEL_FROM} or newer" if trains else "not tested without `train`",
            resized,
        ),
    )
