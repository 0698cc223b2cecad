"""A planted secret is found where it was planted, and noise tells nothing."""

import dataclasses

import numpy as np
import pytest

from ecct_tf.audit.columns import Secret, probe_column, secrets_of
from ecct_tf.audit.features import CentralKnowledge, received_features
from ecct_tf.audit.likelihood import likelihood_ratios
from ecct_tf.audit.membership import CloudScores, membership
from ecct_tf.audit.received import answers_of
from ecct_tf.audit.reconstruction import Catalog, newest_ranks, reconstruction
from ecct_tf.data import Column, EncodedColumn, Kind, Side

SEEDS = (0,)
# Of the fixture `noise`.
USERS, ITEMS = 120, 60
EVERYBODY = np.arange(USERS)


@pytest.fixture(scope="module")
def knowledge():
    rng = np.random.default_rng(9)
    items = rng.normal(size=(ITEMS + 1, 4))
    return CentralKnowledge(rng.normal(size=(USERS, 5)), items, rng.uniform(1, 50, ITEMS + 1))


def _column(received, knowledge, labels):
    told = received_features(answers_of(received), knowledge, EVERYBODY)
    secret = Secret("gender", labels)
    return probe_column(secret, known=knowledge.users, received=told, seeds=SEEDS)


@pytest.mark.parametrize("where", ["embeddings", "logits", "spread"])
def test_uplinks_that_carry_a_private_column_are_seen(noise, knowledge, where):
    labels = np.random.default_rng(1).integers(0, 2 if where != "logits" else 3, USERS)
    received, own = noise(), np.repeat(labels, 2)[:, None]
    if where == "embeddings":
        received.embeddings[:, :, 1] += own
    elif where == "logits":
        received.logits[:] += 1.5 * own
    else:
        received.embeddings[:] *= 1.0 + own[:, :, None]
    auc, accuracy = _column(received, knowledge, labels)
    assert auc.leaks
    assert accuracy.leaks
    assert auc.both.value > 0.85 > 0.65 > auc.known.value


@pytest.mark.parametrize("seed", [0, 1])
def test_uplinks_of_noise_tell_no_private_column(noise, knowledge, seed):
    labels = np.random.default_rng(seed).integers(0, 2, USERS)
    for finding in _column(noise(seed), knowledge, labels):
        # Chance may make the attacker worse.
        assert finding.added.low <= 0
        assert finding.received.low <= finding.prior <= finding.received.high


def test_uplinks_that_repeat_what_the_cloud_knows_add_nothing(noise, knowledge):
    labels = (knowledge.users[:, 0] > 0).astype(np.int64)
    received = noise()
    received.logits[:] += 2.0 * np.repeat(labels, 2)[:, None]
    auc, _ = _column(received, knowledge, labels)
    assert min(auc.known.value, auc.received.value) > 0.9
    assert auc.added.value < 0.03


def _scores(pairs, seed=3):
    rng = np.random.default_rng(seed)
    return CloudScores(*rng.normal(size=(4, pairs)))


@pytest.fixture(scope="module")
def members(noise_answers):
    return np.random.default_rng(5).random(len(noise_answers.users)) < 0.15


def _membership(answers, members):
    popularity = np.ones(ITEMS + 1)
    found = membership(answers, members, _scores(len(members)), popularity, seeds=SEEDS)
    return {(each.method, each.measure): each for each in found}


@pytest.mark.parametrize("where", ["logit", "embedding"])
def test_answers_that_tell_members_are_seen(noise_answers, members, where):
    values = getattr(noise_answers, where).copy()
    values += 2.0 * (members if where == "logit" else members[:, None])
    found = _membership(dataclasses.replace(noise_answers, **{where: values}), members)
    for method in ("logistic regression", "likelihood ratio"):
        for measure in ("AUC", "TPR at 1 % FPR"):
            assert found[method, measure].leaks, (method, measure)
    assert found["likelihood ratio", "AUC"].received.value > 0.85
    assert not found["the cloud's own score", "AUC"].leaks


def test_answers_of_noise_tell_no_members(noise_answers, members):
    found = _membership(noise_answers, members)
    for method in ("logistic regression", "likelihood ratio"):
        finding = found[method, "AUC"]
        assert finding.added.low <= 0 <= finding.added.high
        assert finding.received.low <= 0.5 <= finding.received.high


