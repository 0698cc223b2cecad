"""The losses of devices: by hand, against differences, stacked as single, and of one's own."""

import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from ecct_tf.config import SampleConfig, StartConfig, TrainingConfig
from ecct_tf.data.samples import sample_order
from ecct_tf.edge import (
    DeviceTask,
    EdgeLoss,
    build_loss,
    changed_losses,
    collaborative_loss,
    layers,
    loss_origins,
)
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import binary_cross_entropy, distillation

NAMES = ("bce", "bpr", "huber", "sampled_softmax")
# Two positions of a device, three samples each.
LOGITS = np.array([2.0, 0.0, 1.0, -1.0, 0.5, 0.5], np.float32)
LABELS = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], np.float32)
TEACHER = np.array([0.3, -0.2, 1.5, 2.0, -1.0, 0.0], np.float32)
ALL = np.ones(6, np.float32)


def loss_and_gradient(name, logits=LOGITS, *, weights=ALL, weight=0.0):
    loss = build_loss(name)

    @tf.function(autograph=False)
    def found(logits, weights):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = collaborative_loss(
                logits,
                labels=tf.constant(LABELS) + tf.zeros_like(logits),
                teacher=tf.constant(TEACHER) + tf.zeros_like(logits),
                weights=weights,
                loss=loss,
                group_size=3 if loss.by_position else 1,
                distillation_weight=weight,
                temperature=2.0,
            )
        return losses, tape.gradient(losses, logits)

    return [part.numpy() for part in found(tf.constant(logits), tf.constant(weights))]


