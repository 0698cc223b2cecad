"""Estimates by hand, refusals with their numbers, and nothing refused that fits."""

import dataclasses
import logging

import pytest

from ecct_tf.budget import (
    DataSize,
    Need,
    check_needs,
    cloud_needs,
    in_words,
    run_needs,
    total_bytes,
)
from ecct_tf.config import FeatureConfig, load_config
from ecct_tf.errors import EcctError, ResourceError

SIZE = DataSize(
    users=6000, items=24_000, older=36_000, recent=12_000, devices=6000, categories=0, attributes=1
)
ML_100K = DataSize(
    users=943, items=1682, older=78_000, recent=20_000, devices=943, categories=19, attributes=2
)


def needs_of(size, *overrides):
    config = load_config(overrides=list(overrides))
    return {need.phase: need for need in run_needs(size, config)}


def test_the_dense_form_by_hand():
    need = needs_of(SIZE, "cloud.similarity.form=dense")["item similarity"]
    assert need.peak_bytes == 33 * 24_001**2
    assert need.seconds == pytest.approx(5e-11 * 24_001**3)
    assert "24,000 items" in need.settings
    assert "cloud.similarity.form=dense" in need.settings


def test_the_factored_form_by_hand():
    need = needs_of(SIZE, "cloud.similarity.factors=100")["item similarity"]
    assert need.peak_bytes == 8 * (5 * 30_001 * 100 + 6 * 100**2) + 24 * 36_000
    assert need.peak_bytes < 0.01 * 33 * 24_001**2
    few = dataclasses.replace(SIZE, users=50)
    # No more directions than users.
    assert (
        needs_of(few)["item similarity"].peak_bytes == 8 * (5 * 24_051 * 50 + 6 * 50**2) + 864_000
    )


def test_devices_by_hand():
    need = needs_of(SIZE, "participation.devices_per_round=3000", "samples.negatives=9")["devices"]
    # Three blocks of 4 decays and 3 last items, two values for one attribute; from the clock four
    # means a block, three pauses and the place in the session, as float16; and 7.
    row = 2 * (3 * 7 + 2 + 3 * 4 + 4) + 7
    assert need.kept_bytes == 120_000 * row + 6000 * 512
    assert need.peak_bytes == 120_000 * row * 2
    assert "120,000 samples" in need.settings
    # Of many times the devices what stays is bounded, but for those of the round.
    many = dataclasses.replace(SIZE, recent=1_200_000_000, devices=600_000)
    need = needs_of(many, "participation.devices_per_round=6000", "samples.max_positions=2000")
    prepared = 12_000_000_000 * row
    assert need["devices"].kept_bytes == 2**30 + prepared // 100 + 600_000 * 512


def test_a_sample_of_the_devices_is_evaluated_in_less():
    whole, part = needs_of(SIZE), needs_of(SIZE, "evaluation.devices=600")
    assert part["evaluation"].kept_bytes == whole["evaluation"].kept_bytes // 10


def test_what_grows_makes_a_run_need_more():
    base = total_bytes(run_needs(ML_100K, load_config()))
    for field in ("users", "items", "older", "recent", "devices", "categories"):
        grown = dataclasses.replace(ML_100K, **{field: 1000 * getattr(ML_100K, field)})
        assert total_bytes(run_needs(grown, load_config())) > base, field
    for override in ("samples.negatives=99", "cloud.next_item.batch_size=65536"):
        assert total_bytes(run_needs(ML_100K, load_config(overrides=[override]))) > base, override


def test_the_most_is_what_was_kept_before_and_what_is_at_work():
    needs = [
        Need("first", 100, 1000, 0.0, ""),
        Need("second", 200, 0, 0.0, ""),
        Need("third", 0, 850, 0.0, ""),
    ]
    assert total_bytes(needs) - total_bytes([]) == 100 + 200 + 850


def test_a_run_that_does_not_fit_is_refused_with_the_numbers():
    needs = run_needs(SIZE, load_config(overrides=["cloud.similarity.form=dense"]))
    with pytest.raises(ResourceError) as caught:
        check_needs(needs, what="this run", available=8 * 10**9)
    message = str(caught.value)
    assert isinstance(caught.value, EcctError)
    assert "this run would need about 19.9 GB of memory, 8.0 GB are available" in message
    assert "item similarity 19.0 GB (24,000 items" in message
    assert "cloud.similarity.form=dense (factored needs less)" in message
    factored = run_needs(SIZE, load_config())
    assert check_needs(factored, what="this run", available=8 * 10**9) < 4 * 10**9


def test_where_memory_is_unknown_nothing_is_refused(monkeypatch):
    monkeypatch.setattr("ecct_tf.budget.available_bytes", lambda: None)
    needs = [Need("huge", 10**15, 0, 0.0, "")]
    assert check_needs(needs, what="this run") > 10**15


def test_what_takes_long_is_announced(caplog):
    caplog.set_level(logging.WARNING, logger="ecct_tf")
    needs = [Need("quick", 0, 0, 5.0, "a"), Need("slow", 0, 0, 3600.0, "cloud.x=1")]
    check_needs(needs, what="this run", available=10**12)
    assert "about 60 minutes before its first round" in caplog.text
    assert "slow (cloud.x=1)" in caplog.text
    caplog.clear()
    check_needs(needs[:1], what="this run", available=10**12)
    assert not caplog.text


@pytest.mark.parametrize(
    ("method", "phases"),
    [
        ("popularity", {"evaluation"}),
        ("ease", {"evaluation", "item similarity"}),
        ("fedavg", {"evaluation", "devices"}),
        ("cloud-only", {"evaluation", "item similarity", "next item", "inputs of the cloud"}),
    ],
)
def test_a_method_needs_what_it_computes(method, phases):
    assert set(needs_of(ML_100K, f"method={method}", "baselines=false")) == phases


def test_a_job_needs_the_cloud_alone():
    config = load_config().cloud
    needs = cloud_needs(ML_100K, config, features=FeatureConfig(clock=False))
    assert [need.phase for need in needs] == ["item similarity", "next item", "inputs of the cloud"]
    assert in_words(total_bytes(needs)) == "1.0 GB"
