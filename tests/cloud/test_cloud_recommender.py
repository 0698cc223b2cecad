"""The cloud in a run: fitting, queries, and learning from uplinks."""

import dataclasses

import numpy as np
import pytest

from cloud import moments
from cloud.chunks import in_chunks
from ecct_tf.errors import CheckpointError, ConfigError, DivergenceError
from ecct_tf.knowledge import KnowledgeStore


def _empty(view, like):
    return KnowledgeStore.empty(
        num_users=view.num_users,
        num_queries=like.items.shape[1],
        embedding_dim=like.embeddings.shape[2],
    )


def _gap(cloud, knowledge, users):
    """Mean distance of the cloud's tempered probabilities from the edge's, levels aside."""
    scores = cloud.scores(users, knowledge.items[users], knowledge=None, round_number=0)

    def soft(logits):
        centred = logits - logits.mean(axis=1, keepdims=True)
        return 1 / (1 + np.exp(-centred / cloud.config.temperature))

    return np.abs(soft(scores) - soft(knowledge.logits[users])).mean()


def _assert_weights_equal(one, other):
    others = other.snapshot()
    for name, value in one.snapshot().items():
        # What is not published yet has more to optimise.
        if name.startswith("model/"):
            np.testing.assert_array_equal(value, others[name], err_msg=name)


def test_queries_have_their_form(cloud, everybody):
    queries = cloud.queries(everybody, round_number=0)
    assert queries.shape == (len(everybody), cloud.num_queries)
    assert queries.dtype == np.int32
    assert 1 <= queries.min() <= queries.max() <= 40


@pytest.mark.parametrize("num_queries", [6, 30])
def test_queries_never_ask_about_known_history(num_queries, make_cloud, view, everybody):
    """With 30 queries the best guesses alone reach through the whole small catalog."""
    cloud = make_cloud(num_queries=num_queries)
    for number in range(4):
        queries = cloud.queries(everybody, round_number=number)
        for user in everybody:
            assert not np.isin(queries[user], view.older.of(int(user))).any()


def test_more_queries_than_items_are_possible(make_cloud, everybody):
    queries = make_cloud(num_queries=100).queries(everybody, round_number=0)
    assert queries.shape == (len(everybody), 100)


def test_queries_depend_on_seed_round_and_user_alone(make_cloud, cloud, everybody):
    first = cloud.queries(everybody, round_number=3)
    np.testing.assert_array_equal(make_cloud().queries(everybody, round_number=3), first)
    np.testing.assert_array_equal(cloud.queries(everybody[4:7], round_number=3), first[4:7])
    np.testing.assert_array_equal(
        cloud.queries(everybody[::-1].copy(), round_number=3)[::-1], first
    )
    assert (cloud.queries(everybody, round_number=4) != first).any()
    assert (make_cloud(seed=1).queries(everybody, round_number=3) != first).any()


def test_the_top_share_asks_about_best_guesses(make_cloud, view, everybody):
    cloud = make_cloud(query_top_share=1.0, num_queries=4)
    items = np.tile(np.arange(1, 41, dtype=np.int32), (len(everybody), 1))
    scores = cloud.scores(everybody, items, knowledge=None, round_number=0)
    queries = cloud.queries(everybody, round_number=0)
    for user in everybody:
        scores[user, view.older.of(int(user)) - 1] = -np.inf
        pool = 1 + np.argsort(-scores[user])[:16]
        assert np.isin(queries[user], pool).all()
        assert len(set(queries[user].tolist())) == 4


def test_fitting_lowers_the_loss_and_repeats(make_cloud):
    first, second = (make_cloud(fit_epochs=6, negatives=8, l2=1e-5) for _ in range(2))
    losses = first.fit()
    assert len(losses) == 6
    assert losses[-1] < 0.9 * losses[0]
    assert second.fit() == losses
    _assert_weights_equal(first, second)


def test_what_was_built_before_does_not_matter(make_cloud, cloud):
    make_cloud(seed=9)
    _assert_weights_equal(make_cloud(), cloud)


def test_updates_close_the_gap_to_planted_logits(make_cloud, knowledge, everybody):
    """The user side alone learns once the item table is out, and only who sent logits gains."""
    cloud = make_cloud(l2=1e-5, distillation_weight=4.0, label_visibility="edge_only")
    published = cloud.publish()
    users = everybody[:-2]
    before = _gap(cloud, knowledge, users)
    losses = [
        cloud.update(knowledge, round_number=number, use_logits=True)["cloud_loss"]
        for number in range(8)
    ]
    assert losses[-1] < 0.8 * losses[0]
    assert _gap(cloud, knowledge, users) < 0.9 * before
    # Downlinks must go on fitting the item table that devices hold.
    again = cloud.publish()
    np.testing.assert_array_equal(again.cloud, published.cloud)
    np.testing.assert_array_equal(again.bias, published.bias)


