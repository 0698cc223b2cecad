"""Rounds through codecs of a user's own: equal by both engines, counted as they write."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ecct_tf.federated import chosen_engine

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_codecs"
CODEC = "own_codecs.four_bits:int4"
GROUPS = "own_codecs.four_bits:int4_groups"


@pytest.fixture
def through_four_bits(cohorts, compose, run_rounds, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    exchange = dataclasses.replace(cohorts["linear"].work.exchange, codec=CODEC, answer_by="item")

    def run(engine):
        process = compose(("linear",), exchange=exchange, weights_codec=GROUPS, engine=engine)
        return run_rounds(process, 2)

    return run


def test_bytes_are_those_of_the_codec(through_four_bits, cohorts):
    state, (_, report) = through_four_bits("local")
    users, width = len(cohorts["linear"]), cohorts["linear"].work.shared_size
    # Id and four items, four embeddings of three numbers, four logits.
    assert report.uplink_bytes == users * (4 + 16 + 4 * (2 + 2) + (2 + 2))
    # Groups of 64 weights, the last filled up, in both directions.
    assert report.weights_bytes == 2 * users * -(-width // 64) * (2 + 32)
    for _, uplink in report.uplinks:
        assert uplink.embeddings[0].dtype == np.uint8
        assert uplink.embeddings[0].shape == (users, 4, 4)
        assert uplink.logits[0].shape == (users, 4)
    assert np.isfinite(state.knowledge.embeddings[:]).all()


@pytest.mark.parametrize(("codec", "sent"), [(CODEC, True), ("float16", False)])
def test_a_mean_that_crosses_as_other_numbers_than_the_start_is_counted(
    codec, sent, cohorts, started, run_rounds, monkeypatch
):
    monkeypatch.syspath_prepend(EXAMPLES)
    work = dataclasses.replace(cohorts["linear"].work, weights_codec=codec)
    start = np.linspace(-0.1, 0.1, work.model.layout.size, dtype=np.float32)
    start[-1] = 1.0  # a private weight, which the mean lacks
    process = started(work, cohorts["linear"].devices, start)
    _, (report,) = run_rounds(process, 1, answering=np.zeros(0, np.int64))
    assert (report.weights_bytes > 0) == sent


@pytest.mark.skipif(chosen_engine() != "tff", reason="TFF is not installed")
def test_both_engines_send_the_same(through_four_bits):
    (one, reports), (other, others) = (through_four_bits(name) for name in ("local", "tff"))
    np.testing.assert_allclose(
        one.cohorts[0].server.shared, other.cohorts[0].server.shared, rtol=0, atol=1e-6
    )
    for (_, left), (_, right) in zip(reports[0].uplinks, others[0].uplinks, strict=True):
        for part, expected in zip(left.embeddings, right.embeddings, strict=True):
            np.testing.assert_array_equal(
                part[np.argsort(left.users)], expected[np.argsort(right.users)]
            )
