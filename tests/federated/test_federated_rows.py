"""Devices that get rows: `h_c` and `z_c` of items that the cloud chose, nothing of the others."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import RuntimeConfig, TrainingConfig
from ecct_tf.edge import EdgeInputs, ItemTensors, cloud_knowledge
from ecct_tf.errors import CodecError
from ecct_tf.federated import DeviceData, build_ecct_process, stack_devices
from ecct_tf.knowledge import CloudRows, Downlink

ROWS = 12


def _rows(items, vector, chosen):
    """What a product says of `chosen`, as rows."""
    embedding, logit = cloud_knowledge(
        items, tf.repeat(vector[None], len(chosen), axis=0), tf.constant(chosen, tf.int32)
    )
    return CloudRows(np.asarray(chosen, np.int32), embedding.numpy(), logit.numpy())


def _work(cohorts, tier, count):
    work = cohorts[tier].work
    training = TrainingConfig(
        loss="bce",
        batch_size=64,
        learning_rate=0.1,
        private_learning_rate=0.02,
        distillation_weight=0.3,
    )
    exchange = dataclasses.replace(work.exchange, num_rows=count, codec="float32")
    return work.changed(training=training, exchange=exchange, sharing="none")


def _call(work, items, device, weights, downlink):
    alone = DeviceData._make(part[0] for part in stack_devices([device], batch_size=64))
    return work(
        shared=tf.zeros([0]),
        noise_seed=tf.constant(0),
        items=ItemTensors(*map(tf.constant, items)),
        data=DeviceData(*map(tf.constant, alone)),
        private=tf.constant(weights),
        downlink=downlink,
        stacked=False,
    )


@pytest.fixture
def vector(items):
    return np.random.default_rng(2).normal(size=items.cloud.shape[1]).astype(np.float32)


def test_rows_of_every_item_are_worth_a_user_embedding(cohorts, items, vector):
    every = np.arange(1, len(items.bias))
    work, device = _work(cohorts, "mlp", len(every)), cohorts["mlp"].devices.devices[0]
    weights = work.model.layout.initial(5)
    queries = tf.constant([[3, 1, 7, 2]])
    rows = tf.nest.map_structure(lambda part: tf.constant(part[None]), _rows(items, vector, every))
    by_rows = _call(
        work, items, device, weights, work.exchange.downlink(
            work.exchange.encode_known(rows), queries=queries
        ),
    )  # fmt: skip
    product = work.changed(exchange=dataclasses.replace(work.exchange, num_rows=0))
    expected = _call(product, items, device, weights, Downlink((vector[None],), queries))
    for one, other in zip(tf.nest.flatten(by_rows), tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(by_rows.private.numpy() - weights).max() > 1e-3


def test_an_item_without_a_row_is_neither_read_nor_distilled(cohorts, items, vector):
    work, device = _work(cohorts, "mlp", ROWS), cohorts["mlp"].devices.devices[0]
    chosen = np.unique(device.candidates)[::2][: ROWS - 1]
    told = _rows(items, vector, [*chosen, *[0] * (ROWS - len(chosen))])
    weights = work.model.layout.initial(5) + np.float32(0.05)
    known = np.isin(device.candidates, chosen).astype(np.float32)
    assert 0 < known.mean() < 1
    place = {item: number for number, item in enumerate(chosen.tolist())}
    at = np.array([place.get(item, 0) for item in device.candidates.tolist()])
    teacher = told.logits[at] * known
    standardised = np.clip((teacher - items.logit_mean) * items.logit_scale, -10, 10) * known
    length = work.features.history_length
    in_use = np.arange(length) >= length - device.slot_counts.astype(int)[:, None]
    inputs = EdgeInputs(
        interactions=tf.constant(device.features.astype(np.float32)),
        slots=tf.constant(device.slots.astype(np.float32)),
        slot_mask=tf.constant(in_use[..., None].astype(np.float32)),
        profile=tf.constant(device.profile[device.owner.astype(int)]),
        cloud_embedding=tf.constant(told.embeddings[at] * known[:, None]),
        cloud_logit=tf.constant(standardised.astype(np.float32)),
    )
    flat = tf.Variable(weights)
    entropy, temperature = tf.nn.sigmoid_cross_entropy_with_logits, work.training.temperature
    with tf.GradientTape() as tape:
        logit = work.model.forward(flat, inputs).logit
        soft = tf.sigmoid(teacher / temperature)
        taught = known * entropy(labels=soft, logits=logit / temperature)
        own = entropy(labels=device.labels.astype(np.float32), logits=logit)
        loss = tf.reduce_mean(own + 0.3 * temperature**2 * taught)
    rows = tf.nest.map_structure(lambda part: tf.constant(part[None]), told)
    encoded = work.exchange.encode_known(rows)
    downlink = work.exchange.downlink(encoded, queries=tf.constant([[3, 1, 7, 2]]))
    result = _call(work, items, device, weights, downlink)
    expected = weights - 0.02 * tape.gradient(loss, flat).numpy()
    np.testing.assert_allclose(result.private, expected, atol=1e-6)


class RowCloud:
    """Rows of a product for a few items of each user, and no learning."""

    def __init__(self, items, *, users, codec_width, queries):
        draw = np.random.default_rng(4)
        self.items, self.queries_, self.width = items, queries, codec_width
        self.vectors = draw.normal(size=(users, codec_width)).astype(np.float32)

    def downlinks(self, users, *, round_number):
        parts = []
        for user in users.tolist():
            rng = np.random.default_rng([user, round_number])
            chosen = np.sort(1 + rng.choice(len(self.items.bias) - 1, ROWS, replace=False))
            parts.append(_rows(self.items, self.vectors[user], chosen))
        return CloudRows(*(np.stack(part) for part in zip(*parts, strict=True)))

    def queries(self, users, *, round_number):
        del round_number
        return np.tile(np.arange(1, 1 + self.queries_, dtype=np.int32), (len(users), 1))

    def update(self, knowledge, **_how):
        del knowledge
        return {}


@pytest.fixture(scope="module")
def make_row_cloud(items, dataset, config):
    return lambda: RowCloud(
        ItemTensors(*map(tf.constant, items)),
        users=dataset.num_users,
        codec_width=items.cloud.shape[1],
        queries=config.exchange.queries,
    )


@pytest.fixture(scope="module")
def row_process(experiment, dataset, cohorts, config):
    def compose(**runtime):
        work = cohorts["linear"].work
        exchange = dataclasses.replace(work.exchange, num_rows=ROWS, codec="int8")
        return build_ecct_process(
            [(work.changed(exchange=exchange), cohorts["linear"].devices)],
            table=experiment.table,
            table_bytes=1000,
            num_users=dataset.num_users,
            stage_1_rounds=0,
            server=config.server,
            runtime=RuntimeConfig(**runtime),
        )

    return compose


def _round(process, cloud, *, devices):
    some = np.arange(devices)
    return process.next(process.initialize(1), cloud, some, some)


def test_client_values_of_one_device_and_of_several_run_the_same_round(
    row_process, make_row_cloud, assert_states_equal
):
    ends = []
    for size in (3, 0):
        process = row_process(engine="local", shard_size=size)
        state, report = _round(process, make_row_cloud(), devices=4)
        ends.append(state)
        # An id, h_c as int8 with a scale, for each row; z_c as int8 with one scale; the queries.
        width = process.cohorts[0].work.exchange.cloud_dim
        assert report.downlink_bytes == 4 * (ROWS * (4 + width + 2) + (ROWS + 2) + 4 * 4)
    assert_states_equal(*ends, atol=1e-6)


@pytest.mark.slow
def test_tff_runs_the_same_round(runtime, row_process, make_row_cloud, assert_states_equal):
    del runtime
    ends = [
        _round(row_process(engine=engine, shard_size=3), make_row_cloud(), devices=4)[0]
        for engine in ("local", "tff")
    ]
    assert_states_equal(*ends, atol=1e-6)


def test_downlinks_of_another_form_are_refused(row_process, make_row_cloud):
    process = row_process(engine="local")
    everybody = np.arange(process.num_devices)

    def changed(change):
        cloud = make_row_cloud()
        right = cloud.downlinks
        cloud.downlinks = lambda users, **when: change(right(users, **when))
        return cloud

    for change, told in (
        (lambda rows: rows.logits, "expected CloudRows of 12 items a user.*got ndarray"),
        (lambda rows: rows._replace(logits=rows.logits[:, 1:]), r"rows' logits of \(\d+, 12\)"),
        (
            lambda rows: rows._replace(items=rows.items * 1.0),
            "rows' items .* int32, got .* float64",
        ),
    ):
        with pytest.raises(CodecError, match=told):
            process.next(process.initialize(1), changed(change), everybody, everybody)
