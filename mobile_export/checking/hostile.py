"""Inputs and files that a careless or malicious caller might pass, from a seed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mobile_export.contract.signatures import Port, Signature

__all__ = ["damaged_files", "hostile_inputs"]

Inputs = dict[str, npt.NDArray[Any]]

_FLOATS = (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e30, -1e10)
_INTEGERS = (-1, -(2**31), 2**31 - 1, 10**6)
_DTYPES = ("float64", "int64", "float32", "int32", "int8", "bool")


def hostile_inputs(
    signature: Signature, good: Inputs, rng: np.random.Generator
) -> tuple[str, Inputs]:
    """One hostile call: `good` with one input spoilt, and what was done to it."""
    port = signature.inputs[rng.integers(len(signature.inputs))]
    array = good[port.name]
    spoil = (_bad_values, _bad_dtype, _bad_rank, _bad_length, _empty)[rng.integers(5)]
    told, spoilt = spoil(port, array, rng)
    return f"{signature.name}.{port.name}: {told}", {**good, port.name: spoilt}


def damaged_files(
    content: bytes, count: int, rng: np.random.Generator
) -> Iterator[tuple[str, bytes]]:
    """Truncated and bit-flipped copies of a file, and what was done to them."""
    for index in range(count):
        if index % 2:
            length = int(rng.integers(len(content)))
            yield f"truncated to {length} bytes", content[:length]
            continue
        altered = bytearray(content)
        flips = int(rng.integers(1, 9))
        for place in rng.integers(len(content), size=flips):
            altered[place] ^= 1 << int(rng.integers(8))
        yield f"{flips} bits flipped", bytes(altered)


def _bad_values(
    port: Port, array: npt.NDArray[Any], rng: np.random.Generator
) -> tuple[str, npt.NDArray[Any]]:
    spoilt = array.copy()
    if port.dtype == "float32":
        value: Any = _FLOATS[rng.integers(len(_FLOATS))]
    elif port.dtype == "int8":
        value = -128
    else:
        value = _INTEGERS[rng.integers(len(_INTEGERS))]
    if rng.integers(2):
        spoilt[...] = value
        return f"all {value}", spoilt
    spoilt.reshape(-1)[rng.integers(spoilt.size)] = value
    return f"one {value}", spoilt


def _bad_dtype(
    port: Port, array: npt.NDArray[Any], rng: np.random.Generator
) -> tuple[str, npt.NDArray[Any]]:
    others = [name for name in _DTYPES if name != port.dtype]
    dtype = others[rng.integers(len(others))]
    return f"dtype {dtype}", array.astype(dtype)


def _bad_rank(
    port: Port, array: npt.NDArray[Any], rng: np.random.Generator
) -> tuple[str, npt.NDArray[Any]]:
    del port
    if rng.integers(2):
        return "one axis more", array[None]
    return "a scalar", array.reshape(-1)[0].copy()


def _bad_length(
    port: Port, array: npt.NDArray[Any], rng: np.random.Generator
) -> tuple[str, npt.NDArray[Any]]:
    del port
    axis = int(rng.integers(array.ndim))
    extent = int(rng.choice([1, array.shape[axis] + 1, 7 * array.shape[axis] + 3]))
    shape = list(array.shape)
    shape[axis] = extent
    return f"axis {axis} of length {extent}", np.resize(array, shape)


def _empty(
    port: Port, array: npt.NDArray[Any], rng: np.random.Generator
) -> tuple[str, npt.NDArray[Any]]:
    del port, rng
    return "empty", array[:0]
