"""An exchange of which only sums over devices reach the server: by both engines, and alone."""

import dataclasses
import functools

import numpy as np
import pytest

from ecct_tf.config import ItemSumConfig, RuntimeConfig, ServerConfig
from ecct_tf.errors import CodecError, ConfigError
from ecct_tf.federated import build_ecct_process, chosen_engine, crossing
from ecct_tf.knowledge.item_means import ItemMeans
from ecct_tf.knowledge.item_sums import ItemSumSpec
from ecct_tf.simulation.edge_state import edge_arrays, edge_state

TFF = chosen_engine() == "tff"
ENGINES = ("tff", "local") if TFF else ("local",)
SUMS = ItemSumConfig(embeddings=True, bits=16)
NOISY = dataclasses.replace(SUMS, noise_multiplier=0.5)
DEVICES = 5


@pytest.fixture(scope="module")
def make_process(cohorts, experiment, dataset):
    @functools.cache
    def make(engine, *, rate=0.1, shard_size=3, config=SUMS):
        work = cohorts["linear"].work
        training = dataclasses.replace(
            work.training, learning_rate=rate, private_learning_rate=rate
        )
        sums = ItemSumSpec(experiment.table.num_items, work.exchange.embedding_dim, config)
        work = dataclasses.replace(work.changed(training=training, sharing="none"), sums=sums)
        return build_ecct_process(
            [(work, cohorts["linear"].devices)],
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=1,
            server=ServerConfig(optimizer="average", learning_rate=1.0, momentum=0.5),
            runtime=RuntimeConfig(engine=engine, shard_size=shard_size),
        )

    return make


@pytest.fixture(scope="module")
def scoring_cloud(experiment, dataset, config, stub_cloud):
    """A cloud that says 1 of every item, and keeps what it was given."""

    class Cloud(stub_cloud):
        def __init__(self):
            super().__init__(
                experiment.table,
                num_users=dataset.num_users,
                num_queries=config.exchange.queries,
            )
            self.given = []

        def scores(self, users, candidates, *, knowledge, round_number):
            del knowledge, round_number
            return np.ones((len(users), candidates.shape[1]), np.float32)

        def update(self, knowledge, *, round_number, use_logits):
            self.given.append(knowledge)
            return super().update(knowledge, round_number=round_number, use_logits=use_logits)

    return Cloud


@pytest.fixture(scope="module")
def rounds(scoring_cloud, runtime):
    """States, reports and the cloud of some rounds of five devices."""
    del runtime

    def run(process, number=2, *, state=None, who=DEVICES):
        cloud, reports = scoring_cloud(), []
        state = process.initialize(1) if state is None else state
        for _ in range(number):
            state, report = process.next(state, cloud, np.arange(who), np.arange(who))
            reports.append(report)
        return state, reports, cloud

    return run


@pytest.fixture(scope="module")
def two_rounds(make_process, rounds):
    return {engine: rounds(make_process(engine)) for engine in ENGINES}


@pytest.mark.skipif(not TFF, reason="TFF is not installed")
def test_both_engines_have_the_same_rounds(two_rounds, assert_states_equal):
    (state, _, _), (other, _, _) = two_rounds["tff"], two_rounds["local"]
    assert_states_equal(state, other, atol=1e-3)
    for name, part in state.items.to_arrays().items():
        np.testing.assert_allclose(
            part, other.items.to_arrays()[name], rtol=1e-2, atol=1e-3, err_msg=name
        )


@pytest.mark.skipif(not TFF, reason="TFF is not installed")
def test_sums_of_the_same_weights_are_the_same_bits_by_engine_and_shard(make_process, rounds):
    forms = [("tff", 3), ("local", 2), ("local", 0)]
    totals = []
    for engine, size in forms:
        process = make_process(engine, rate=1e-30, shard_size=size, config=NOISY)
        _, (report,), _ = rounds(process, 1)
        totals.append(report.sums[0].sums.total)
    assert totals[0].any()
    for total in totals[1:]:
        np.testing.assert_array_equal(totals[0], total)


@pytest.mark.skipif(not TFF, reason="TFF is not installed")
def test_nothing_of_an_answer_leaves_a_client_but_through_the_secure_sum(make_process):
    process = make_process("tff")
    spec = process.cohorts[0].work.sums
    computation = process.rounds[0, 2]
    assert f"int64[{spec.size}]@SERVER" in str(computation.type_signature.result)
    body = computation.to_building_block().compact_representation()
    assert body.count("federated_secure_sum_bitwidth") == 1
    assert not any(other in body for other in ("federated_aggregate", "federated_collect"))


