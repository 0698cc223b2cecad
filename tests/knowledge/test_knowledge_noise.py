"""Simulated noise: the same for the same run, and nothing told by anything but its seed."""

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.knowledge.noise import draw_noise, noise_seed, noise_stream

QUERIES, WIDTH = 40, 16
GIVEN = {"seed": 0, "round_number": 3, "stage": 2, "user": 7}


def drawn(*, seed, round_number, stage, user):
    """`[Q, d_e + 1]` of one user."""
    key = noise_seed(noise_stream(seed), round_number=round_number, with_logits=stage == 2)
    found = draw_noise(tf.constant([1, user, 2]), key, queries=QUERIES, width=WIDTH)
    return found.numpy()[1]


def correlation(one, other):
    return abs(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"round_number": 4}, {"stage": 1}, {"user": 8}, {"seed": 2**62}]
)
def test_another_run_round_stage_or_user_tells_nothing(other):
    assert correlation(drawn(**GIVEN), drawn(**{**GIVEN, **other})) < 0.15


def test_round_and_user_alone_do_not_give_the_noise_away():
    guess = tf.random.stateless_normal([QUERIES, WIDTH + 1], [3, 7]).numpy()
    assert correlation(drawn(**GIVEN), guess) < 0.15


def test_the_noise_of_a_logit_tells_nothing_of_its_embedding():
    noise = drawn(**GIVEN)
    for column in range(WIDTH):
        assert correlation(noise[:, column], noise[:, -1]) < 0.6  # of 40 numbers
    assert np.std(noise) == pytest.approx(1.0, rel=0.1)


def test_whoever_knows_the_seed_can_subtract_it():
    # What the documentation says simulated noise is not: a protection against the run's owner.
    np.testing.assert_array_equal(drawn(**GIVEN), drawn(**GIVEN))


def test_rounds_can_be_tensors_as_in_a_round():
    seeds = [
        noise_seed(noise_stream(5), round_number=number, with_logits=True).numpy()
        for number in (9, tf.constant(9))
    ]
    np.testing.assert_array_equal(*seeds)
    assert seeds[0].dtype == np.int64
