"""Parts of the retraining job, by hand."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from cloud.retraining.config import JobConfig, load_job_config
from cloud.retraining.history import History, hold_out, load_history
from cloud.retraining.preparation import check_memory
from cloud.retraining.progress import Progress
from cloud.retraining.uplinks import KnowledgeBuilder
from cloud.vocabulary import Vocabulary
from ecct_tf.config import dump_config
from ecct_tf.data import cloud_view, device_view, leave_one_out, load_dataset
from ecct_tf.errors import ConfigError, DataError, ResourceError
from ecct_tf.knowledge import KnowledgeStore, UplinkRows


def _batch(users, rounds, *, with_logits=None):
    rows, users = np.arange(len(users)), np.array(users, np.int32)
    items = (1 + rows[:, None] + np.zeros((1, 2))).astype(np.int32)
    logits = np.ones(len(users), np.bool_) if with_logits is None else np.array(with_logits)
    return SimpleNamespace(
        users=users,
        rounds=np.array(rounds, np.int32),
        items=items,
        embeddings=np.repeat(items[..., None], 3, axis=2).astype(np.float32),
        logits=-items.astype(np.float32),
        with_logits=logits,
    )


def _builder(users=5):
    return KnowledgeBuilder(KnowledgeStore.empty(num_users=users, num_queries=2, embedding_dim=3))


def test_the_newest_uplink_of_a_user_counts():
    builder = _builder()
    builder.add(_batch([1, 3, 1, 1], [4, 4, 6, 5]))
    builder.add(_batch([3, 1], [5, 2]))
    store = builder.finish(present=6)
    assert (builder.taken, builder.superseded) == (2, 4)
    np.testing.assert_array_equal(store.rounds, [-1, 6, -1, 5, -1])
    np.testing.assert_array_equal(store.items[1], [3, 3])  # row 2 of the first batch
    np.testing.assert_array_equal(store.items[3], [1, 1])  # row 0 of the second
    np.testing.assert_array_equal(store.logits[1], [-3, -3])


def test_it_is_the_store_that_rounds_would_have_made():
    batches = [_batch([0, 1, 2], [0, 0, 0]), _batch([1, 2], [1, 1], with_logits=[False, True])]
    builder = _builder()
    store = KnowledgeStore.empty(num_users=5, num_queries=2, embedding_dim=3)
    for number, batch in enumerate(batches):
        builder.add(batch)
        for part in (True, False):
            rows = np.flatnonzero(batch.with_logits == part)
            if len(rows):
                store = store.updated(
                    UplinkRows(
                        users=batch.users[rows],
                        items=batch.items[rows],
                        embeddings=batch.embeddings[rows],
                        logits=batch.logits[rows] if part else None,
                    ),
                    round_number=number,
                )
    for field in dataclasses.fields(store):
        np.testing.assert_array_equal(
            getattr(builder.finish(present=1), field.name), getattr(store, field.name)
        )


def test_a_round_that_nobody_asked_ages_nobody():
    """A version from before rounds were checked may hold one."""
    builder = _builder(300)
    builder.add(_batch(range(200), [7] * 199 + [10**9]))
    store = builder.finish(present=7)
    np.testing.assert_array_equal(store.trust(round_number=7, half_life=5.0)[:200], 1.0)


def test_held_out_is_the_newest_that_the_cloud_knows(make_view):
    """Of 3 one goes, to the gate of every other user; of 4 two, of 9 four: three to the gate."""
    view = make_view(
        [[1, 2, 3], [4, 5, 6], [7, 8], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7, 8, 9]], num_items=20
    )
    held = hold_out(view, negatives=5, gate=3, seed=0)
    np.testing.assert_array_equal(held.users, [0, 3, 4])
    np.testing.assert_array_equal(held.items[:, 0], [3, 3, 6])
    np.testing.assert_array_equal(held.gate.users, [1, 3, 4, 4, 4])
    np.testing.assert_array_equal(held.gate.items[:, 0], [6, 4, 7, 8, 9])
    left = [held.view.older.of(user).tolist() for user in range(5)]
    assert left == [[1, 2], [4, 5], [7, 8], [1, 2], [1, 2, 3, 4, 5]]
    for own in (held, held.gate):
        for user, row in zip(own.users, own.items, strict=True):
            assert not np.isin(row[1:], view.older.of(int(user))).any()
            assert len(set(row.tolist())) == 6
    # The rows of one user have negatives of their own, whoever else there is.
    assert len({tuple(row[1:]) for row in held.gate.items[2:]}) == 3
    fewer = hold_out(make_view([[1, 2, 3], [4, 5, 6]], num_items=20), negatives=5, gate=1, seed=0)
    np.testing.assert_array_equal(fewer.items[0], held.items[0])
    np.testing.assert_array_equal(fewer.gate.items[0], held.gate.items[0])


def test_of_many_users_some_are_measured_and_the_others_train(make_view):
    histories = [[1, 2, 3, 4, 5 + user % 9] for user in range(40)]
    view = make_view(histories, num_items=20)
    held = hold_out(view, negatives=5, gate=1, seed=3, most_to_stop=8, most_for_gate=5)
    assert len(held.users) == 8
    assert len(held.gate.users) == 5
    left = np.diff(held.view.older.offsets)
    taken = np.isin(range(40), held.users).astype(int) + np.isin(range(40), held.gate.users)
    np.testing.assert_array_equal(left, 5 - taken)
    everybody = hold_out(view, negatives=5, gate=1, seed=3, most_to_stop=40, most_for_gate=40)
    whole = hold_out(view, negatives=5, gate=1, seed=3)
    np.testing.assert_array_equal(everybody.items, whole.items)


def test_a_user_who_was_not_measured_is_not_measured_among_more(make_view):
    """Or the promoted version had trained on what the next job compares it by."""
    histories = [[1, 2, 3, 4, 5 + user % 9] for user in range(40)]
    before = hold_out(
        make_view(histories[:25], num_items=20), negatives=5, gate=1, seed=3, most_for_gate=6
    )
    after = hold_out(
        make_view(histories, num_items=20), negatives=5, gate=1, seed=3, most_for_gate=6
    )
    known = after.gate.users[after.gate.users < 25]
    assert np.isin(known, before.gate.users).all()
    assert (after.gate.users >= 25).any()


def test_one_user_of_three_interactions_is_too_few(make_view):
    with pytest.raises(DataError, match=r"with 4 interactions, or two with 3, .* the most are 3"):
        hold_out(make_view([[1, 2, 3]], num_items=20), negatives=5, gate=4, seed=0)


def test_a_job_never_sees_what_a_device_alone_has(jobs, tmp_path):
    """Neither recent, validation nor test interactions, nor a federated column."""
    config = jobs.small_job(tmp_path)
    dataset = load_dataset(config.data, seed=config.seed)
    split = leave_one_out(dataset)
    history = load_history(config, known=None, progress=False)
    held = hold_out(history.view, negatives=20, gate=4, seed=0)
    for user in split.users.tolist():
        older = device_view(dataset, split, user).history[: len(split.older(user))]
        np.testing.assert_array_equal(history.view.older.of(user), older)
    taken = [4 if user in held.gate.users else 0 for user in held.users]
    np.testing.assert_array_equal(
        held.items[:, 0],
        [split.older(int(user))[-1 - gate] for user, gate in zip(held.users, taken, strict=True)],
    )
    newest = [split.older(int(user))[-4:] for user in held.users]
    np.testing.assert_array_equal(held.gate.items[:, 0], np.concatenate(newest))
    for table in (history.view.items, history.view.users):
        assert all(column.column.side.value == "centralized" for column in table.columns)


def test_all_history_when_the_data_is_the_clouds_own(jobs, tmp_path):
    config = jobs.small_job(tmp_path, history="all")
    dataset = load_dataset(config.data, seed=config.seed)
    history = load_history(config, known=None, progress=False)
    assert len(history.view.older.items) == dataset.num_interactions


def test_known_numbers_stay(jobs, tmp_path):
    config = jobs.small_job(tmp_path)
    dataset = load_dataset(config.data, seed=config.seed)
    known = Vocabulary(dataset.user_tokens[::-1], ("gone", *dataset.item_tokens[::-1]))
    history = load_history(config, known=known, progress=False)
    assert history.vocabulary == known
    plain = cloud_view(dataset, leave_one_out(dataset)).older
    last = dataset.num_users - 1
    expected = [known.items.index(dataset.item_tokens[item - 1]) + 1 for item in plain.of(0)]
    assert history.view.older.of(last).tolist() == expected


def test_a_configuration_reads_back(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text("registry: here\nuplinks: ../log\ndata: {dataset: synthetic}\n")
    config = load_job_config(path, overrides=["start=scratch"])
    assert config.registry == str(tmp_path / "here")
    assert config.start == "scratch"
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_job_config(tmp_path / "again.yaml") == config
    assert JobConfig().cloud.update_epochs == 20


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("start=tepid", r"start: expected one of warm, scratch"),
        ("distribution=many", r"distribution: expected one of none"),
        ("data.nodes=3", r"data\.nodes: a cloud job has no edge nodes"),
        ("exchange.queries=0", r"exchange\.queries"),
        ("gate.minimum=1", r"unknown key gate\.minimum"),
    ],
)
def test_wrong_settings_are_told(override, message):
    with pytest.raises(ConfigError, match=message):
        load_job_config(None, overrides=[override])


def _events(folder):
    (file,) = folder.glob("events/events.out.tfevents.*")
    return [
        (value.tag, event.step, float(tf.make_ndarray(value.tensor)))
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    ]


def test_what_will_be_repeated_is_dropped_from_rows_and_events(tmp_path):
    progress = Progress(tmp_path, show=False)
    progress.begin("fit", epochs=3, done=-1)
    for epoch, loss in enumerate(("", 0.5, 0.25)):
        progress.end_epoch({"phase": "fit", "epoch": epoch, "loss": loss})
    progress.end()
    again = Progress(tmp_path, show=False)
    again.begin("fit", epochs=3, done=1)
    again.end_epoch({"phase": "fit", "epoch": 2, "loss": 0.125})
    again.end()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "phase,epoch,loss", "fit,0,", "fit,1,0.5", "fit,2,0.125",
    ]  # fmt: skip
    assert _events(tmp_path) == [("fit/loss", 1, 0.5), ("fit/loss", 2, 0.125)]


def test_a_job_that_does_not_fit_into_memory_is_refused_with_the_numbers(make_view, monkeypatch):
    history = History(make_view([[1, 2, 3]], num_items=3), Vocabulary(("u",), ("a", "b", "c")), "")
    check_memory(JobConfig(), history)
    monkeypatch.setattr("ecct_tf.budget.available_bytes", lambda: 50_000_000)
    with pytest.raises(ResourceError, match=r"this job would need about 0\.9 GB.*50 MB are avail"):
        check_memory(JobConfig(), history)