def test_the_cloud_learns_from_rows_that_hold_sums_alone(two_rounds):
    """Two users asked about the same item have the same of it, whoever said what."""
    _, reports, cloud = two_rounds["local"]
    store = cloud.given[-1]
    asked = np.flatnonzero(store.rounds >= 0)
    assert len(asked) == DEVICES
    first, rows = {}, 0
    for user in asked:
        for item, embedding, logit in zip(
            store.items[user], store.embeddings[user], store.logits[user], strict=True
        ):
            if item in first:
                rows += 1
                np.testing.assert_array_equal(embedding, first[item][0])
                np.testing.assert_allclose(logit, first[item][1], atol=1e-6)
            first[item] = embedding, logit
    assert rows
    assert [len(report.sums) for report in reports] == [1, 1]
    assert all(len(report.uplinks) == 0 for report in reports)


def test_one_device_moves_the_sums_within_its_bound_and_nothing_else(make_process, rounds):
    process = make_process("local", rate=1e-30, shard_size=2, config=NOISY)
    begun = dataclasses.replace(process.initialize(1), round_number=1)
    (cohort,) = begun.cohorts
    private = np.array(cohort.private)
    private[2] *= -40.0
    moved = dataclasses.replace(begun, cohorts=(dataclasses.replace(cohort, private=private),))
    (_, (one,), cloud), (_, (two,), other) = (
        rounds(process, 1, state=state) for state in (begun, moved)
    )
    sums, changed = one.sums[0].sums, two.sums[0].sums
    (row,) = np.flatnonzero(sums.users == process.cohorts[0].devices.devices[2].users[0])
    assert sums.items.tolist() == changed.items.tolist()
    for payload in sums.spec.payloads:
        change = sums.spec.decoded(changed.total - sums.total, payload)
        assert 0 < np.linalg.norm(change) <= 2 * payload.clip
        assert not np.delete(change, sums.items[row], axis=0).any()
    # All else that the cloud gets is the same: who was asked about what.
    np.testing.assert_array_equal(cloud.given[0].items, other.given[0].items)
    np.testing.assert_array_equal(cloud.given[0].rounds, other.given[0].rounds)


def test_a_cloud_without_scores_is_refused(make_process, make_cloud):
    process = make_process("local")
    state = process.initialize(1)
    everybody = np.arange(DEVICES)
    state, _ = process.next(state, make_cloud(), everybody, everybody)
    with pytest.raises(ConfigError, match="a cloud with `scores`"):
        process.next(state, make_cloud(), everybody, everybody)


def test_a_sum_of_another_form_is_refused(make_process):
    work = make_process("local").cohorts[0].work
    with pytest.raises(CodecError, match="expected 164 numbers int64"):
        crossing.received_sums(work, np.zeros(3), items=None, shards=(), downlinks=(), salt=0)


def test_bytes_are_of_a_masked_vector_of_each_device_that_answers(two_rounds, make_process):
    _, reports, _ = two_rounds["local"]
    process = make_process("local")
    work = process.cohorts[0].work
    expected = [
        DEVICES * work.in_stage(stage).sums.encoded_bytes(process.num_devices) for stage in (1, 2)
    ]
    assert [report.uplink_bytes for report in reports] == expected


def test_a_state_that_was_stored_goes_on_to_the_same(make_process, rounds, two_rounds):
    process = make_process("local")
    begun, _, _ = rounds(process, 1)
    arrays = edge_arrays(begun, process.cohorts)
    again, _, _ = rounds(process, 1, state=edge_state(arrays, process.cohorts))
    expected = edge_arrays(two_rounds["local"][0], process.cohorts)
    found = edge_arrays(again, process.cohorts)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert isinstance(again.items, ItemMeans)


def test_a_round_that_nobody_answers_keeps_what_was_known(make_process, two_rounds, scoring_cloud):
    state = two_rounds["local"][0]
    nobody = np.zeros(0, np.int64)
    after, report = make_process("local").next(state, scoring_cloud(), np.arange(2), nobody)
    assert report.sums == []
    np.testing.assert_allclose(
        after.items.told("logits")[0], state.items.told("logits")[0], atol=0.5
    )
