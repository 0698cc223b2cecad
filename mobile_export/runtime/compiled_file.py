"""LiteRT's CompiledModel behind the calls of its Interpreter.

It needs NumPy and ai-edge-litert, and nothing of this library: the process of
`interpreter_worker` loads it too.

CompiledModel has buffers of fixed sizes. In a dynamic file, where the caller decides shapes, an
input is resized before the call: until then it has one value. How long an output then is, LiteRT
2.3 knows only after the call: a buffer that it makes before is as short as in the file, and is
written past its end, which ends the process. So outputs get memory of ours, as long as the inputs
may need it.
"""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CompiledFile", "Runner"]

Arrays = dict[str, npt.NDArray[Any]]

_ALIGNMENT = 64


class CompiledFile:
    """One file, compiled for the CPU.

    Args:
      model_path: the file, or
      model_content: its bytes.
      num_threads: of the CPU's kernels.

    Raises:
      ImportError: there is no ai-edge-litert with CompiledModel.
      RuntimeError: LiteRT refuses the file.
    """

    def __init__(
        self,
        model_path: str | None = None,
        model_content: bytes | None = None,
        *,
        num_threads: int = 1,
    ) -> None:
        from ai_edge_litert.compiled_model import (
            CompiledModel,
            CpuOptions,
            HardwareAccelerator,
            Options,
            TensorBuffer,
        )

        self._of_memory = TensorBuffer.create_from_host_memory
        options = Options(
            hardware_accelerators=HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=num_threads),
        )
        if model_path is not None:
            self._model = CompiledModel.from_file(model_path, options=options)
        else:
            self._model = CompiledModel.from_buffer(model_content or b"", options=options)

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """Names of inputs and outputs by signature."""
        found: dict[str, dict[str, list[str]]] = self._model.get_signature_list()
        return found

    def get_signature_runner(self, name: str) -> "Runner":
        """A signature as a function."""
        return Runner(self._model, name, self._of_memory)


class Runner:
    """One signature: arrays by name in, arrays by name out."""

    def __init__(self, model: Any, name: str, of_memory: Callable[[npt.NDArray[Any]], Any]) -> None:
        self._model, self._name, self._of_memory = model, name, of_memory
        given = self.get_input_details()
        self._dtypes = {port: np.dtype(told["dtype"]) for port, told in given.items()}
        # As in the file, where 1 may stand for a size that the caller decides.
        self._given = {port: tuple(told["shape"]) for port, told in given.items()}
        self._answered: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._memory: dict[str, npt.NDArray[Any]] = {}

    def get_input_details(self) -> dict[str, Any]:
        """Of each input: its dtype, shape and more, as LiteRT tells it."""
        found: dict[str, Any] = self._model.get_input_tensor_details(self._name)
        return found

    def get_output_details(self) -> dict[str, Any]:
        """The same of each output."""
        try:
            return self._told_of_outputs()
        except RuntimeError:
            # Of a signature whose input is too short yet; it takes what another one gives.
            if self._shapes or len(self._given) != 1:
                raise
            (name,) = self._given
            return self._once_long_enough(name)

    def _told_of_outputs(self, signature: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self._model.get_output_tensor_details(signature or self._name)
        return found

    def _once_long_enough(self, name: str) -> dict[str, Any]:
        for other in ("save", "get_weights"):
            if other in self._model.get_signature_list():
                (told,) = self._told_of_outputs(other).values()
                self._model.resize_input_tensor_by_name(self._name, name, told["shape"])
                with contextlib.suppress(RuntimeError):
                    return self._told_of_outputs()
        return self._told_of_outputs()

    def __call__(self, **inputs: npt.NDArray[Any]) -> Arrays:
        """Runs it.

        Raises:
          ValueError: an input is missing, unknown, or of another dtype or rank.
          RuntimeError: LiteRT refuses a shape, or the call.
        """
        if inputs.keys() != self._dtypes.keys():
            raise ValueError(
                f"{self._name}: expected inputs {sorted(self._dtypes)}, got {sorted(inputs)}"
            )
        for name, value in inputs.items():
            if value.dtype != self._dtypes[name]:
                raise ValueError(
                    f"{self._name}: {name}: expected {self._dtypes[name]}, got {value.dtype}"
                )
        shapes = {name: value.shape for name, value in inputs.items()}
        if shapes != self._shapes:
            self._resize(shapes)
        for name, value in inputs.items():
            self._inputs[name].write(np.ascontiguousarray(value))
        self.invoke()
        found = {}
        for name, told in self.get_output_details().items():
            shape = tuple(told["shape"])
            found[name] = self._memory[name][: math.prod(shape)].reshape(shape).copy()
        return found

    def invoke(self) -> None:
        """Runs it once more on the inputs of the last call."""
        self._model.run_by_name(self._name, self._inputs, self._outputs)

    def _resize(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Buffers for inputs of `shapes`."""
        self._shapes = {}
        told = self.get_input_details()
        for name, shape in shapes.items():
            if tuple(told[name]["shape"]) != shape:
                self._model.resize_input_tensor_by_name(self._name, name, shape)
        self._inputs = {
            name: self._model.create_input_buffer_by_name(self._name, name) for name in shapes
        }
        # An output has at most as many rows as a resized input.
        grown = [shape[0] for name, shape in shapes.items() if shape != self._given[name]]
        # Asked for earlier, LiteRT would refuse a signature whose inputs are too short yet.
        details = self.get_output_details()
        if not self._answered:
            self._answered = {name: math.prod(told["shape"]) for name, told in details.items()}
        for name, found in details.items():
            length = self._answered[name] * max(grown, default=1)
            self._memory[name] = _aligned(length, np.dtype(found["dtype"]))
            self._outputs[name] = self._of_memory(self._memory[name])
        self._shapes = shapes


def _aligned(length: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """`[length]` zeros that begin where LiteRT wants memory of others to begin."""
    raw = np.zeros(length * dtype.itemsize + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + length * dtype.itemsize].view(dtype)
