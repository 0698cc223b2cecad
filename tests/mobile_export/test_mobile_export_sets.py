"""Private columns of several values on a phone: a file tells each value, an app gives lists."""

import numpy as np
import pytest

from ecct_tf.data.profile import ProfileShape
from ecct_tf.errors import DeviceError, ExportError
from ecct_tf.simulation.builder import device_work
from mobile_export.checking.source import SourceModel
from mobile_export.device import Device, DeviceModel, TrainingPlan
from mobile_export.flatbuffer.packing import read_metadata
from mobile_export.making.export import Labels, export_edge_model

LABELS = Labels(
    profile={"town": ["x", "y"]}, sets={"likes": ["jazz", "tea", "sci-fi"], "pays": ["card"]}
)


@pytest.fixture(scope="module")
def work(config, table):
    shape = ProfileShape((3,), 0, (3, 1))
    return device_work(config, "linear", table=table, profile=shape)


@pytest.fixture(scope="module")
def export(work, table, task_of, weights_of):
    def export(out, labels):
        (file,) = export_edge_model(
            work.model, weights_of(work), table, task=task_of(work), out=out, labels=labels
        )
        return file.path

    return export


@pytest.fixture(scope="module")
def path(export, tmp_path_factory):
    return export(tmp_path_factory.mktemp("sets"), LABELS)


@pytest.fixture(scope="module")
def model(path):
    return DeviceModel(path, runtime="tensorflow")


def test_a_file_tells_each_value(path):
    town, *likes, card = read_metadata(path.read_bytes())["profile"]
    assert "set" not in town
    assert [each["name"] for each in likes] == ["likes: jazz", "likes: tea", "likes: sci-fi"]
    assert likes[1] == {
        "name": "likes: tea",
        "rows": 2,
        "unknown_row": 0,
        "file": None,
        "set": {"column": "likes", "value": "tea"},
    }
    assert card["set"] == {"column": "pays", "value": "card"}
    told = "private columns: town (3 rows), likes (several of 3 values), pays (several of 1 values)"
    assert told in (path.parent / "MODEL_CARD.md").read_text()


def test_an_app_gives_lists_by_name(model):
    def row(**profile):
        return model.begin(user=1, profile=profile).profile.tolist()

    assert row(town="y", likes=["sci-fi", "jazz"]) == [2, 1, 0, 1, 0]
    assert row(likes=("tea", "never seen"), pays={"card"}) == [0, 0, 1, 0, 1]
    assert row(likes=[], pays=None) == row(pays=float("nan")) == [0, 0, 0, 0, 0]
    for profile, told in (
        ({"likes: tea": 1}, r"columns out of \['town', 'likes', 'pays'\]"),
        ({"likes": "jazz"}, r"column 'likes': expected a list of values, such as \['jazz'\]"),
        ({"pays": 1}, "column 'pays': expected a list of values"),
    ):
        with pytest.raises(DeviceError, match=told):
            row(**profile)


def test_a_device_keeps_trains_and_shows_them(model, tmp_path):
    device = Device.create(
        tmp_path / "1.state", model, user=1, history=[3, 1, 4, 1, 5], profile={"likes": ["tea"]}
    )
    before = device.score([7, 8])
    device.set_profile({"likes": ["tea", "jazz"]})
    assert not np.array_equal(device.score([7, 8]), before)
    device.train(TrainingPlan())
    again = Device(tmp_path / "1.state", model)
    assert np.array_equal(again.score([7, 8]), device.score([7, 8]))
    shown = str(again.export_personal_data())
    assert "likes: jazz" in shown
    moved = model.begin(user=1, profile={"likes": ["tea", "jazz"]})
    assert moved.labels.texts == ("", "1", "1", "", "")


def test_a_file_answers_as_the_simulation(path, work, table, items, task_of, weights_of):
    model = DeviceModel(path, runtime="tensorflow")
    source = SourceModel(work.model, weights_of(work), items, work.block_sizes, task_of(work))
    given = {
        "history": np.array([0, 0, 3, 1, 4, 15], np.int32),
        "candidates": np.array([5, 35, 8], np.int32),
        "user_embedding": np.zeros(table.cloud_dim, np.int8),
        "user_embedding_scale": np.ones(1, np.float32),
    }
    answers = []
    for row in ([1, 1, 0, 1, 1], [2, 1, 1, 1, 0], [0, 0, 0, 0, 0]):
        inputs = {**given, "profile": np.array(row, np.int32)}
        found = model.file.call("score", inputs)["logit"]
        assert np.abs(found - source.answer("score", inputs)["logit"]).max() < 1e-5
        answers.append(found)
    assert not np.array_equal(answers[0], answers[1])
    # What is neither 0 nor 1 counts as unknown.
    nonsense = {**given, "profile": np.array([0, 2, -1, 0, 0], np.int32)}
    assert np.array_equal(model.file.call("score", nonsense)["logit"], answers[2])


def test_labels_must_be_those_of_the_model(export, tmp_path):
    for sets, told in (
        ({"likes": ["jazz"]}, r"private columns of \(3, 1\) values, got \(1,\)"),
        ({"likes": ["a", "b", "c"], "town": ["x"]}, None),
        ({"likes": ["a", "a", "c"], "pays": ["x"]}, r"\['likes: a'\] occur more than once"),
    ):
        labels = Labels(profile={"town": ["x", "y"]}, sets=sets)
        if told is None:
            export(tmp_path, labels)
            continue
        with pytest.raises(ExportError, match=told):
            export(tmp_path / "refused", labels)
