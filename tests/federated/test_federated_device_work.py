"""The work of one device: against a plain gradient, in shards, on edge nodes, without samples."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import TrainingConfig
from ecct_tf.data import device_view, dirichlet_devices
from ecct_tf.edge import EdgeInputs, ItemTensors, architecture, layers, model_of, pair_inputs
from ecct_tf.federated import DeviceData, prepare_devices, stack_devices
from ecct_tf.fixed_order import fixed_order
from ecct_tf.knowledge import Downlink

TIERS = ("linear", "mlp", "attention")
USER_VECTOR = 0.5
BY_USER = ("users", "profile", "history")


@pytest.fixture(scope="module")
def call(items):
    """Runs a work eagerly, on a shard or on one device, all from the same weights."""

    def call(work, data, weights):
        spec, split = work.exchange, work.shared_size
        lead, users = np.shape(data.samples), np.shape(data.users)
        queries = np.tile(np.arange(1, 1 + spec.num_queries, dtype=np.int32), (*users, 1))
        private = np.broadcast_to(weights[split:], (*lead, len(weights) - split))
        return work(
            shared=tf.constant(weights[:split]),
            noise_seed=tf.constant(0),
            items=ItemTensors(*map(tf.constant, items)),
            data=DeviceData(*map(tf.constant, data)),
            private=tf.constant(private),
            downlink=Downlink(
                spec.coder.encode(tf.fill([*users, spec.cloud_dim], USER_VECTOR)),
                tf.constant(queries),
            ),
            stacked=bool(lead),
        )

    return call


def _alone(device, batch_size):
    """One device in the per-device form: whole batches, no device axis."""
    return DeviceData._make(part[0] for part in stack_devices([device], batch_size=batch_size))


def _without_samples(device):
    emptied = {
        name: part[:0]
        for name, part in device._asdict().items()
        if name not in BY_USER and name != "samples"
    }
    return device._replace(**emptied, samples=np.array(0, np.int32))


def _plain_gradient(work, items, device, weights, weighed=1.0):
    """Loss and gradient over all samples of a device, by TensorFlow's own operators."""
    length = work.features.history_length
    candidates = device.candidates
    embedding = USER_VECTOR * items.cloud[candidates]
    teacher = embedding.sum(axis=1) + items.bias[candidates]
    standardised = np.clip((teacher - items.logit_mean) * items.logit_scale, -10, 10)
    in_use = np.arange(length) >= length - device.slot_counts.astype(int)[:, None]
    inputs = EdgeInputs(
        interactions=tf.constant(device.features.astype(np.float32)),
        slots=tf.constant(device.slots.astype(np.float32)),
        slot_mask=tf.constant(in_use[..., None].astype(np.float32)),
        profile=tf.constant(device.profile[device.owner.astype(int)]),
        cloud_embedding=tf.constant(embedding),
        cloud_logit=tf.constant(standardised.astype(np.float32)),
    )
    flat = tf.Variable(weights)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    weight, temperature = work.training.distillation_weight, work.training.temperature
    with tf.GradientTape() as tape:
        logit = work.model.forward(flat, inputs).logit
        soft = tf.sigmoid(teacher / temperature)
        taught = entropy(labels=soft, logits=logit / temperature)
        own = entropy(labels=device.labels.astype(np.float32), logits=logit)
        each = (own + weight * temperature**2 * taught) * weighed
        loss = tf.reduce_sum(each) / (tf.reduce_sum(tf.ones_like(own) * weighed))
    return float(loss), tape.gradient(loss, flat).numpy()


