"""The conformance kit for codecs: what both sides of an exchange rely on."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ecct_tf.config import is_own_codec
from ecct_tf.errors import ConfigError, EcctError
from ecct_tf.knowledge import Codec, RowCodec, build_codec
from ecct_tf.knowledge.codecs import codec_of
from ecct_tf.plugins import guarded
from ecct_tf.testing.findings import CheckFailedError, Finding, raise_failures, words_of
from ecct_tf.testing.needs import need
from ecct_tf.wire.row_codec import custom_codec

__all__ = ["check_codec", "codec_findings"]

Array = npt.NDArray[np.float32]
Parts = tuple[npt.NDArray[Any], ...]

_WIDTHS = (1, 7, 16, 129)
_LEADS = ((), (2, 3))
_SMALLEST = 2.0**-14


def check_codec(codec: str | Callable[[], RowCodec], *, seed: int = 0) -> tuple[Finding, ...]:
    """Checks a codec, for the tests of the package that brings it.

    Args:
      codec: its name, as in `exchange.codec`, or the function that returns it.
      seed: of the numbers.

    Returns:
      What was found.

    Raises:
      ConformanceError: when it failed in anything; the message names every failure.

    >>> [finding.check for finding in check_codec("int8")][:3]
    ['build', 'bytes', 'round trip']
    """
    findings = codec_findings(codec, seed=seed)
    raise_failures(findings, what=f"codec {_name_of(codec)!r}")
    return findings


def codec_findings(codec: str | Callable[[], RowCodec], *, seed: int = 0) -> tuple[Finding, ...]:
    """What each check of `check_codec` finds; nothing is raised for a failure.

    Args:
      codec: its name, as in `exchange.codec`, or the function that returns it.
      seed: of the numbers.
    """
    try:
        built = _build(codec)
    except EcctError as error:
        untold = [Finding(name, None, "there is no codec") for name in _CHECKS]
        return Finding("build", False, str(error)), *untold
    size = built.codec.encoded_bytes(1, 16)
    findings = [Finding("build", True, f"{size} B for 16 numbers, error {built.codec.error:.2g}")]
    for name, check in _CHECKS.items():
        try:
            told = check(built, seed)
            findings.append(Finding(name, None if told is None else True, told or "no such form"))
        except CheckFailedError as failure:
            findings.append(Finding(name, False, str(failure)))
        except Exception as error:
            findings.append(Finding(name, False, words_of(error)))
    return tuple(findings)


class _Checked(NamedTuple):
    """A codec, and what a user brought of it."""

    codec: Codec
    rows: RowCodec | None

    def encode(self, values: Array) -> Parts:
        return tuple(np.asarray(part) for part in self.codec.encode(tf.constant(values)))

    def decode(self, parts: Parts, width: int) -> Array:
        found: Array = np.asarray(self.codec.decode(tuple(map(tf.constant, parts)), width))
        return found


def _build(codec: str | Callable[[], RowCodec]) -> _Checked:
    if isinstance(codec, str):
        if is_own_codec(codec):
            return _Checked(build_codec(codec), None)
        rows, module = custom_codec(codec), None
    else:
        module = codec.__module__
        with guarded(f"codec {_name_of(codec)!r}: its function", module=module):
            rows = codec()
        if not isinstance(rows, RowCodec):
            raise ConfigError(
                f"codec {_name_of(codec)!r}: expected its function to return an "
                f"ecct_tf.knowledge.RowCodec, got {type(rows).__name__}"
            )
    return _Checked(codec_of(rows, name=_name_of(codec), module=module), rows)


def _rows(seed: int, *lead: int, width: int) -> Array:
    """Rows of very different size, each with numbers of different size."""
    rng = np.random.default_rng([seed, width, *lead])
    values = rng.standard_normal((*lead, width)) * rng.choice([1e-3, 1.0], (*lead, width))
    values /= np.abs(values).max(axis=-1, keepdims=True)
    found: Array = (values * np.exp2(rng.uniform(-6.0, 14.0, (*lead, 1)))).astype(np.float32)
    return found


def _cases(seed: int) -> Iterator[Array]:
    for width in _WIDTHS:
        for lead in _LEADS:
            yield _rows(seed, *lead, width=width)


def _bytes(checked: _Checked, seed: int) -> str:
    codec = checked.codec
    for values in _cases(seed):
        parts = checked.encode(values)
        got = [(part.shape, part.dtype) for part in parts]
        dtypes = map(np.dtype, codec.dtypes)
        wanted = [*zip(codec.shapes(values.shape), dtypes, strict=True)]
        need(got == wanted, f"expected {wanted} of {values.shape}, got {got}")
        count = codec.encoded_bytes(values.size // values.shape[-1], values.shape[-1])
        written = sum(part.nbytes for part in parts)
        need(written == count, f"expected {count} B of {values.shape}, got {written}")
    return f"as declared, for rows of {', '.join(map(str, _WIDTHS))} numbers"


def _round_trip(checked: _Checked, seed: int) -> str:
    worst = 0.0
    for values in (*_cases(seed), np.zeros((2, 7), np.float32), np.full((2, 16), -3.0, np.float32)):
        width = values.shape[-1]
        decoded = checked.decode(checked.encode(values), width)
        need(
            decoded.shape == values.shape and decoded.dtype == np.float32,
            f"expected {values.shape} float32 back, got {decoded.shape} {decoded.dtype}",
        )
        peak = np.abs(values).max(axis=-1, keepdims=True)
        apart = np.abs(decoded - values)
        need(np.isfinite(decoded).all(), f"expected finite numbers back of {values.shape}")
        worst = max(worst, float((apart / np.maximum(peak, 2.0**-7)).max()))
        most = checked.codec.error * peak + _SMALLEST
        need(
            (apart <= most).all(),
            f"off by {worst:.3g} of the largest of a row of {width}, error says at most "
            f"{checked.codec.error:.3g}",
        )
    return f"off by at most {worst:.2g} of the largest of a row"


def _same_bytes(checked: _Checked, seed: int) -> str:
    """Eagerly, again, and in a graph that does not know how many rows there are."""
    for values in _cases(seed):
        spec = tf.TensorSpec([*(None for _ in values.shape[:-1]), values.shape[-1]], tf.float32)
        traced = tf.function(checked.codec.encode, input_signature=[spec], autograph=False)
        first = checked.encode(values)
        for what, parts in (
            ("again", checked.encode(values)),
            ("in a graph", tuple(part.numpy() for part in traced(tf.constant(values)))),
        ):
            need(_equal(first, parts), f"{what}, {values.shape} encodes to other bytes")
    return "equal rows give equal bytes, in graphs too"


def _alone(checked: _Checked, seed: int) -> str:
    for width in _WIDTHS:
        values = _rows(seed, 2, 3, width=width)
        together = checked.encode(values)
        for place in ((0, 0), (1, 2)):
            alone = checked.encode(values[place])
            need(
                _equal(alone, tuple(part[place] for part in together)),
                f"a row of {width} encodes to other bytes among others",
            )
    return "a row among others has the bytes that it has alone"


def _not_finite(checked: _Checked, seed: int) -> str:
    for strange in (np.nan, np.inf, -np.inf):
        values = _rows(seed, 3, width=16)
        sound = checked.decode(checked.encode(values), 16)
        values[1, 5] = strange
        try:
            decoded = checked.decode(checked.encode(values), 16)
        except Exception:
            # Refused where it was made, which is as good.
            continue
        need(
            np.array_equal(decoded[[0, 2]], sound[[0, 2]]),
            f"{strange} in one row changes others",
        )
        rest = np.abs(np.delete(values[1], 5)).max()
        shown = not np.isfinite(decoded[1]).all()
        # The largest number of a codec is the next best thing for infinity.
        clipped = np.isinf(strange) and np.sign(decoded[1, 5]) == np.sign(strange)
        need(
            shown or (clipped and abs(decoded[1, 5]) >= rest),
            f"{strange} comes back as {decoded[1, 5]:.3g}: expected no finite number, or an error",
        )
    huge = np.array([[3e38, -3e38, 1.0]], np.float32)
    need(np.isfinite(checked.decode(checked.encode(huge), 3)).all(), "3e38 is not finite any more")
    return "NaN and infinity stay what they are, or are refused"


def _damaged(checked: _Checked, seed: int) -> str:
    """Lengths are refused; other bytes give numbers of the form, NaN, or an error of the codec."""
    rng = np.random.default_rng([seed, 9])
    for width in (7, 16):
        parts = checked.encode(_rows(seed, 4, width=width))
        for wrong in (parts[0][..., :-1], np.concatenate([parts[0], parts[0]], axis=-1)):
            try:
                checked.decode((wrong, *parts[1:]), width)
            except EcctError:
                continue
            raise CheckFailedError(f"rows of {wrong.shape[-1]} are read as {width} numbers")
        for content in (0, 255, None):
            strange = tuple(
                np.frombuffer(
                    rng.bytes(part.nbytes) if content is None else bytes([content]) * part.nbytes,
                    part.dtype,
                ).reshape(part.shape)
                for part in parts
            )
            try:
                decoded = checked.decode(strange, width)
            except EcctError:
                continue
            need(
                decoded.shape == (4, width) and decoded.dtype == np.float32,
                f"damaged bytes give {decoded.shape} {decoded.dtype}",
            )
    return "other lengths are refused, other bytes do no harm"


def _arrays(checked: _Checked, seed: int) -> str | None:
    rows = checked.rows
    if rows is None or (rows.encode_array is None and rows.decode_array is None):
        return None
    if rows.encode_array is None or rows.decode_array is None:
        raise CheckFailedError("expected both encode_array and decode_array, or neither")
    for values in (*_cases(seed), np.zeros((3, 7), np.float32)):
        (content,), width = checked.encode(values), values.shape[-1]
        need(
            _equal((rows.encode_array(values.copy()),), (content,)),
            f"encode_array and encode give other bytes of {values.shape}",
        )
        need(
            _equal(
                (rows.decode_array(content.copy(), width),), (checked.decode((content,), width),)
            ),
            f"decode_array and decode give other numbers of {values.shape}",
        )
    return "with and without TensorFlow equal to the last bit"


def _equal(one: Parts, other: Parts) -> bool:
    return all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(one, other, strict=True)
    )


def _name_of(codec: str | Callable[[], RowCodec]) -> str:
    return codec if isinstance(codec, str) else getattr(codec, "__qualname__", repr(codec))


_CHECKS: dict[str, Callable[[_Checked, int], str | None]] = {
    "bytes": _bytes,
    "round trip": _round_trip,
    "same bytes": _same_bytes,
    "rows alone": _alone,
    "not finite": _not_finite,
    "damaged": _damaged,
    "arrays": _arrays,
}
