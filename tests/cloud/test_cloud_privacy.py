"""What a job and a publication leave on disk cannot depend on what only devices know.

The same job runs on two data sets that differ in every federated value and in every
interaction that the cloud may not see. Byte for byte it must leave the same.
"""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from cloud.publishing import publish
from cloud.registry import Registry
from cloud.retraining import retrain
from cloud.retraining.history import load_history
from ecct_tf.data import Side, SyntheticConfig, leave_one_out, synthetic_dataset

PLANTED = "planted-private-value"
# Of the clock, of chance, and what TensorFlow numbers anew in each process.
VOLATILE = re.compile(
    rb"-[0-9a-f]{8}(?=\")|\d{4}-\d\d-\d\dT[\d:]+\+00:00"
    rb"|\"saved_model/(saved_model|fingerprint)\.pb\": \{[^}]*\}"
    # When a round was opened, and the seals of texts that hold what is taken out here.
    rb"|\"since_seconds\": \d+|\n  \"sha256\": \"[0-9a-f]{64}\""
)
ONLY_SEARCHED = {"saved_model.pb", "fingerprint.pb", "checkpoint"}


def _with_other_secrets(dataset):
    """Other federated values, and other items wherever the cloud may not look."""
    split = leave_one_out(dataset)
    order = np.lexsort((np.arange(len(dataset.users)), dataset.timestamps, dataset.users))
    hidden = np.ones(len(order), bool)
    for user in split.users:
        start = split.offsets[user]
        hidden[order[start : start + len(split.older(user))]] = False
    items = np.where(hidden, dataset.items % dataset.num_items + 1, dataset.items)
    columns = tuple(
        dataclasses.replace(
            encoded,
            values=(encoded.values % len(encoded.vocabulary) + 1).astype(np.int32),
            vocabulary=tuple(f"{PLANTED}-{word}" for word in encoded.vocabulary),
        )
        if encoded.column.side is Side.FEDERATED
        else encoded
        for encoded in dataset.user_columns
    )
    return dataclasses.replace(dataset, items=items.astype(np.int32), user_columns=columns)


@pytest.fixture(scope="module")
def datasets(jobs):
    plain = synthetic_dataset(SyntheticConfig(users=jobs.USERS, items=jobs.ITEMS, seed=0))
    return plain, _with_other_secrets(plain)


def _left_behind(folder, published):
    """All files by name, what differs from run to run taken out; the log itself is an input."""
    publish(Registry(folder / "registry"), published, one_file_each=True)
    found = {}
    for root in (folder / "job", folder / "registry", published):
        for path in sorted(root.rglob("*")):
            content = path.read_bytes() if path.is_file() else b""
            if path.name == "metrics.csv":
                content = pd.read_csv(path).drop(columns="seconds").to_csv().encode()
            content = VOLATILE.sub(b"", content.replace(str(folder).encode(), b""))
            name = path.relative_to(root).as_posix().partition(".out.tfevents.")[0]
            found[f"{root.name}/{name}"] = content
    return found


def test_nothing_that_only_devices_know_is_left_behind(calm, jobs, datasets, tmp_path, monkeypatch):
    monkeypatch.setattr("cloud.retraining.history.load_dataset", lambda *_, **__: datasets[1])
    changed = tmp_path / "changed"
    jobs.write_log(changed, range(20), name="log")
    assert retrain(jobs.small_job(changed), changed / "job", show=False).promoted
    plain = _left_behind(calm, tmp_path / "plain" / "published")
    other = _left_behind(changed, changed / "published")
    kinds = {".json", ".csv", ".npz", ".yaml", ".pb", ".ecdn", ".ecit", ".index"}
    assert kinds <= {name[name.rindex(".") :] for name in plain if "." in name}
    assert not [name for name, content in other.items() if PLANTED.encode() in content]
    assert plain.keys() == other.keys()
    compared = [
        name
        for name in plain
        if name.rpartition("/")[2] not in ONLY_SEARCHED and not name.startswith("job/events/")
    ]
    assert [name for name in compared if plain[name] != other[name]] == []


def test_control_a_job_that_reads_everything_differs(jobs, datasets, tmp_path, monkeypatch):
    found = {}
    sizes = tuple(len(column.vocabulary) for column in datasets[0].user_columns)
    for history in ("older", "all"):
        config = jobs.small_job(tmp_path, history=history)
        for dataset in datasets:
            monkeypatch.setattr(
                "cloud.retraining.history.load_dataset", lambda *_, data=dataset, **__: data
            )
            read = load_history(config, known=None, progress=False)
            found.setdefault(history, []).append(read.fingerprint)
            # Of private columns nothing but how many values they have.
            assert read.profile_sizes == sizes
    assert found["older"][0] == found["older"][1]
    assert found["all"][0] != found["all"][1]
