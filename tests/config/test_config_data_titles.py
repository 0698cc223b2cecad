"""What a run's data are called: by their schema, not by the kind of their source."""

import pytest

from ecct_tf.config import DataConfig, data_title, load_config
from ecct_tf.simulation.environment import run_environment


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("name: corner shop\ninteractions: {path: a.csv}\n", "corner shop"),
        ("name: 7\n", "7"),
        ("interactions: {path: a.csv}\n", "mine"),
        ("name: [\n", "mine"),
        (None, "mine"),
    ],
)
def test_own_files_are_called_as_their_schema_says(text, title, tmp_path):
    schema = tmp_path / "mine.yaml"
    if text is not None:
        schema.write_text(text, encoding="utf-8")
    assert data_title(DataConfig(dataset="files", schema=str(schema))) == title


def test_other_data_keep_their_names():
    assert data_title(DataConfig(dataset="synthetic")) == "synthetic"
    assert data_title(DataConfig(dataset="in-memory", name="shop")) == "shop"


def test_a_run_records_it(tmp_path):
    schema = tmp_path / "schema.yaml"
    schema.write_text("name: shop\n", encoding="utf-8")
    config = load_config(overrides=["data.dataset=files", f"data.schema={schema}"])
    assert run_environment(config)["data"] == "shop"