@pytest.mark.parametrize("tier", TIERS)
def test_one_sgd_step_is_the_plain_gradient_step(tier, cohorts, items, call):
    training = TrainingConfig(
        loss="bce",
        batch_size=64,
        learning_rate=0.1,
        private_learning_rate=0.02,
        distillation_weight=0.3,
    )
    work = cohorts[tier].work.changed(training=training)
    device = cohorts[tier].devices.devices[0]
    assert 4 < int(device.samples) < 64
    weights = work.model.layout.initial(5) + np.float32(0.05)
    loss, gradient = _plain_gradient(work, items, device, weights)
    result = call(work, _alone(device, 64), weights)
    split, count = work.shared_size, float(device.samples)
    assert 0 < split < len(weights)
    np.testing.assert_allclose(result.delta / count, -0.1 * gradient[:split], atol=1e-6)
    np.testing.assert_allclose(result.private, weights[split:] - 0.02 * gradient[split:], atol=1e-6)
    assert float(result.weight) == count
    assert float(result.loss) / count == pytest.approx(loss, abs=1e-6)


def test_older_positions_weigh_less_by_their_age(cohorts, config, items, split, dataset, call):
    training = TrainingConfig(loss="bce", batch_size=64, learning_rate=0.1, distillation_weight=0.3)
    work = cohorts["linear"].work.changed(training=training)
    view = max(
        (device_view(dataset, split, user) for user in split.users),
        key=lambda view: len(view.history) - view.num_older,
    )
    samples = dataclasses.replace(config.samples, half_life=2, guard_positions=0)
    (device,) = prepare_devices(
        [[view]],
        items=items,
        block_sizes=work.block_sizes,
        features=config.features,
        samples=samples,
        with_slots=False,
        seed=config.seed,
    ).devices
    weighed = device.weights[:, 0]
    positions = len(weighed) // (1 + samples.negatives)
    assert positions > 2
    # The newest weighs 1, the one with two newer ones half; a position's samples weigh alike.
    expected = [2 / (2 + newer) for newer in range(positions)]
    own = {
        int(item): weight
        for item, weight, label in zip(device.candidates, weighed, device.labels, strict=True)
        if label
    }
    np.testing.assert_allclose(
        [own[item] for item in view.history[: -1 - positions : -1]], expected
    )
    assert sorted(weighed) == pytest.approx(sorted(np.repeat(expected, 1 + samples.negatives)))
    weights = work.model.layout.initial(5) + np.float32(0.05)
    loss, gradient = _plain_gradient(work, items, device, weights, weighed)
    result = call(work, _alone(device, 64), weights)
    moved = result.delta / float(device.samples)
    np.testing.assert_allclose(moved, -0.1 * gradient[: work.shared_size], atol=1e-6)
    assert float(result.loss) / float(device.samples) == pytest.approx(loss, abs=1e-6)
    stacked = call(work, stack_devices([device, device], batch_size=64), weights)
    np.testing.assert_allclose(stacked.private[1], result.private, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_padding_of_a_shard_changes_no_device(optimizer, cohorts, call):
    """A small device beside ever larger ones, with resting steps in between, stays the same."""
    cohort = cohorts["mlp"]
    training = TrainingConfig(loss="bce", batch_size=3, epochs=2, optimizer=optimizer)
    work = cohort.work.changed(training=training, sharing="none")
    devices = sorted(cohort.devices.devices, key=lambda device: int(device.samples))
    small, large = devices[0], devices[-1]
    assert int(small.samples) < int(large.samples)
    weights = work.model.layout.initial(5)
    alone = call(work, _alone(small, 3), weights)
    for others in ([], [devices[1]], [large, devices[1]]):
        shard = stack_devices([small, *others], batch_size=3)
        stacked = call(work, shard, weights)
        np.testing.assert_allclose(stacked.private[0], alone.private, atol=1e-6)
        np.testing.assert_allclose(
            stacked.uplink.embeddings[0][0], alone.uplink.embeddings[0][0], atol=1e-6
        )
    assert np.abs(alone.private - weights).max() > 1e-3


def test_what_a_device_drops_is_its_own_in_a_shard_and_alone(cohorts, call):
    def dropping(spec):
        joined, dropout = layers.Inputs(spec), layers.Dropout(0.4)
        embedding = layers.Dense("embedding", joined.width, spec.embedding_dim, "tanh")
        head = layers.Head(spec.embedding_dim, joined.width)

        def forward(weights, inputs):
            values = dropout(joined(weights, inputs), inputs)
            return head(weights, embedding(weights, values), values)

        return architecture([joined, embedding, head, dropout], forward)

    cohort = cohorts["mlp"]
    spec, training = cohort.work.model.spec, TrainingConfig(loss="bce", batch_size=3, epochs=2)
    work = dataclasses.replace(cohort.work, model=model_of("mine:drop", spec, dropping(spec)))
    work = work.changed(training=training, sharing="none")
    devices = sorted(cohort.devices.devices, key=lambda device: int(device.samples))[-2:]
    weights = work.model.layout.initial(5) + np.float32(0.05)
    stacked = call(work, stack_devices(devices, batch_size=3), weights)
    for number, device in enumerate(devices):
        alone = call(work, _alone(device, 3), weights)
        np.testing.assert_allclose(stacked.private[number], alone.private, atol=1e-6)
    kept = dataclasses.replace(work.model, reads=frozenset())
    plain = call(dataclasses.replace(work, model=kept), _alone(devices[1], 3), weights)
    assert np.abs(plain.private - alone.private).max() > 1e-3
    # Untrained, both answer alike: what a device sends has no masks.
    idle = _alone(_without_samples(devices[1]), 3)
    answers = [
        call(each, idle, weights).uplink.embeddings[0].numpy().tobytes()
        for each in (work, dataclasses.replace(work, model=kept))
    ]
    assert answers[0] == answers[1]


def test_a_device_without_samples_keeps_its_weights_and_still_answers(cohorts, call):
    work = cohorts["mlp"].work
    full, other = cohorts["mlp"].devices.devices[:2]
    empty = _without_samples(full)
    weights = work.model.layout.initial(5)
    batch = work.training.batch_size
    alone = call(work, _alone(empty, batch), weights)
    np.testing.assert_array_equal(alone.private, weights[work.shared_size :])
    np.testing.assert_array_equal(alone.delta, np.zeros(work.shared_size))
    assert (float(alone.weight), float(alone.loss)) == (0.0, 0.0)
    assert alone.uplink.users.numpy().tolist() == full.users.tolist()
    shard = call(work, stack_devices([other, empty], batch_size=batch), weights)
    np.testing.assert_array_equal(shard.private[1], weights[work.shared_size :])
    expected = call(work, _alone(other, batch), weights)
    np.testing.assert_allclose(shard.delta, expected.delta, atol=1e-5)
    assert float(shard.weight) == float(other.samples)
    assert np.isfinite(float(shard.loss))


def test_stage_1_ignores_the_teacher_and_a_deaf_device_the_downlink(cohorts, call):
    work = cohorts["mlp"].work
    device = _alone(cohorts["mlp"].devices.devices[0], work.training.batch_size)
    weights = work.model.layout.initial(5)
    quiet = work.changed(exchange=dataclasses.replace(work.exchange, with_logits=False))
    untaught = quiet.changed(training=dataclasses.replace(work.training, distillation_weight=0.0))
    np.testing.assert_array_equal(
        call(quiet, device, weights).private, call(untaught, device, weights).private
    )
    assert call(quiet, device, weights).uplink.logits == ()
    assert np.abs(call(work, device, weights).delta - call(quiet, device, weights).delta).max() > 0
    deaf = quiet.changed(receives=False)
    heard, unheard = call(quiet, device, weights), call(deaf, device, weights)
    assert np.abs(heard.delta - unheard.delta).max() > 0


@pytest.fixture(scope="module")
def nodes(dataset, split, items, config, cohorts):
    """Five edge nodes with several users each, unevenly."""
    groups = dirichlet_devices(
        np.arange(len(split.users)) % 3, split.users, nodes=5, alpha=0.5, seed=2
    )
    return prepare_devices(
        [[device_view(dataset, split, int(user)) for user in group] for group in groups],
        items=items,
        block_sizes=cohorts["attention"].work.block_sizes,
        features=config.features,
        samples=config.samples,
        with_slots=True,
        seed=config.seed,
    )


def test_edge_nodes_answer_for_each_of_their_users(
    nodes, split, compose, run_rounds, make_cloud, items
):
    assert len({len(node.users) for node in nodes.devices}) > 1
    process = compose(("attention",), devices=nodes, shard_size=2, stage_1_rounds=0, sharing="none")
    state, (report,) = run_rounds(process, 1)
    work, cloud = process.cohorts[0].work, make_cloud()
    assert np.array_equal(np.flatnonzero(state.knowledge.rounds == 0), split.users)
    assert report.uplink_bytes == len(split.users) * work.exchange.uplink_bytes
    for number, node in enumerate(nodes.devices):
        weights = tf.constant(state.cohorts[0].weights()[number])
        for row, user in enumerate(node.users):
            queries = cloud.queries(np.array([user]), round_number=0)
            with fixed_order():
                expected = work.model.forward(
                    weights,
                    pair_inputs(
                        ItemTensors(*map(tf.constant, items)),
                        block_sizes=work.block_sizes,
                        config=work.features,
                        history=tf.constant(node.history[row][None]),
                        candidates=tf.constant(queries),
                        profile=tf.constant(node.profile[row][None]),
                        user_embeddings=tf.constant(
                            cloud.downlinks(np.array([user]), round_number=0)
                        ),
                        use_logit=True,
                    ).map(lambda tensor: tensor[0]),
                )
            np.testing.assert_array_equal(state.knowledge.items[user], queries[0])
            np.testing.assert_allclose(state.knowledge.logits[user], expected.logit, atol=1e-5)
            np.testing.assert_allclose(
                state.knowledge.embeddings[user], expected.embedding, atol=1e-5
            )


def test_edge_nodes_in_shards_agree_with_nodes_alone(
    nodes, compose, run_rounds, assert_states_equal
):
    stacked, _ = run_rounds(compose(("attention",), devices=nodes, shard_size=3), 2)
    alone, _ = run_rounds(compose(("attention",), devices=nodes, shard_size=0), 2)
    assert_states_equal(stacked, alone, atol=1e-5)


def test_a_nodes_samples_carry_the_profile_of_their_owner(nodes, dataset):
    """Each sample's owner has the sample's positive in the training history."""
    for node in nodes.devices:
        assert set(node.owner.tolist()) <= set(range(len(node.users)))
        for owner, candidate, label in zip(node.owner, node.candidates, node.labels, strict=True):
            touched = dataset.items[dataset.users == node.users[owner]]
            if label:
                assert candidate in touched


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_loss_is_that_of_the_last_epoch(optimizer, cohorts, items, call):
    """Two epochs of one batch: before its step, the second meets the weights of the first."""
    device = cohorts["linear"].devices.devices[0]
    base = TrainingConfig(
        loss="bce",
        batch_size=64,
        optimizer=optimizer,
        learning_rate=0.1,
        private_learning_rate=0.02,
    )
    weights = cohorts["linear"].work.model.layout.initial(5) + np.float32(0.05)
    plain, losses, results = [], [], []
    for epochs in (1, 2, 3):
        training = dataclasses.replace(base, epochs=epochs)
        work = cohorts["linear"].work.changed(training=training)
        result = call(work, _alone(device, 64), weights)
        losses.append(float(result.loss) / float(result.weight))
        results.append(result)
    split = work.shared_size
    for before in (None, *results[:2]):
        start = weights
        if before is not None:
            shared = weights[:split] + before.delta.numpy() / float(before.weight)
            start = np.concatenate([shared, before.private.numpy()])
        plain.append(_plain_gradient(work, items, device, start)[0])
    assert losses == pytest.approx(plain, abs=1e-5)
    # They differ by far more than the tolerance, so that no other epoch's would do.
    assert np.abs(np.diff(plain)).min() > 1e-3


@pytest.mark.parametrize("stacked", [False, True])
def test_an_epochs_loss_weighs_each_sample_alike_whatever_its_batch(stacked, cohorts, items, call):
    """With next to no learning the loss of an epoch is that of the samples at once."""
    devices = sorted(cohorts["linear"].devices.devices, key=lambda device: int(device.samples))
    small, large = devices[0], devices[-1]
    # The last batch of each is smaller than the others.
    batch = next(
        size for size in (5, 7, 4, 3) if int(small.samples) % size and int(large.samples) % size
    )
    training = TrainingConfig(
        loss="bce", batch_size=batch, epochs=2, learning_rate=1e-9, private_learning_rate=1e-9
    )
    work = cohorts["linear"].work.changed(training=training)
    weights = work.model.layout.initial(5) + np.float32(0.05)
    chosen = [small, large] if stacked else [large]
    data = stack_devices(chosen, batch_size=batch) if stacked else _alone(large, batch)
    result = call(work, data, weights)
    expected = sum(
        int(device.samples) * _plain_gradient(work, items, device, weights)[0] for device in chosen
    )
    assert float(result.loss) == pytest.approx(expected, rel=1e-4)
    assert float(result.weight) == sum(int(device.samples) for device in chosen)


def test_a_shard_has_the_rows_of_its_devices_and_padding(cohorts):
    devices = list(cohorts["attention"].devices.devices[:3])
    empty = _without_samples(devices[1])
    two_users = {name: np.repeat(getattr(devices[0], name), 2, axis=0) for name in BY_USER}
    devices[:2] = [devices[0]._replace(**two_users), empty]
    shard = stack_devices(devices, batch_size=5)
    longest = max(int(device.samples) for device in devices)
    extents = dict.fromkeys(BY_USER, 2) | {"samples": None}
    for name, stacked in shard._asdict().items():
        extent = extents.get(name, -(-longest // 5) * 5)
        for row, device in zip(stacked, devices, strict=True):
            own = np.asarray(getattr(device, name))
            assert stacked.dtype == own.dtype
            if extent is not None:
                assert len(row) == extent
                assert (row[len(own) :] == (-1 if name == "users" else 0)).all()
                row = row[: len(own)]
            np.testing.assert_array_equal(row, own)


def test_a_batch_that_no_device_fills_pads_to_the_largest_device(cohorts, call):
    """A batch of a million samples costs what the data cost, and trains on all of them."""
    work = cohorts["linear"].work
    devices = cohorts["linear"].devices.devices[:3]
    largest = max(int(device.samples) for device in devices)
    shard = stack_devices(devices, batch_size=10**6)
    assert shard.labels.shape == (3, largest)
    weights = work.model.layout.initial(0)
    huge = work.changed(training=TrainingConfig(loss="bce", batch_size=10**6, epochs=2))
    exact = work.changed(training=TrainingConfig(loss="bce", batch_size=largest, epochs=2))
    result, expected = call(huge, shard, weights), call(exact, shard, weights)
    np.testing.assert_array_equal(result.delta, expected.delta)
    np.testing.assert_array_equal(result.private, expected.private)
    assert np.abs(result.delta).max() > 1e-4


@pytest.mark.parametrize("rate", [1e30, 3e38])
def test_training_that_diverges_is_in_the_loss_and_the_answers_stay_finite(cohorts, call, rate):
    work = cohorts["linear"].work
    training = TrainingConfig(
        loss="bce", batch_size=4, learning_rate=rate, private_learning_rate=rate
    )
    shard = stack_devices(cohorts["linear"].devices.devices[:2], batch_size=4)
    result = call(work.changed(training=training), shard, work.model.layout.initial(0))
    assert np.isnan(result.loss)
    assert np.isfinite(result.uplink.embeddings[0]).all()
