"""What a file trains is what the simulation's device work trains."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import OPTIMIZERS, TIERS
from ecct_tf.edge import ItemTensors, architecture, layers, model_of
from ecct_tf.federated import DeviceData, prepare_devices, stack_devices
from ecct_tf.federated.drawn import sample_histories
from ecct_tf.knowledge import Downlink
from mobile_export.contract.signatures import signatures
from mobile_export.contract.task import file_sizes
from mobile_export.making.conversion import convert
from mobile_export.making.graph import EdgeGraph
from mobile_export.making.items import ItemStore
from mobile_export.making.parameters import all_weights

STEPS = 30
BATCH = 6


@pytest.fixture(scope="module")
def device(experiment, works, items, config):
    """The group with most samples, its data and the history behind each sample."""
    work = works["attention"]
    shared = {
        "items": items,
        "features": config.features,
        "samples": config.samples,
        "seed": config.seed,
    }
    group = max(experiment.groups, key=lambda group: len(group[0].recent))
    (data,) = prepare_devices(
        [group], block_sizes=work.block_sizes, with_slots=True, **shared
    ).devices
    return data, sample_histories(group, **shared)


def simulated(work, data, items, encoded, weights):
    """Final weights by the simulation's own device work."""
    data = DeviceData._make(part[0] for part in stack_devices([data], batch_size=BATCH))
    if not work.model.reads_slots:
        data = data._replace(slots=data.slots[:, :0])
    split = work.shared_size
    result = work(
        shared=tf.constant(weights[:split]),
        noise_seed=tf.constant(0),
        items=ItemTensors(*map(tf.constant, items)),
        data=DeviceData(*map(tf.constant, data)),
        private=tf.constant(weights[split:]),
        downlink=Downlink(
            tuple(part[None] for part in encoded),
            tf.zeros([1, work.exchange.num_queries], tf.int32),
        ),
        stacked=False,
    )
    shared = weights[:split] + result.delta.numpy() / float(result.weight)
    return np.concatenate([shared, result.private.numpy()])


def batches(data, histories, work):
    """Padded batches of the device's samples, epoch after epoch."""
    count = int(data.samples)
    for _ in range(work.training.epochs):
        for start in range(0, count, BATCH):
            rows = np.arange(start, min(start + BATCH, count))
            pad = BATCH - len(rows)
            yield {
                "history": np.pad(histories[rows], [(0, pad), (0, 0)]),
                "candidates": np.pad(data.candidates[rows], (0, pad)),
                "labels": np.pad(data.labels[rows].astype(np.float32), (0, pad)),
                "mask": np.pad(np.ones(len(rows), np.float32), (0, pad)),
            }


