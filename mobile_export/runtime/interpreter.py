"""An interpreter in a process of its own: LiteRT or TensorFlow's, crash-proof for us."""

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import numpy.typing as npt

from ecct_tf.errors import ExportError
from ecct_tf.installation import install_command
from ecct_tf.parts import Part
from mobile_export.runtime import interpreter_worker
from mobile_export.runtime.interpreter_worker import read_message, write_message

__all__ = ["CallRefusedError", "Interpreter", "ProcessDiedError", "Runtime"]

Runtime = Literal["litert", "litert-compiled", "tensorflow"]
Arrays = Mapping[str, npt.NDArray[Any]]

_PACKAGES = {
    "litert": "ai-edge-litert",
    "litert-compiled": "ai-edge-litert",
    "tensorflow": "tensorflow",
}


class CallRefusedError(ExportError):
    """The interpreter refused a file or a call with an error of its own."""


class ProcessDiedError(ExportError):
    """The interpreter's process crashed or hung."""


class Interpreter:
    """Runs the signatures of one file at a time. Use it as a context manager.

    Args:
      runtime: `litert`, `litert-compiled` for its CompiledModel, or `tensorflow`.
      python: interpreter of the environment that has the runtime, a path or a command; by default
        this one.
      timeout_seconds: how long a reply may take.
    """

    def __init__(
        self, runtime: Runtime, *, python: str | None = None, timeout_seconds: float = 60.0
    ) -> None:
        self.runtime: Runtime = runtime
        self.version = ""
        # The process has a folder of its own: a path from here is made whole, a command is not.
        given = python or sys.executable
        self._python = str(Path(given).absolute()) if os.sep in given else given
        self._timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._path: Path | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def name(self) -> str:
        """Runtime and version."""
        kind = " CompiledModel" if self.runtime == "litert-compiled" else ""
        return f"{_PACKAGES[self.runtime]} {self.version}{kind}"

    def load(self, path: Path) -> dict[str, Any]:
        """Loads a file; dtypes of each signature's inputs and outputs by name.

        Raises:
          CallRefusedError: the runtime refused the file.
          ProcessDiedError: it crashed; the next call starts a new process.
        """
        self._path = None
        # The process has a working folder of its own.
        header, _ = self._ask({"do": "load", "path": str(path.resolve())}, {})
        self._path = path
        found: dict[str, Any] = header["signatures"]
        return found

    def load_bytes(self, content: bytes) -> dict[str, Any]:
        """Loads a file that is not on disk."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "edge.tflite"
            path.write_bytes(content)
            return self.load(path)

    def run(self, signature: str, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Runs a signature; raises as `load` does."""
        return self._ask({"do": "run", "signature": signature}, inputs)[1]

    def median_microseconds(self, signature: str, inputs: Arrays, *, repeat: int = 1000) -> float:
        """Median time of a call, with one thread, inputs in place."""
        header, _ = self._ask({"do": "time", "signature": signature, "repeat": repeat}, inputs)
        return float(header["microseconds"])

    def _ask(
        self, header: dict[str, Any], arrays: Arrays
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        if self._process is None:
            self._start()
        stdin, stdout = self._pipes()
        try:
            write_message(stdin, header, dict(arrays))
            reply = self._reply(stdout)
        except (BrokenPipeError, ConnectionError):
            reply = None
        if reply is None:
            code = self._stop()
            raise ProcessDiedError(
                f"{self.name}: the process died with code {code} at {header}; the file or the "
                "input is one that this runtime does not survive"
            )
        if "error" in reply[0]:
            raise CallRefusedError(f"{self.name}: {reply[0]['error']}")
        return reply

    def _reply(
        self, stdout: IO[bytes]
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        # Replies come one by one, each asked for: nothing can wait in the reader's buffer.
        ready, _, _ = select.select([stdout], [], [], self._timeout_seconds)
        if not ready:
            if self._process is not None:
                self._process.kill()
            self._stop()
            raise ProcessDiedError(
                f"{self.name}: no answer within {self._timeout_seconds:g} s; give more with "
                "`--timeout` (in Python timeout_seconds) if the machine is slow"
            )
        return read_message(stdout)

    def _start(self) -> None:
        script = str(Path(interpreter_worker.__file__).resolve())
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        try:
            self._process = subprocess.Popen(
                [self._python, script, self.runtime],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                cwd=tempfile.gettempdir(),
            )
        except OSError as error:
            raise ExportError(f"cannot start {self._python}: {error}") from error
        hello = self._reply(self._pipes()[1])
        if hello is None or "error" in hello[0]:
            told = "it ended at once" if hello is None else hello[0]["error"]
            self._stop()
            raise ExportError(
                f"{self._python} cannot run {_PACKAGES[self.runtime]}: {told}. {self._remedy()}"
            )
        self.version = str(hello[0]["version"])

    def _remedy(self) -> str:
        part: Part = "export" if self.runtime == "tensorflow" else "litert"
        if self._python == sys.executable:
            return f"To add it: {install_command(part)}"
        return f"Install it there: {self._python} -m pip install {_PACKAGES[self.runtime]}"

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise ExportError("the interpreter is closed; use it inside its with block")
        return self._process.stdin, self._process.stdout

    def _stop(self) -> int | None:
        """Ends the process; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            process.communicate(timeout=5)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            process.kill()
            process.wait()
        return process.returncode
