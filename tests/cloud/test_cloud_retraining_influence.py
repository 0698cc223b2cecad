"""What one device and one item may teach the cloud, by hand."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cloud.influence import answer_weights, bounded_answers, trimmed_answers
from cloud.retraining.phases import later_phase
from cloud.retraining.preparation import prepare
from cloud.retraining.start import begin, starting_space
from ecct_tf.config import CloudConfig
from ecct_tf.errors import ConfigError
from ecct_tf.knowledge import KnowledgeStore


def store(items, *, logit_rounds=None):
    items = np.array(items, np.int32)
    rounds = np.zeros(len(items), np.int32)
    return KnowledgeStore.from_arrays(
        {
            "items": items,
            "embeddings": np.zeros((*items.shape, 1), np.float32),
            "logits": np.zeros(items.shape, np.float32),
            "rounds": rounds,
            "logit_rounds": rounds if logit_rounds is None else np.array(logit_rounds, np.int32),
        }
    )


def weights(knowledge, *, trust=None, device=1.0, item=1.0):
    trust = np.ones(len(knowledge.items), np.float32) if trust is None else np.array(trust)
    return answer_weights(
        knowledge, trust=trust, max_device_share=device, max_item_share=item
    ).tolist()


def test_an_item_counts_once_in_an_uplink():
    assert weights(store([[1, 2, 3, 4], [5, 5, 5, 5], [6, 7, 6, 8]])) == [
        [1, 1, 1, 1], [0.25] * 4, [0.5, 1, 0.5, 1],
    ]  # fmt: skip


def _answered(items, logits, *, logit_rounds=None):
    return dataclasses.replace(
        store(items, logit_rounds=logit_rounds), logits=np.array(logits, np.float32)
    )


def test_outlying_answers_are_pulled_in_to_the_others_about_the_item():
    knowledge = _answered([[9], [9], [9], [9], [9]], [[1], [2], [3], [4], [12]])
    # The median, and the quartiles, of five.
    assert trimmed_answers(knowledge, share=0.5).logits.ravel().tolist() == [3.0] * 5
    assert trimmed_answers(knowledge, share=0.25).logits.ravel().tolist() == [2, 2, 3, 4, 4]
    assert trimmed_answers(knowledge, share=0.0) is knowledge


def test_an_item_with_few_answers_is_bounded_by_all():
    logits = [[1, 12], [2, 2], [3, 3]]
    trimmed = trimmed_answers(_answered([[9, 5], [9, 6], [9, 7]], logits), share=0.25).logits
    # All six: 1, 2, 2, 3, 3, 12, with quartiles 2 and 3; of item 9: 1.5 and 2.5.
    assert trimmed.tolist() == [[1.5, 3], [2, 2], [2.5, 3]]
    # Who sent no logits is left as it was, and counts for nobody.
    silent = _answered([[9, 5], [9, 6], [9, 7]], logits, logit_rounds=[0, -1, 0])
    assert trimmed_answers(silent, share=0.5).logits[1].tolist() == [2, 2]


def test_bounds_of_a_run_are_off_by_default():
    knowledge = _answered([[9, 1], [9, 2], [9, 3], [9, 4]], [[6, 0]] * 4)
    assert bounded_answers(knowledge, CloudConfig(), round_number=0) == (knowledge, None)
    config = CloudConfig(max_item_share=0.25)
    kept, found = bounded_answers(knowledge, config, round_number=0)
    assert kept is knowledge
    assert found.tolist() == [[0.5, 1]] * 4


def test_an_item_has_a_share_at_most():
    # Item 9 has 4 of 8 answers; a quarter of 8 is 2, so each counts half.
    knowledge = store([[9, 1], [9, 2], [9, 3], [9, 4]])
    assert weights(knowledge, item=0.25) == [[0.5, 1]] * 4
    # With the trust in two of them gone it has 2 of 4, of which a quarter is 1.
    assert weights(knowledge, trust=[1, 1, 0, 0], item=0.25) == [[0.5, 1]] * 4
    assert weights(knowledge, item=0.5) == [[1, 1]] * 4


def test_few_devices_teach_less():
    knowledge = store([[1, 2], [3, 4], [5, 6]], logit_rounds=[0, -1, 0])
    assert weights(knowledge, device=0.25) == [[0.5, 0.5], [0, 0], [0.5, 0.5]]
    assert weights(knowledge, device=0.5) == [[1, 1], [0, 0], [1, 1]]
    assert weights(store([[1, 2]] * 2, logit_rounds=[-1, -1])) == [[0, 0], [0, 0]]


def test_weights_scale_what_an_answer_teaches(cloud, knowledge, everybody):
    rng = np.random.default_rng(0)
    given = np.zeros(knowledge.items.shape, np.float32)
    options = {"round_number": 0, "labelled": False, "taught": True}

    def loss(answers):
        rows = cloud.batches.update_rows(rng, knowledge, answer_weights=answers, **options)
        return float(cloud.model.compute_loss({k: tf.constant(v) for k, v in rows.items()}))

    plain = loss(None)
    assert plain > 0
    assert loss(given) == 0
    assert loss(given + 1) == pytest.approx(plain, rel=1e-5)
    assert loss(given + 0.5) == pytest.approx(plain / 2, rel=1e-5)
    parts = [loss(np.where(everybody[:, None] == user, 1, given)) for user in everybody]
    assert sum(parts) == pytest.approx(plain, rel=1e-4)


def test_a_job_weighs_its_answers(jobs, tmp_path):
    jobs.write_log(tmp_path, range(8))
    config = jobs.small_job(tmp_path)
    prepared = prepare(config, tmp_path / "job", is_chief=True, show=False)
    view = prepared.validation.view
    cloud = begin(config, view, None, space=starting_space(config, view, None))
    rows = later_phase(config, prepared, cloud).rows(0)
    # 8 of the 20 devices that it takes for a whole teacher.
    np.testing.assert_allclose(rows["teacher_weights"].max(), 8 * 0.05, rtol=1e-6)
    for name in ("max_device_share", "max_item_share"):
        for value in (0.0, 1.5, float("nan")):
            with pytest.raises(ConfigError, match=name):
                dataclasses.replace(config.uplink_log, **{name: value})