# An optimiser sees a vector of weights, whatever the tier; each tier and each optimiser once.
@pytest.mark.parametrize(("tier", "optimizer"), list(zip(TIERS, OPTIMIZERS, strict=True)))
def test_steps_equal_the_simulations(
    tier, optimizer, works, items, device, interpreter, weights_of
):
    data, histories = device
    epochs = -(-STEPS // -(-int(data.samples) // BATCH))
    training = {
        "optimizer": optimizer,
        "learning_rate": {"sgd": 0.1, "adagrad": 0.02, "adam": 0.002}[optimizer],
        "private_learning_rate": {"sgd": 0.05, "adagrad": 0.01, "adam": 0.001}[optimizer],
    }
    work = works[tier].changed(
        training=dataclasses.replace(works[tier].training, epochs=epochs, **training),
    )
    weights = weights_of(work)
    vector = np.random.default_rng(0).normal(size=(work.exchange.cloud_dim,)).astype(np.float32)
    encoded = work.exchange.coder.encode(tf.constant(vector))
    expected = simulated(work, data, items, encoded, weights)
    run = interpreter(tier, only=("train", "get_weights"), **training)
    for batch in batches(data, histories, work):
        out = run(
            "train",
            profile=data.profile[0],
            user_embedding=encoded[0].numpy(),
            user_embedding_scale=encoded[1].numpy().astype(np.float32),
            learning_rate=np.float32([work.training.learning_rate]),
            private_learning_rate=np.float32([work.training.private_learning_rate]),
            **batch,
        )
        assert out["applied"] == 1
    assert out["step"] >= STEPS
    got = run("get_weights", unused=np.zeros(1, np.float32))["weights"]
    assert np.abs(got - weights).max() > 0.01
    assert np.abs(got - expected).max() <= 1e-6


def dropping(spec):
    """A model that drops hidden values, and multiplies plainly."""
    joined = layers.Inputs(spec)
    hidden, gate = (layers.Dense(name, joined.width, 8, "tanh") for name in ("hidden", "gate"))
    embedding = layers.Dense("embedding", 8, spec.embedding_dim, "tanh")
    head, dropout = layers.Head(spec.embedding_dim, joined.width), layers.Dropout(0.4)

    def forward(weights, inputs):
        everything = joined(weights, inputs)
        values = dropout(hidden(weights, everything) * gate(weights, everything), inputs)
        return head(weights, embedding(weights, values), everything)

    return architecture([joined, hidden, gate, embedding, head, dropout], forward)


def test_what_is_dropped_and_multiplied_is_the_simulations(
    works, items, table, device, weights_of, monkeypatch
):
    data, histories = device
    work = works["mlp"]
    model = model_of("mine:dropping", work.model.spec, dropping(work.model.spec))
    work = dataclasses.replace(work, model=model).changed(
        training=dataclasses.replace(work.training, epochs=3, learning_rate=0.1)
    )
    weights = weights_of(work)
    vector = np.random.default_rng(0).normal(size=(work.exchange.cloud_dim,)).astype(np.float32)
    encoded = work.exchange.coder.encode(tf.constant(vector))
    expected = simulated(work, data, items, encoded, weights)
    parameters = all_weights(model, weights, sharing=work.sharing)
    sizes = file_sizes(model, work.task, trained=parameters.size)
    contract = signatures(sizes, trainable=True)
    chosen = {name: contract[name] for name in ("train", "get_weights", "score")}
    monkeypatch.setattr("mobile_export.making.graph.signatures", lambda *_, **__: chosen)
    graph = EdgeGraph(
        model,
        parameters=parameters,
        items=ItemStore(table, "int4"),
        task=work.task,
        sizes=sizes,
        trainable=True,
    )
    loaded = tf.lite.Interpreter(model_content=convert(graph, precision="float32"))
    train = loaded.get_signature_runner("train")
    assert set(train.get_input_details()) == {port.name for port in contract["train"].inputs}
    user = {
        "profile": data.profile[0],
        "user_embedding": encoded[0].numpy(),
        "user_embedding_scale": encoded[1].numpy().astype(np.float32),
    }
    for batch in batches(data, histories, work):
        rates = (work.training.learning_rate, work.training.private_learning_rate)
        names = ("learning_rate", "private_learning_rate")
        given = {name: np.float32([rate]) for name, rate in zip(names, rates, strict=True)}
        assert train(**user, **given, **batch)["applied"] == 1
    got = loaded.get_signature_runner("get_weights")(unused=np.zeros(1, np.float32))["weights"]
    assert np.abs(got - weights).max() > 0.01
    assert np.abs(got - expected).max() <= 1e-6
    # Without the masks it had learned otherwise; what it answers has none.
    kept = dataclasses.replace(model, reads=frozenset())
    plain = simulated(dataclasses.replace(work, model=kept), data, items, encoded, weights)
    assert np.abs(plain - expected).max() > 1e-3
    score = loaded.get_signature_runner("score")
    asked = {"history": histories[0], "candidates": np.arange(1, 6, dtype=np.int32), **user}
    assert (score(**asked)["logit"] == score(**asked)["logit"]).all()