def test_before_it_is_published_the_item_side_learns_too(make_cloud):
    cloud = make_cloud(fit_epochs=1)
    items = np.arange(1, 41)
    before = cloud.model.item_vectors(items).numpy(), cloud.model.item_logits(items).numpy()
    cloud.fit()
    assert np.abs(cloud.model.item_vectors(items) - before[0]).max() > 1e-4
    assert np.abs(cloud.model.item_logits(items) - before[1]).max() > 1e-4


@pytest.mark.slow
def test_edge_only_reads_no_label(make_cloud, knowledge):
    def relabelled(visibility, *, changed):
        cloud = make_cloud(label_visibility=visibility, update_epochs=1)
        if changed:
            own = cloud.batches.positions
            changed = dataclasses.replace(own, items=own.items % 40 + 1)
            cloud.batches = dataclasses.replace(cloud.batches, positions=changed)
        cloud.fit()
        cloud.update(knowledge, round_number=0, use_logits=True)
        return cloud

    _assert_weights_equal(
        relabelled("edge_only", changed=False), relabelled("edge_only", changed=True)
    )
    with pytest.raises(AssertionError):  # control: otherwise labels do matter
        _assert_weights_equal(relabelled("both", changed=False), relabelled("both", changed=True))


@pytest.mark.slow
def test_stage_1_withholds_the_logits(make_cloud, knowledge):
    """Without logits only the labels teach, and edge_only has nothing to learn from."""
    deaf = make_cloud(label_visibility="edge_only")
    before = deaf.snapshot()
    assert deaf.fit() == []
    assert deaf.update(knowledge, round_number=0, use_logits=False) == {}
    for name, value in deaf.snapshot().items():
        np.testing.assert_array_equal(value, before[name])
    other = dataclasses.replace(knowledge, logits=-knowledge.logits)
    pair = [make_cloud(update_epochs=1) for _ in range(2)]
    for cloud, store in zip(pair, (knowledge, other), strict=True):
        assert cloud.update(store, round_number=0, use_logits=False)["cloud_loss"] > 0
    _assert_weights_equal(*pair)


def test_labels_teach_the_fusion(make_cloud, knowledge, everybody):
    cloud = make_cloud(answer_ridge=0.0, staleness_half_life=5.0)
    for number in range(2):
        cloud.update(knowledge, round_number=number, use_logits=False)
    alone = cloud.user_embeddings(everybody, knowledge=None, round_number=2)
    fused = cloud.user_embeddings(everybody, knowledge=knowledge, round_number=2)
    assert (np.abs(fused - alone).max(axis=1)[:-2] > 1e-4).all()
    np.testing.assert_array_equal(fused[-2:], alone[-2:])  # they sent no uplink
    stale = cloud.user_embeddings(everybody, knowledge=knowledge, round_number=12)
    ratio = np.abs(stale - alone)[:-2].sum() / np.abs(fused - alone)[:-2].sum()
    assert ratio == pytest.approx(0.25, abs=0.01)  # two half-lives of five rounds later


@pytest.mark.parametrize("use_logits", [False, True])
def test_an_update_without_uplinks_does_nothing(use_logits, make_cloud, view, knowledge):
    cloud = make_cloud()
    before = cloud.snapshot()
    store = _empty(view, knowledge)
    assert cloud.update(store, round_number=0, use_logits=use_logits) == {}
    for name, value in cloud.snapshot().items():
        np.testing.assert_array_equal(value, before[name])


def test_uplinks_without_logits_are_no_teachers(make_cloud, knowledge):
    """In the first round of stage 2 the store may hold nothing but stage 1 uplinks."""
    quiet = dataclasses.replace(
        knowledge, logits=0 * knowledge.logits, logit_rounds=np.full_like(knowledge.rounds, -1)
    )
    assert (
        make_cloud(label_visibility="edge_only").update(quiet, round_number=1, use_logits=True)
        == {}
    )
    assert "cloud_loss" in make_cloud(update_epochs=1).update(
        quiet, round_number=1, use_logits=True
    )


