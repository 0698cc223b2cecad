"""`ecct new` makes a project that runs as it stands."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecct_tf.config import load_config
from ecct_tf.data import load_files
from ecct_tf.errors import ConfigError
from ecct_tf.starter import create_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    path = tmp_path_factory.mktemp("starter") / "shop"
    create_project(path)
    return path


def test_it_has_its_files_and_the_sample_is_read_whole(project):
    names = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "config.yaml",
        "data/customers.csv",
        "data/interactions.csv",
        "data/products.csv",
        "explore.ipynb",
        "run.py",
        "schema.yaml",
    }
    dataset, _ = load_files(project / "schema.yaml")
    rows = (project / "data" / "interactions.csv").read_text().count("\n") - 1
    assert (dataset.num_users, dataset.num_items) == (200, 300)
    assert dataset.num_interactions == rows
    tags = {column.name: column.side.value for column in dataset.schema.columns}
    assert tags == {"gender": "federated", "age": "federated", "categories": "centralized"}
    assert load_config(project / "config.yaml").data.schema == str(project / "schema.yaml")


def test_two_projects_are_equal(project, tmp_path):
    create_project(tmp_path / "again")
    for path in project.rglob("*"):
        if path.is_file():
            other = tmp_path / "again" / path.relative_to(project)
            assert path.read_bytes() == other.read_bytes()


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="not an empty folder"):
        create_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_of_many_that_make_one_project_one_does(tmp_path):
    start = threading.Barrier(4)

    def make(_):
        start.wait()
        try:
            return len(create_project(tmp_path / "shop"))
        except ConfigError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(make, range(4)))
    assert done.count(8) == 1
    assert sum("is not an empty folder" in str(each) for each in done) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_a_place_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make"):
        create_project(tmp_path / "file" / "shop")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The project with a single round, so that a test has time for it."""
    path = tmp_path_factory.mktemp("starter") / "short"
    create_project(path)
    text = (path / "config.yaml").read_text()
    text = text.replace("rounds: 15", "rounds: 1").replace("stage_1_rounds: 5", "stage_1_rounds: 0")
    (path / "config.yaml").write_text(f"{text}federated_baseline: {{rounds: 1}}\n")
    return path


@pytest.mark.slow
def test_its_script_trains_and_reports(short):
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=short,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "ECCT edge",
        "ECCT cloud",
        "FedAvg",
        "Recommended",
        "Report",
    ]
    assert "ECCT" in (short / "report.html").read_text()


@pytest.mark.slow
def test_its_notebook_runs(short):
    cells = json.loads((short / "explore.ipynb").read_text())["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=short,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"MPLBACKEND": "agg", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert "edge: HR@10" in done.stdout
