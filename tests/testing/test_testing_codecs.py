"""The kit for codecs passes the library's own and finds planted faults."""

import dataclasses
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.cli import main
from ecct_tf.config import CODECS
from ecct_tf.knowledge import RowCodec
from ecct_tf.testing import ConformanceError, check_codec, codec_findings

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_codecs"


@pytest.mark.parametrize(
    "name", [*CODECS, "own_codecs.four_bits:int4", "own_codecs.four_bits:int4_groups"]
)
def test_the_librarys_codecs_and_the_example_pass(name, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    findings = check_codec(name)
    assert len(findings) == 8
    # The library's own have no NumPy form to compare.
    none = [finding.check for finding in findings if finding.passed is None]
    assert none == (["arrays"] if name in CODECS else [])


def whole():
    """float16 as bytes."""

    def encode(values):
        halves = tf.cast(tf.clip_by_value(values, -65504.0, 65504.0), tf.float16)
        return tf.reshape(
            tf.bitcast(halves, tf.uint8),
            tf.concat([tf.shape(values)[:-1], [2 * values.shape[-1]]], axis=0),
        )

    def decode(content, width):
        halves = tf.reshape(content, tf.concat([tf.shape(content)[:-1], [width, 2]], axis=0))
        return tf.cast(tf.bitcast(halves, tf.float16), tf.float32)

    return RowCodec(lambda width: 2 * width, encode, decode, error=2.0**-11)


def _with(**fields):
    return lambda: dataclasses.replace(whole(), **fields)


def _hiding(values):
    return whole().encode(tf.where(tf.math.is_finite(values), values, 0.0))


def _drawing(values):
    return whole().encode(values * (1.0 + tf.random.uniform(tf.shape(values), maxval=2e-4)))


def _together(values):
    return whole().encode(values - 1e-3 * tf.reduce_mean(values))


def _other_array(values):
    return np.asarray(_hiding(tf.constant(values))) ^ np.uint8(1)


FAULTS = {
    "build": lambda: None,
    "bytes": _with(row_bytes=lambda width: 2 * width + 1),
    "round trip": _with(error=1e-5),
    "same bytes": _with(encode=_drawing, error=1e-2),
    "rows alone": _with(encode=_together, error=1e-1),
    "not finite": _with(encode=_hiding),
    "arrays": _with(encode_array=_other_array, decode_array=lambda content, _: content),
}


@pytest.mark.parametrize("check", FAULTS)
def test_a_planted_fault_is_found(check):
    failed = [finding.check for finding in codec_findings(FAULTS[check]) if finding.passed is False]
    assert check in failed


def test_a_sound_codec_of_a_test_passes():
    assert check_codec(whole)


def test_the_error_names_every_failure():
    with pytest.raises(ConformanceError, match=r"failed 1 of 8 checks: round trip: off by 2"):
        check_codec(FAULTS["round trip"])


def test_the_command_says_what_failed(monkeypatch, capsys):
    module = types.ModuleType("my_codecs")
    module.hiding = FAULTS["not finite"]
    monkeypatch.setitem(sys.modules, "my_codecs", module)
    monkeypatch.setattr(sys, "argv", ["ecct", "check", "codec", "my_codecs:hiding"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "1 of 8 checks failed" in capsys.readouterr().err
