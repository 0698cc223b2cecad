import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import CODECS
from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.knowledge import CloudRows, Downlink, ExchangeSpec, Uplink
from ecct_tf.wire import UplinkForm, placed_bytes

SPEC = ExchangeSpec(cloud_dim=5, embedding_dim=3, num_queries=2, codec="float32")
USERS = np.array([4, 0, 9], np.int32)


def nbytes(payload):
    return sum(np.asarray(part).nbytes for part in tf.nest.flatten(payload))


def uplink(spec, users=USERS, *, scale=1.0, seed=3):
    rng = np.random.default_rng(0)
    shape = (len(USERS), spec.num_queries, spec.embedding_dim)
    rows = [USERS.tolist().index(user) for user in users]
    return spec.make_uplink(
        tf.constant(users),
        tf.constant(rng.integers(1, 9, shape[:2]).astype(np.int32)[rows]),
        tf.constant((scale * rng.standard_normal(shape)).astype(np.float32)[rows]),
        tf.constant((scale * rng.standard_normal(shape[:2])).astype(np.float32)[rows]),
        noise_seed=tf.constant([seed, 0], tf.int64),
    )


@pytest.mark.parametrize("with_logits", [True, False])
@pytest.mark.parametrize("codec", CODECS)
def test_declared_bytes_are_the_bytes_of_real_payloads(codec, with_logits):
    spec = dataclasses.replace(SPEC, codec=codec, with_logits=with_logits)
    sent = uplink(spec)
    spec.check_uplink(sent)
    assert len(USERS) * spec.uplink_bytes == nbytes(sent)
    received = Downlink(
        user_embeddings=spec.coder.encode(tf.ones([1, spec.cloud_dim])),
        queries=tf.ones([1, spec.num_queries], tf.int32),
    )
    assert spec.downlink_bytes == nbytes(received)


def test_bytes_by_hand():
    # int8: down 5 + 2 + 4*2; up 4 + 4*2 + 2*(3 + 2) + (2 + 2).
    spec = dataclasses.replace(SPEC, codec="int8")
    assert (spec.downlink_bytes, spec.uplink_bytes) == (15, 26)
    assert dataclasses.replace(spec, with_logits=False).uplink_bytes == 22
    # By place: up 4 + 4 + 2*(3 + 2) + (2 + 2), at the length of the record that travels.
    for codec in CODECS:
        form = UplinkForm(queries=2, embedding_dim=3, codec=codec, with_logits=True)
        placed = dataclasses.replace(spec, codec=codec, answer_by="place")
        assert placed.uplink_bytes == placed_bytes(form)
    assert placed.uplink_bytes == 22


@pytest.mark.parametrize("codec", CODECS)
def test_logits_alone_cross_without_embeddings(codec):
    spec = dataclasses.replace(SPEC, codec=codec, with_embeddings=False)
    sent = uplink(spec)
    spec.check_uplink(sent)
    assert sent.embeddings == ()
    assert len(USERS) * spec.uplink_bytes == nbytes(sent)
    whole = uplink(dataclasses.replace(spec, with_embeddings=True))
    np.testing.assert_array_equal(sent.logits[0], whole.logits[0])
    with pytest.raises(CodecError, match="logits alone must not carry embeddings"):
        spec.check_uplink(whole)


def test_rows_of_logits_alone_have_silent_embeddings():
    spec = dataclasses.replace(SPEC, num_rows=4, with_embeddings=False)
    known = CloudRows(
        tf.ones([3, 4], tf.int32), tf.ones([3, 4, spec.cloud_dim]), 2.0 * tf.ones([3, 4])
    )
    encoded = spec.encode_known(known)
    assert spec.known_bytes * 3 == nbytes(encoded)
    read = spec.as_received(known)
    np.testing.assert_array_equal(read.embeddings, np.zeros((3, 4, spec.cloud_dim)))
    np.testing.assert_array_equal(read.logits, known.logits)


def test_stage_1_has_no_logits():
    assert uplink(dataclasses.replace(SPEC, with_logits=False)).logits == ()
    assert len(uplink(SPEC).logits) == 1


def test_small_values_are_sent_as_they_are():
    rng = np.random.default_rng(0)
    rng.integers(1, 9, (3, 2))
    sent = uplink(SPEC)
    np.testing.assert_array_equal(sent.users, USERS)
    np.testing.assert_allclose(
        sent.embeddings[0], rng.standard_normal((3, 2, 3)).astype(np.float32), rtol=1e-6
    )
    np.testing.assert_array_equal(sent.logits[0], rng.standard_normal((3, 2)).astype(np.float32))


