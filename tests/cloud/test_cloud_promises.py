"""What the cloud's docstrings promise of shares, seeds and numbers, held to it."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from cloud.moments import own_positions
from cloud.retraining.config import UplinkLogConfig
from cloud.retraining.phases import fit_phase, later_phase
from ecct_tf.config import CloudConfig, FeatureConfig, SampleConfig
from ecct_tf.knowledge import KnowledgeStore

EMPTY = KnowledgeStore.empty(num_users=24, num_queries=6, embedding_dim=3)


def _update(cloud, knowledge, seed, **chosen):
    asked = {"round_number": 0, "labelled": True, "taught": True, **chosen}
    return cloud.batches.update_rows(np.random.default_rng(seed), knowledge, **asked)


def test_half_of_the_labelled_positions_are_seen_without_the_users_uplink(cloud, knowledge):
    kept, users = [], []
    for seed in range(200):
        rows = _update(cloud, knowledge, seed)
        # The last two users never sent anything: they have no trust to be dropped.
        known = (rows["edge_items"] != 0).any(axis=1)
        kept.append(rows["trust"][known])
        users.append(known.sum())
    trust = np.concatenate(kept)
    # All uplinks are fresh: trust is 1, or 0 where the uplink was hidden.
    assert set(trust.tolist()) == {0.0, 1.0}
    assert len(trust) > 3500
    # Four standard deviations of a fair coin.
    assert trust.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(trust)))


def test_a_pass_holds_each_uplink_once_and_as_many_labelled_positions(cloud, knowledge):
    rows = _update(cloud, knowledge, 0)
    heard = np.flatnonzero(knowledge.rounds >= 0)
    assert len(rows["states"]) == len(rows["teacher_states"]) == len(heard) == 22
    by_item = np.lexsort(rows["teacher_items"].T)
    expected = knowledge.items[heard]
    np.testing.assert_array_equal(rows["teacher_items"][by_item], expected[np.lexsort(expected.T)])
    assert len(_update(cloud, knowledge, 0, taught=False)["states"]) == 22
    assert "states" not in _update(cloud, knowledge, 0, labelled=False)


def test_a_pass_holds_as_many_users_as_allowed_others_each_time(cloud, knowledge, monkeypatch):
    few = dataclasses.replace(cloud.config, update_users=5)
    monkeypatch.setattr(
        cloud, "batches", dataclasses.replace(cloud.batches, config=few), raising=True
    )
    first, second = (_update(cloud, knowledge, seed) for seed in (0, 1))
    assert len(first["states"]) == len(first["teacher_states"]) == 5
    assert not np.array_equal(first["teacher_items"], second["teacher_items"])
    assert len(_update(cloud, knowledge, 0, taught=False)["states"]) == 5


def test_staleness_counts_from_the_round_that_is_given(cloud, knowledge):
    half_life = round(cloud.config.staleness_half_life)
    rows = _update(cloud, knowledge, 0, round_number=half_life, labelled=False)
    np.testing.assert_allclose(rows["teacher_trust"], 0.5)


def test_labelled_rows_are_every_position_once_with_fresh_negatives_and_no_trust(cloud):
    positions = cloud.batches.positions
    first, second = (cloud.batches.labelled_rows(np.random.default_rng(seed)) for seed in (0, 1))
    assert sorted(first["items"][:, 0]) == sorted(positions.items) == sorted(second["items"][:, 0])
    assert first["items"].shape[1] == 1 + cloud.config.negatives
    assert (first["items"][:, 1:] != second["items"][:, 1:]).any()
    np.testing.assert_array_equal(first["labels"].sum(axis=1), 1.0)
    np.testing.assert_array_equal(first["labels"][:, 0], 1.0)
    assert not first["trust"].any()


def test_moments_come_from_as_many_negatives_as_a_device_usually_draws(view):
    users, histories, candidates, _ = own_positions(
        view, features=FeatureConfig(history_length=3, clock=False), seed=0
    )
    assert candidates.shape[1] == 1 + SampleConfig().negatives
    for user, history, row in zip(users, histories, candidates, strict=True):
        older = view.older.of(int(user))
        # The newest that the cloud knows is the positive, seen from what came before it.
        assert row[0] == older[-1]
        assert history[-1] == older[-2]
        assert not np.isin(row[1:], older).any()


def test_fit_gives_the_loss_of_each_epoch_with_negatives_of_its_own(make_cloud, monkeypatch):
    cloud = make_cloud(fit_epochs=3)
    drawn, labelled = [], cloud.batches.labelled_rows

    def watched(rng):
        drawn.append(labelled(rng))
        return drawn[-1]

    # A frozen dataclass: set past its guard, as its own constructor does.
    monkeypatch.setitem(vars(cloud.batches), "labelled_rows", watched)
    losses = cloud.fit()
    assert len(losses) == len(drawn) == 3
    assert len(set(losses)) == 3
    for first, second in ((0, 1), (1, 2)):
        assert (drawn[first]["items"] != drawn[second]["items"]).any()


def _job(seed=0, **changes):
    cloud = CloudConfig(fit_epochs=2, update_epochs=3, batch_size=16, update_batch_size=8)
    return SimpleNamespace(
        seed=seed,
        cloud=SimpleNamespace(**{**vars(cloud), **changes}),
        exchange=SimpleNamespace(use_logits=True),
        uplink_log=UplinkLogConfig(),
    )


def _prepared(knowledge=EMPTY, *, parent=None, warm=False, round_number=0):
    inputs = SimpleNamespace(parent=parent, warm=warm, round_number=round_number)
    return SimpleNamespace(inputs=inputs, knowledge=knowledge)


def _rows(phase, epoch=0):
    rows = phase.rows(epoch)
    return {name: np.asarray(value) for name, value in rows.items()}


def _same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["fit", "history", "uplinks"])
def test_jobs_of_a_chain_draw_other_negatives_and_one_job_draws_its_own_again(
    name, cloud, knowledge
):
    def phase(*, parent=None, seed=0):
        if name == "fit":
            return fit_phase(_job(seed), _prepared(parent=parent), cloud)
        store = knowledge if name == "uplinks" else EMPTY
        return later_phase(_job(seed), _prepared(store, parent=parent, warm=True), cloud)

    first = _rows(phase(parent=1))
    assert _same(first, _rows(phase(parent=1)))
    assert not _same(first, _rows(phase(parent=2)))
    assert not _same(first, _rows(phase()))
    assert not _same(first, _rows(phase(parent=1), epoch=1))
    assert not _same(first, _rows(phase(parent=1, seed=1)))


def test_what_a_job_learns_from_in_which_order(cloud, knowledge):
    fit = fit_phase(_job(), _prepared(), cloud)
    assert (fit.name, fit.epochs, fit.batch_size) == ("fit", 2, 16)
    assert fit_phase(_job(), _prepared(warm=True), cloud) is None
    uplinks = later_phase(_job(), _prepared(knowledge), cloud)
    assert (uplinks.name, uplinks.epochs, uplinks.batch_size) == ("uplinks", 3, 8)
    history = later_phase(_job(), _prepared(warm=True), cloud)
    assert (history.name, history.epochs, history.batch_size) == ("history", 3, 16)
    # A job from scratch has had the history already.
    assert later_phase(_job(), _prepared(), cloud) is None
    assert later_phase(_job(update_epochs=0), _prepared(knowledge), cloud) is None
    assert fit_phase(_job(label_visibility="edge_only"), _prepared(), cloud) is None


def test_uplinks_count_their_age_from_the_jobs_present(cloud, knowledge):
    half_life = round(CloudConfig().staleness_half_life)
    config = _job(label_visibility="edge_only")
    rows = _rows(later_phase(config, _prepared(knowledge, round_number=half_life), cloud))
    np.testing.assert_allclose(rows["teacher_trust"], 0.5)