def test_users_without_history_get_finite_answers(make_view, make_cloud):
    rng = np.random.default_rng(0)
    histories = [[], *(rng.choice(np.arange(1, 21), 6, replace=False) for _ in range(8)), [3]]
    cloud = make_cloud(make_view(histories, num_items=20), fit_epochs=1)
    cloud.fit()
    users = np.array([0, 9], np.int32)
    assert np.isfinite(cloud.user_embeddings(users, knowledge=None, round_number=0)).all()
    assert np.isfinite(cloud.publish().cloud).all()
    assert np.isfinite(cloud.publish().feature_scale).all()
    queries = cloud.queries(users, round_number=0)
    assert 1 <= queries.min() <= queries.max() <= 20
    # No columns, no category block.
    assert [block.name for block in cloud.publish().blocks] == [
        "preference",
        "sequence",
        "next item",
    ]


def test_a_small_catalog_bounds_the_rank(make_view, make_cloud):
    cloud = make_cloud(make_view([[1, 2, 3], [3, 4, 5], [5, 1]], num_items=5), rank=24)
    assert cloud.embedding_dim == 2 * 4 + 2
    assert np.isfinite(cloud.publish().cloud).all()


def test_a_tail_of_nothing_is_refused(make_cloud):
    with pytest.raises(ConfigError, match=r"cloud\.tail"):
        make_cloud(tail=0.0)


def test_a_snapshot_brings_everything_back(make_cloud, knowledge):
    cloud = make_cloud()
    cloud.publish()
    start = cloud.snapshot()
    first = cloud.update(knowledge, round_number=3, use_logits=True)
    learned = cloud.snapshot()
    assert any(not np.array_equal(learned[name], start[name]) for name in start)
    assert {name.partition("/")[0] for name in start} == {"model", "optimizer"}
    cloud.restore(start)
    assert cloud.update(knowledge, round_number=3, use_logits=True) == first
    for name, value in cloud.snapshot().items():
        np.testing.assert_array_equal(value, learned[name], err_msg=name)


def test_a_snapshot_without_the_tower_of_downlinks_takes_the_user_tower(
    make_cloud, knowledge, everybody
):
    cloud = make_cloud(update_epochs=1)
    cloud.publish()
    cloud.update(knowledge, round_number=3, use_logits=True)
    full = cloud.snapshot()
    old = {name: value for name, value in full.items() if not name.startswith("model/sent_")}
    assert len(full) - len(old) == 6
    later = make_cloud()
    later.freeze()
    later.restore(old)
    for name, value in later.snapshot().items():
        expected = full[name.replace("/sent_", "/user_")]
        np.testing.assert_array_equal(value, expected, err_msg=name)
    np.testing.assert_array_equal(
        later.downlinks(everybody, round_number=4),
        later.user_embeddings(everybody, knowledge=None, round_number=4),
    )


def test_a_snapshot_with_half_a_tower_of_downlinks_is_refused(make_cloud):
    cloud = make_cloud()
    start = cloud.snapshot()
    half = {name: value for name, value in start.items() if "sent_hidden" not in name}
    with pytest.raises(CheckpointError, match="in 2 variables, the first model/sent_hidden"):
        cloud.restore(half)


def test_a_foreign_snapshot_is_refused(make_cloud):
    cloud = make_cloud()
    start = cloud.snapshot()
    name = next(iter(start))
    with pytest.raises(CheckpointError, match=r"does not fit.*--set start=scratch"):
        cloud.restore({**start, name: np.zeros((1, 1), np.float32)})
    with pytest.raises(CheckpointError, match="received None"):
        cloud.restore({key: value for key, value in start.items() if key != name})


@pytest.mark.parametrize("learn", ["fit", "update"])
def test_learning_that_diverges_is_refused_with_its_settings(learn, make_cloud, knowledge):
    cloud = make_cloud(learning_rate=3e38, fit_epochs=3, update_epochs=3)
    steps = {
        "fit": cloud.fit,
        "update": lambda: cloud.update(knowledge, round_number=4, use_logits=True),
    }
    with pytest.raises(DivergenceError, match=rf"{learn}.*cloud\.learning_rate=3e\+38"):
        steps[learn]()


def test_moments_of_some_users_at_a_time_are_the_same(make_cloud, monkeypatch):
    whole = make_cloud().publish()
    sizes = []

    def few(compute, *rows):
        sizes.append(len(rows[0]))
        return in_chunks(compute, *rows, size=3)

    monkeypatch.setattr(moments, "in_chunks", few)
    parts = make_cloud().publish()
    assert sizes[0] > 3
    np.testing.assert_allclose(parts.feature_mean, whole.feature_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts.feature_scale, whole.feature_scale, rtol=1e-5)