def test_clipping():
    spec = dataclasses.replace(SPEC, clip_norm=2.0, clip_logit=1.5)
    small, sent = uplink(SPEC), uplink(spec, scale=100.0)
    norms = np.linalg.norm(sent.embeddings[0], axis=-1)
    np.testing.assert_allclose(norms, 2.0, rtol=1e-5)
    direction = small.embeddings[0] / np.linalg.norm(small.embeddings[0], axis=-1, keepdims=True)
    np.testing.assert_allclose(sent.embeddings[0] / 2.0, direction, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(sent.logits[0], 1.5 * np.sign(small.logits[0]))


def test_a_zero_embedding_survives_clipping():
    sent = uplink(SPEC, scale=0.0)
    assert not np.asarray(sent.embeddings[0]).any()


NOISY = dataclasses.replace(SPEC, noise_multiplier=0.5)


def test_noise_is_reproducible_and_independent_of_the_shard():
    together = uplink(NOISY)
    again = uplink(NOISY)
    for name in ("embeddings", "logits"):
        np.testing.assert_array_equal(getattr(together, name)[0], getattr(again, name)[0])
    for row, user in enumerate(USERS):
        alone = uplink(NOISY, np.array([user], np.int32))
        np.testing.assert_array_equal(alone.embeddings[0][0], together.embeddings[0][row])
        np.testing.assert_array_equal(alone.logits[0][0], together.logits[0][row])


def test_noise_differs_by_user_and_by_seed():
    quiet = uplink(SPEC)
    noise = np.asarray(uplink(NOISY).embeddings[0] - quiet.embeddings[0])
    other = np.asarray(uplink(NOISY, seed=4).embeddings[0] - quiet.embeddings[0])
    assert np.abs(noise[0] - noise[1]).min() > 1e-4
    assert np.abs(noise - other).min() > 1e-4


def test_noise_without_its_seed_is_refused():
    with pytest.raises(ConfigError, match="seed of the noise"):
        NOISY.make_uplink(
            tf.constant([1]), tf.zeros([1, 2], tf.int32), tf.zeros([1, 2, 3]), tf.zeros([1, 2])
        )


def test_noise_has_the_declared_scale():
    spec = ExchangeSpec(
        cloud_dim=1,
        embedding_dim=40,
        num_queries=100,
        codec="float32",
        clip_norm=4.0,
        clip_logit=10.0,
        noise_multiplier=0.5,
    )
    sent = spec.make_uplink(
        tf.constant([1]),
        tf.zeros([1, 100], tf.int32),
        tf.zeros([1, 100, 40]),
        tf.zeros([1, 100]),
        noise_seed=tf.constant([0, 0], tf.int64),
    )
    assert np.std(sent.embeddings[0]) == pytest.approx(2.0, rel=0.05)
    assert np.std(sent.logits[0]) == pytest.approx(5.0, rel=0.2)


GOOD = Uplink(
    users=np.zeros(3, np.int32),
    items=np.zeros((3, 2), np.int32),
    embeddings=(np.zeros((3, 2, 3), np.int8), np.ones((3, 2, 1), np.float16)),
    logits=(np.zeros((3, 2), np.int8), np.ones((3, 1), np.float16)),
)
INT8 = dataclasses.replace(SPEC, codec="int8")


def test_a_good_uplink_passes():
    INT8.check_uplink(GOOD)
    dataclasses.replace(INT8, with_logits=False).check_uplink(GOOD._replace(logits=()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"users": np.zeros(3, np.int64)}, r"users: expected \(3,\) int32, got \(3,\) int64"),
        ({"items": np.zeros((3, 4), np.int32)}, r"items: expected \(3, 2\) int32, got \(3, 4\)"),
        ({"items": np.zeros((2, 2), np.int32)}, r"items: expected \(3, 2\)"),
        (
            {"embeddings": (np.zeros((3, 2, 9), np.int8), GOOD.embeddings[1])},
            r"embeddings\[0\]: expected \(3, 2, 3\) int8, got \(3, 2, 9\)",
        ),
        (
            {"embeddings": (GOOD.embeddings[0], np.ones((3, 2, 1), np.float32))},
            r"embeddings\[1\]: expected \(3, 2, 1\) float16, got \(3, 2, 1\) float32",
        ),
        (
            {"embeddings": (np.zeros((3, 2, 3), np.float16),)},
            "embeddings: expected 2 tensors of codec int8, got 1",
        ),
        ({"logits": (GOOD.logits[0][:, :1], GOOD.logits[1])}, r"logits\[0\]: expected \(3, 2\)"),
        ({"logits": ()}, "logits: expected 2 tensors of codec int8, got 0"),
    ],
)
def test_check_uplink_refuses(change, message):
    with pytest.raises(CodecError, match=message):
        INT8.check_uplink(GOOD._replace(**change))


def test_check_uplink_refuses_logits_in_stage_1():
    with pytest.raises(CodecError, match="stage 1 must not carry logits"):
        dataclasses.replace(INT8, with_logits=False).check_uplink(GOOD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cloud_dim": 0}, "exchange.cloud_dim must be at least 1, got 0"),
        ({"num_queries": 0}, "exchange.num_queries"),
        ({"clip_norm": 0.0}, "exchange.clip_norm must be positive"),
        ({"clip_logit": -1.0}, "exchange.clip_logit"),
        ({"noise_multiplier": -0.1}, "exchange.noise_multiplier must not be negative"),
        ({"codec": "zip"}, "expected a codec"),
    ],
)
def test_spec_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SPEC, **change)


def test_nothing_but_the_declared_fields_crosses():
    assert Downlink._fields == ("user_embeddings", "queries", "rows")
    assert CloudRows._fields == ("items", "embeddings", "logits")
    assert Uplink._fields == ("users", "items", "embeddings", "logits")
