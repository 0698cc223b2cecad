"""Runs a file in an interpreter, in a process of its own, at the request of `interpreter`.

Started as a script by whichever Python has the runtime: it needs NumPy and either
ai-edge-litert or TensorFlow, and nothing of this library. A damaged file or a hostile
input may end this process; the one that asked lives on.

Messages in both directions: eight bytes of length, then an `.npz` whose entry `header`
is JSON and whose other entries are arrays.
"""

import importlib.util
import io
import json
import os
import statistics
import struct
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

__all__ = ["read_message", "write_message"]


def write_message(stream: IO[bytes], header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Writes one message; names of arrays are free."""
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array(json.dumps(header)), **{f"_{k}": v for k, v in arrays.items()})
    content = buffer.getvalue()
    stream.write(struct.pack("<Q", len(content)) + content)
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Reads one message; None at the end of the stream."""
    prefix = stream.read(8)
    if len(prefix) < 8:
        return None
    with np.load(io.BytesIO(stream.read(struct.unpack("<Q", prefix)[0]))) as stored:
        arrays = {name[1:]: stored[name] for name in stored.files if name != "header"}
        header: dict[str, Any] = json.loads(str(stored["header"]))
    return header, arrays


def _runtime(name: str) -> tuple[Any, str]:
    """The interpreter class and its version."""
    if name == "litert-compiled":
        import ai_edge_litert

        return _compiled_file(), str(getattr(ai_edge_litert, "__version__", "of unknown version"))
    if name == "litert":
        import ai_edge_litert
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter, str(getattr(ai_edge_litert, "__version__", "of unknown version"))
    import tensorflow as tf

    return tf.lite.Interpreter, str(tf.__version__)


def _compiled_file() -> Any:
    """The class beside this script, which is loaded by its place, as no package is."""
    path = Path(__file__).resolve().with_name("compiled_file.py")
    spec = importlib.util.spec_from_file_location("compiled_file", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CompiledFile


class _Server:
    def __init__(self, runtime: str) -> None:
        self._class, self.version = _runtime(runtime)
        self._runners: dict[str, Any] = {}

    def answer(
        self, header: dict[str, Any], arrays: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Does what `header` asks."""
        if header["do"] == "load":
            loaded = self._class(model_path=header["path"], num_threads=1)
            names = loaded.get_signature_list()
            self._runners = {name: loaded.get_signature_runner(name) for name in names}
            return {"signatures": {name: _details(run) for name, run in self._runners.items()}}, {}
        runner = self._runners[header["signature"]]
        if header["do"] == "time":
            return {"microseconds": _median(runner, arrays, header["repeat"])}, {}
        return {}, {name: np.asarray(value) for name, value in runner(**arrays).items()}


def _details(runner: Any) -> dict[str, Any]:
    def ports(details: dict[str, Any]) -> dict[str, Any]:
        return {name: np.dtype(found["dtype"]).name for name, found in details.items()}

    return {
        "inputs": ports(runner.get_input_details()),
        "outputs": ports(runner.get_output_details()),
    }


def _median(runner: Any, arrays: dict[str, Any], repeat: int) -> float:
    """Median time of the interpreter's own work, inputs in place."""
    runner(**arrays)
    if hasattr(runner, "invoke"):
        invoke = runner.invoke
    else:
        interpreter, index = runner._interpreter_wrapper, runner._subgraph_index

        def invoke() -> None:
            interpreter.Invoke(index)

    times = []
    for _ in range(repeat):
        start = time.perf_counter_ns()
        invoke()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000.0


def main() -> None:
    """Serves until the other side closes."""
    # What a runtime prints must not mix with the messages.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        server = _Server(sys.argv[1])
    except ImportError as error:
        write_message(replies, {"error": str(error)}, {})
        return
    write_message(replies, {"version": server.version}, {})
    while (message := read_message(sys.stdin.buffer)) is not None:
        try:
            header, arrays = server.answer(*message)
        except Exception as error:  # Whatever the runtime raises is told, not swallowed.
            header, arrays = {"error": f"{type(error).__name__}: {error}"}, {}
        write_message(replies, header, arrays)


if __name__ == "__main__":
    main()
