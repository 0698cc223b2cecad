"""Private numbers on a phone: what a file tells of them, and that it reads what a device held."""

import numpy as np
import pytest

from ecct_tf.data.numbers import NUMBER_ROWS, STEPS, Scaling
from ecct_tf.data.profile import ProfileShape
from ecct_tf.edge import architecture, layers, model_of
from ecct_tf.errors import DeviceError, ExportError
from ecct_tf.simulation.builder import device_work
from mobile_export.checking.source import SourceModel
from mobile_export.contract.task import file_sizes
from mobile_export.device import Device, DeviceModel
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.export import Labels, export_edge_model

AGE, PAY = Scaling(min=20, max=60), Scaling(log=True)
LABELS = Labels(profile={"town": ["x", "y"]}, numbers={"age": AGE, "pay": PAY})


@pytest.fixture(scope="module")
def work(config, table):
    return device_work(config, "linear", table=table, profile=ProfileShape((3,), 2))


@pytest.fixture(scope="module")
def path(work, table, task_of, weights_of, tmp_path_factory):
    (file,) = export_edge_model(
        work.model,
        weights_of(work),
        table,
        task=task_of(work),
        out=tmp_path_factory.mktemp("numbers"),
        labels=LABELS,
    )
    return file.path


@pytest.fixture(scope="module")
def model(path):
    return DeviceModel(path, runtime="tensorflow")


def test_a_file_tells_the_rule_of_each_number(path):
    town, age, pay = read_metadata(path.read_bytes())["profile"]
    assert "number" not in town
    rule = {"log": False, "mean": 40.0, "scale": 20.0, "largest": 8.0, "steps": STEPS}
    assert (age["name"], age["rows"], age["file"]) == ("age", NUMBER_ROWS, None)
    assert age["number"] == rule
    assert pay["number"] == {**rule, "log": True, "mean": 0.0, "scale": 4.0}
    assert (
        "private columns: town (3 rows), age (number)"
        in (path.parent / "MODEL_CARD.md").read_text()
    )


def test_an_app_gives_values_by_name(model):
    def row(**profile):
        return model.begin(user=1, profile=profile).profile.tolist()

    assert row(town="y", age=50, pay=None) == [2, 1 + round(8.5 * STEPS), 0]
    assert row(age="30", town="never seen", pay=float("nan")) == [0, 1 + round(7.5 * STEPS), 0]
    assert row() == [0, 0, 0]
    for profile, told in (
        ({"shoe": 46}, r"columns out of \['town', 'age', 'pay'\]"),
        ({"age": "old"}, "column 'age': expected a finite number"),
        ({"age": float("inf")}, "column 'age': expected a finite number"),
    ):
        with pytest.raises(DeviceError, match=told):
            row(**profile)
    with pytest.raises(DeviceError, match="expected 3 profile values"):
        model.begin(user=1, profile=[0])


def test_a_device_may_learn_more_of_its_user(model, tmp_path):
    device = Device.create(tmp_path / "1.state", model, user=1, history=[3, 1], profile={"age": 30})
    before = device.score([4, 5])
    device.set_profile({"age": 31})
    assert not np.array_equal(device.score([4, 5]), before)
    device.set_profile({"age": 30})
    assert np.array_equal(Device(tmp_path / "1.state", model).score([4, 5]), before)


def test_a_file_answers_as_the_simulation_and_takes_nonsense_for_unknown(
    model, work, table, items, task_of, weights_of
):
    source = SourceModel(work.model, weights_of(work), items, work.block_sizes, task_of(work))
    given = {
        "history": np.array([0, 0, 3, 1, 4, 15], np.int32),
        "candidates": np.array([5, 35, 8], np.int32),
        "user_embedding": np.zeros(table.cloud_dim, np.int8),
        "user_embedding_scale": np.ones(1, np.float32),
    }

    def logits(row):
        inputs = {**given, "profile": np.array(row, np.int32)}
        return model.file.call("score", inputs)["logit"], source.answer("score", inputs)["logit"]

    for row in ([1, 9 * STEPS, 0], [2, 0, 7 * STEPS], [0, 0, 0]):
        found, expected = logits(row)
        assert np.abs(found - expected).max() < 1e-5
    unknown, known = logits([1, 0, 0])[0], logits([1, 8 * STEPS, 1])[0]
    assert not np.array_equal(unknown, known)
    for nonsense in (-1, NUMBER_ROWS, 2**31 - 1):
        assert np.array_equal(logits([1, nonsense, 0])[0], unknown)


def test_a_model_that_declares_no_numbers_ships_none(work, task_of):
    spec = work.model.spec

    embedding = layers.Dense("embedding", spec.interaction_dim, spec.embedding_dim)
    head = layers.Head(spec.embedding_dim, spec.interaction_dim)

    def forward(weights, inputs):
        read = inputs.interactions
        return head(weights, embedding(weights, read), read)

    plain = model_of("own", spec, architecture([embedding, head], forward))
    assert file_sizes(plain, task_of(work), trained=1).profile_columns == 1
    assert file_sizes(work.model, task_of(work), trained=1).profile_columns == 3


def test_rules_must_be_as_many_as_numbers(work, table, task_of, weights_of, tmp_path):
    with pytest.raises(ExportError, match="built for 2 private numbers, got rules of 1"):
        export_edge_model(
            work.model,
            weights_of(work),
            table,
            task=task_of(work),
            out=tmp_path,
            labels=Labels(profile={"town": ["x", "y"]}, numbers={"age": AGE}),
        )