def test_a_ratio_is_that_of_the_two_densities():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(400), 10)
    members = rng.random(len(users)) < 0.5
    values = rng.normal(size=len(users)) + 2.0 * members
    ratios = likelihood_ratios(
        values[:, None],
        items=np.ones(len(users), np.int64),
        users=users,
        members=members,
        central=np.zeros((len(users), 1)),
        seed=0,
    )
    # log N(x; 2, 1) - log N(x; 0, 1) = 2 x - 2, and the deviation from N(0, 1) is x.
    assert np.abs(ratios.online - (2 * values - 2)).mean() < 0.1
    assert np.abs(ratios.offline - values).mean() < 0.1


@pytest.fixture(scope="module")
def catalog(knowledge):
    rng = np.random.default_rng(6)
    drawn = [rng.choice(np.arange(1, ITEMS + 1), 12, replace=False) for _ in range(USERS)]
    before, after = rng.normal(size=(2, USERS, ITEMS + 1)).astype(np.float32)
    older, newest = [each[:8] for each in drawn], [each[8:] for each in drawn]
    return Catalog(EVERYBODY, older, newest, before, after, knowledge.popularity)


def test_newest_items_that_answers_name_are_reconstructed(noise_answers, catalog):
    newest = np.concatenate([u * 100 + items for u, items in enumerate(catalog.newest)])
    named = np.isin(noise_answers.users * 100 + noise_answers.items, newest)
    logit = noise_answers.logit + 5.0 * named
    answers = dataclasses.replace(noise_answers, logit=logit, newest_logit=logit)
    found = {(f.method, f.measure): f for f in reconstruction(catalog, answers, k=3, seeds=SEEDS)}
    assert found["logistic regression", "HR@3"].leaks
    assert found["logistic regression", "items below"].leaks
    assert not found["the cloud's own score", "HR@3"].leaks


def test_noise_reconstructs_nothing(noise_answers, catalog):
    found = reconstruction(catalog, noise_answers, k=3, seeds=SEEDS)
    for finding in found:
        if finding.method == "logistic regression":
            assert finding.added.low <= 0 <= finding.added.high
    # 3 of the 60 - 8 - 4 items and itself.
    assert found[0].prior == pytest.approx(3 / 49)


def test_ranks_leave_out_what_is_known_and_the_other_newest():
    scores = np.array([[0.0, 9.0, 5.0, 4.0, 5.0, 3.0]])
    catalog = Catalog(
        np.array([0]), [np.array([1])], [np.array([2, 5])], scores, scores, np.ones(6)
    )
    # Item 2 is beaten by no item but ties with 4; item 5 by 3 and 4; 1 is known.
    assert newest_ranks(scores, catalog).tolist() == [2.0, 3.0]


def test_columns_become_classes():
    def column(name, kind, values, vocabulary=()):
        return EncodedColumn(Column(name, "user", Side.FEDERATED, kind), values, vocabulary)

    codes = np.array([1] * 30 + [2] * 20 + [3] * 6 + [4] * 6 + [0] * 2, np.int32)
    hot = np.zeros((64, 2), np.float32)
    hot[:20, 0] = 1.0
    secrets, refused = secrets_of(
        [
            column("job", Kind.CATEGORICAL, codes, ("a", "b", "c", "d")),
            column("pay", Kind.NUMERIC, np.arange(64, dtype=np.int32)),
            column("likes", Kind.MULTI_CATEGORICAL, hot, ("tea", "ink")),
            column("town", Kind.CATEGORICAL, np.ones(64, np.int32), ("x",)),
        ],
        np.arange(64),
    )
    by_name = {secret.name: np.unique(secret.labels, return_counts=True) for secret in secrets}
    # Two rare jobs stand together; the two users without a job are left out.
    assert [part.tolist() for part in by_name["job"]] == [[-1, 0, 1, 2], [2, 30, 20, 12]]
    # Whose number is unknown is left out as well.
    pay = [part.tolist() for part in by_name["pay (above its median)"]]
    assert pay == [[-1, 0, 1], [1, 32, 31]]
    assert by_name["likes=tea"][1].tolist() == [44, 20]
    assert set(refused) == {"likes=ink", "town"}