def by_hand(name):
    """The loss of the first position and of the second."""
    if name == "bpr":
        pairs = np.log1p(np.exp(np.array([[-2.0, -1.0], [1.5, 1.5]])))
        return pairs.mean(axis=1)
    rows = LOGITS.reshape(2, 3).astype(float)
    if name == "sampled_softmax":
        return np.log(np.exp(rows).sum(axis=1)) - rows[:, 0]
    if name == "huber":
        # Distances 1, 0 and 1; then -2, beyond the bend, and one half twice.
        return np.array([[0.5, 0.0, 0.5], [1.5, 0.125, 0.125]]).mean(axis=1)
    return np.log1p(np.exp(np.where(LABELS.reshape(2, 3) == 1, -rows, rows))).mean(axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_by_hand_and_weights(name):
    first, second = by_hand(name)
    assert loss_and_gradient(name)[0] == pytest.approx((first + second) / 2, rel=1e-6)
    # Padding counts for nothing; a position that weighs half counts half.
    padded = loss_and_gradient(name, weights=np.repeat(np.float32([1, 0]), 3))
    assert padded[0] == pytest.approx(first, rel=1e-6)
    assert not padded[1][3:].any()
    # A logit that is its label has nothing to learn.
    assert np.count_nonzero(padded[1][:3]) == (2 if name == "huber" else 3)
    half = loss_and_gradient(name, weights=np.repeat(np.float32([1, 0.5]), 3))[0]
    assert half == pytest.approx((first + second / 2) / 1.5, rel=1e-6)


def test_numbers_that_others_can_check():
    assert loss_and_gradient("bpr", weights=np.repeat(np.float32([1, 0]), 3))[0] == pytest.approx(
        0.220095, abs=1e-6
    )
    softmax = loss_and_gradient("sampled_softmax", weights=np.repeat(np.float32([1, 0]), 3))
    assert softmax[0] == pytest.approx(0.407606, abs=1e-6)
    np.testing.assert_allclose(softmax[1][:3], [-0.334759, 0.090031, 0.244728], atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_differences(name, weight):
    _, gradient = loss_and_gradient(name, weight=weight)
    for place in range(6):
        moved = [LOGITS.copy() for _ in range(2)]
        moved[0][place] += 1e-2
        moved[1][place] -= 1e-2
        up, down = (float(loss_and_gradient(name, each, weight=weight)[0]) for each in moved)
        assert gradient[place] == pytest.approx(
            (up - down) / 2e-2,
            # Two logits lie where Huber's loss bends.
            abs=1e-3 if name == "huber" else 2e-4,
        )


@pytest.mark.parametrize("name", NAMES)
def test_stacked_is_single_and_huge_logits_are_finite(name):
    other = LOGITS[::-1].copy()
    stacked = loss_and_gradient(name, np.stack([LOGITS, other]), weights=np.stack([ALL, ALL]))
    for row, logits in enumerate((LOGITS, other)):
        alone = loss_and_gradient(name, logits)
        np.testing.assert_allclose(stacked[0][row], alone[0], rtol=1e-6)
        np.testing.assert_allclose(stacked[1][row], alone[1], rtol=1e-6)
    for part in loss_and_gradient(name, LOGITS * np.float32(1e4)):
        assert np.isfinite(part).all()


def before(logits, labels, teacher, weights, weight, temperature):
    """The loss as it was when devices knew one alone."""

    @tf.custom_gradient
    def loss(student):
        normalised = weights / tf.maximum(tf.reduce_sum(weights, axis=-1, keepdims=True), 1.0)
        each = binary_cross_entropy(student, labels)
        slope = tf.sigmoid(student) - labels
        each += weight * distillation(student, teacher, temperature=temperature)
        gap = tf.sigmoid(student / temperature) - tf.sigmoid(teacher / temperature)
        slope += weight * temperature * gap
        return (
            tf.reduce_sum(each * normalised, axis=-1),
            lambda upstream: upstream[..., None] * normalised * slope,
        )

    return loss(logits)


def test_the_cross_entropy_is_what_it_was_to_the_last_bit():
    rng = np.random.default_rng(0)
    logits, teacher = (tf.constant(rng.normal(0, 3, (4, 37)).astype("f4")) for _ in range(2))
    labels = tf.constant((rng.random((4, 37)) < 0.1).astype("f4"))
    weights = tf.constant((rng.random((4, 37)) < 0.9).astype("f4"))

    def now(logits):
        return collaborative_loss(
            logits, labels=labels, teacher=teacher, weights=weights, distillation_weight=0.02,
            temperature=2.0, loss=build_loss("bce"),
        )  # fmt: skip

    found = []
    for loss in (now, lambda logits: before(logits, labels, teacher, weights, 0.02, 2.0)):

        @tf.function(autograph=False)
        def both(logits, loss=loss):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                losses = loss(logits)
            return losses, tape.gradient(losses, logits)

        found.append(both(logits))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["bce", "bpr"])
def test_the_cloud_teaches_by_the_loss_of_the_settings(name):
    """Listwise beside a loss of single samples reads positions too."""
    own = task(loss=name, distillation_loss="listwise", temperature=2.0, distillation_weight=0.7)
    assert own.group_size == 3
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = own.batch_loss(logits, labels=LABELS, teacher=tf.constant(TEACHER), weights=ALL)
    gradient = tape.gradient(total, logits).numpy()
    soft = [np.exp(part.reshape(2, 3) / 2.0) for part in (LOGITS, TEACHER)]
    student, target = (part / part.sum(axis=1, keepdims=True) for part in soft)
    taught = -4.0 * (target * np.log(student)).sum(axis=1).mean()
    alone, alone_gradient = loss_and_gradient(name)
    assert float(total) == pytest.approx(alone + 0.7 * taught, rel=1e-6)
    expected = alone_gradient + 0.7 * 2.0 * (student - target).reshape(-1) / 2
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_a_teacher_of_a_part_of_a_position_teaches_nothing_of_it():
    own = task(distillation_loss="listwise", temperature=2.0, distillation_weight=0.7)
    given = {"labels": LABELS, "teacher": tf.constant(TEACHER), "weights": ALL}
    found = [
        float(own.batch_loss(tf.constant(LOGITS), taught=tf.constant(taught, tf.float32), **given))
        for taught in ([1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0])
    ]
    assert found[0] == found[1] != found[2]
    assert found[2] == pytest.approx(loss_and_gradient("bce")[0], rel=1e-6)


def test_without_a_teacher_its_loss_is_nothing():
    quiet = task(distillation_loss="listwise", distillation_weight=0.7, with_logits=False)
    found = quiet.batch_loss(
        tf.constant(LOGITS), labels=LABELS, teacher=np.nan * TEACHER, weights=ALL
    )
    assert float(found) == pytest.approx(loss_and_gradient("bce")[0], rel=1e-6)


def task(*, with_logits=True, **training):
    return DeviceTask(
        features=None,
        samples=SampleConfig(negatives=2),
        training=TrainingConfig(**{"loss": "bce", **training}),
        exchange=types.SimpleNamespace(with_logits=with_logits),
        sharing="all",
    )


def test_a_batch_holds_whole_positions_where_the_loss_reads_them():
    for loss, batch, expected in (
        ("bce", 32, (1, 32)),
        ("bpr", 32, (3, 30)),
        ("sampled_softmax", 2, (3, 3)),
    ):
        own = task(loss=loss, batch_size=batch)
        assert (own.group_size, own.batch_size) == expected


def test_positions_are_shuffled_whole():
    order = sample_order(40, seed=3, user=7, group_size=4).reshape(10, 4)
    assert sorted(order[:, 0].tolist()) == list(range(0, 40, 4))
    assert order[:, 0].tolist() != list(range(0, 40, 4))
    np.testing.assert_array_equal(order - order[:, :1], np.tile(np.arange(4), (10, 1)))
    # A group of one is the shuffle that it was.
    alone = sample_order(40, seed=3, user=7)
    expected = np.random.default_rng([3, 0x0DD, 7]).permutation(40)
    np.testing.assert_array_equal(alone, expected)


def plain(logits, labels):
    return tf.nn.softplus(logits) - layers.multiply(labels, logits)


def of(function, **form):
    """A function that returns the loss of logits alone."""
    return lambda: EdgeLoss(lambda logits, _: function(logits), **form)


def hinge(logits):
    """How far each negative is from being behind by 1, one value for each."""
    own, others = layers.split(logits, [1, logits.shape[-1] - 1])
    behind = layers.subtract(layers.concat([own] * others.shape[-1]), others)
    return layers.relu(layers.subtract(tf.ones_like(behind), behind))


OWN = types.ModuleType("own_losses")
OWN.of_layers = of(lambda logits: layers.multiply(layers.relu(logits), layers.sigmoid(logits)))
OWN.hinge = of(hinge, by_position=True)
OWN.softplus = lambda: EdgeLoss(plain)
OWN.broadcast = lambda: EdgeLoss(tf.maximum)
OWN.one_number = of(tf.reduce_sum)
OWN.deeper = of(lambda logits: tf.expand_dims(logits, -1), by_position=True)
OWN.of_labels = lambda: EdgeLoss(lambda _, labels: labels)
OWN.fails = lambda: {}["nothing"]
OWN.nothing = lambda: None
OWN.raises = of(lambda _: {}["no loss"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_losses:softplus", r"operator Soft\w+ at test_edge_losses.py, line \d+: phones lack"),
        ("own_losses:broadcast", r"operator BroadcastGradientArgs at .*write it with relu"),
        ("own_losses:one_number", r"expected losses \[..., rows\] float32, got \(\) float32"),
        ("own_losses:deeper", r"expected losses \[..., positions\] or .*, got \(None, 4, 1\)"),
        ("own_losses:of_labels", "expected losses that depend on the logits"),
        ("own_losses:fails", "its function failed.*KeyError: 'nothing'"),
        ("own_losses:raises", "tracing it failed.*KeyError: 'no loss'"),
        ("own_losses:nothing", "expected it to return an ecct_tf.edge.EdgeLoss, got NoneType"),
        ("own_losses:missing", "expected a function missing"),
        ("hinge", "expected a loss out of bce, bpr, huber, sampled_softmax, or module:name"),
    ],
)
def test_a_loss_that_no_phone_could_run_is_refused_when_it_is_built(name, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "own_losses", OWN)
    with pytest.raises(ConfigError, match=message):
        build_loss(name)


def test_a_loss_of_layers_is_taken(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_losses", OWN)
    losses, gradient = loss_and_gradient("own_losses:of_layers")
    positive = np.maximum(LOGITS, 0)
    assert losses == pytest.approx((positive / (1 + np.exp(-LOGITS))).mean(), rel=1e-6)
    assert gradient[4] != 0


def test_several_values_of_a_position_count_by_their_mean(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_losses", OWN)
    losses, gradient = loss_and_gradient("own_losses:hinge")
    # The first position leads by 2 and 1, the second is behind by 1.5 twice.
    assert losses == pytest.approx((0.0 + (2.5 + 2.5) / 2) / 2)
    np.testing.assert_allclose(gradient, [0, 0, 0, -0.5, 0.25, 0.25])


def test_a_name_of_no_form_is_refused_by_the_settings():
    with pytest.raises(
        ConfigError, match=r"training\.loss: expected a name such as sampled_softmax"
    ):
        TrainingConfig(loss="b p r")


def test_a_run_records_the_source_of_losses_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "recorded_losses.py"
    source.write_text(
        "def hinge():\n    return None\n\n\ndef matched(temperature):\n    return None\n"
    )
    own = TrainingConfig(loss="recorded_losses:hinge", distillation_loss="recorded_losses:matched")
    recorded = loss_origins(own)
    assert sorted(recorded) == ["training.distillation_loss", "training.loss"]
    assert changed_losses(own, recorded) == []
    assert loss_origins(TrainingConfig(loss="bpr"), start=StartConfig(loss="bpr")) == {}
    start = StartConfig(loss="recorded_losses:hinge")
    of_start = loss_origins(TrainingConfig(), start=start)
    assert list(of_start) == ["start.loss"]
    assert changed_losses(TrainingConfig(), of_start, start=start) == []
    source.write_text(source.read_text() + "\n# other\n")
    changes = changed_losses(own, recorded)
    assert [change.partition(":")[0] for change in changes] == [
        "loss 'recorded_losses",
        "loss 'recorded_losses",
    ]
    assert len(changed_losses(TrainingConfig(), of_start, start=start)) == 1
