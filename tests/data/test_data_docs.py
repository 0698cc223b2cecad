"""The page on own data knows every key, and its examples are what they say."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from ecct_tf.data import (
    leave_one_out,
    load_files,
    read_files_schema,
    split_report,
    temporal_split,
)
from ecct_tf.data._published import ML_100K, find_data
from ecct_tf.data.files_schema import ColumnSpec, Filters, InteractionsFile, TableFile

PAGE = Path(__file__).parents[2] / "docs" / "own_data.md"


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("### `interactions`", InteractionsFile),
        ("### `users` and `items`", TableFile),
        ("### A column", ColumnSpec),
        ("### `filters`", Filters),
    ],
)
def test_each_key_is_explained_in_its_table(page, heading, kind):
    section = page.partition(f"{heading}\n")[2].partition("\n#")[0]
    first_cells = " ".join(re.findall(r"^\| (.+?) \|", section, flags=re.MULTILINE))
    keys = re.findall(r"`(\w+)`", first_cells)
    assert sorted(keys) == sorted(field.name for field in dataclasses.fields(kind))


def test_the_schemas_of_the_page_are_valid(page, tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        (tmp_path / "schema.yaml").write_text(block)
        assert read_files_schema(tmp_path / "schema.yaml").name == yaml.safe_load(block)["name"]


def test_the_figures_of_the_page(page, tmp_path, real_folder):
    place = find_data(ML_100K, real_folder)
    atomic = (place / "ml-100k.inter").is_file()
    lines = (place / ("ml-100k.inter" if atomic else "u.data")).read_text().splitlines()
    rows = [line.replace("\t", ",") for line in lines[1 if atomic else 0 :]]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item,rating,timestamp", *rows]))
    (tmp_path / "schema.yaml").write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    dataset, report = load_files(tmp_path / "schema.yaml")
    told = " ".join(page.replace("│", " ").split())
    assert f"ratings.csv interactions {report.files[0].rows:,}" in told
    for count in report.filters:
        assert f"{count.rule} {count.rows:,} {count.users:,} {count.items:,}" in told
    assert (
        f"{report.interactions:,} interactions of {report.users:,} users with {report.items:,} "
        "items"
    ) in told
    assert f"{split_report(dataset, leave_one_out(dataset)).devices:,} devices can take" in told
    temporal = split_report(dataset, temporal_split(dataset))
    assert (
        f"prints {temporal.devices:,} devices, {temporal.evaluated['test']:,} test interactions "
        f"of {temporal.tested_users['test']:,} users, and {temporal.excluded_users:,} excluded"
    ) in told
