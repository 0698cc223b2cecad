"""Users who touched nearly everything: named by their own id, with advice that works."""

import numpy as np
import pytest

from cloud.retraining import JobConfig
from cloud.retraining.history import hold_out, load_history
from ecct_tf.config import DataConfig
from ecct_tf.data import (
    build_dataset,
    evaluation_candidates,
    leave_one_out,
    split_dataset,
    split_report,
    temporal_split,
    without_heavy_users,
)
from ecct_tf.data.schema import FeatureSchema
from ecct_tf.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def shop():
    """Forty customers with 10 of 60 products each, and a till that sold 58 of them."""
    import pandas as pd

    rows = [(f"c{user}", (7 * user + step) % 60) for step in range(10) for user in range(40)]
    rows = [("till", item) for item in range(58)] + rows
    frame = pd.DataFrame(rows, columns=["user", "item"]).assign(timestamp=np.arange(len(rows)))
    return build_dataset(name="shop", schema=FeatureSchema("shop", ()), interactions=frame)


def _draw(dataset, split, negatives):
    return evaluation_candidates(
        split, part="test", negatives=negatives, seed=0, user_tokens=dataset.user_tokens
    )


def test_the_user_is_named_with_advice_that_works(shop):
    split = leave_one_out(shop)
    with pytest.raises(DataError) as caught:
        _draw(shop, split, 20)
    message = str(caught.value)
    assert message.startswith("1 of 41 users touched so many of the 60 items")
    assert "user 'till' touched 58 (leaves 2)" in message
    assert "evaluation.negatives=20" in message
    assert "lower evaluation.negatives to 2 or less" in message
    assert "data.max_item_share=0.666 (1 of 41 users)" in message
    assert len(_draw(shop, split, 2).users) == 41
    assert len(_draw(shop, without_heavy_users(split, max_item_share=0.666), 20).users) == 40


def test_advice_that_cannot_work_is_not_given(make_plain):
    rows = [(user, item, item) for user in range(3) for item in range(1, 7)]
    split = leave_one_out(make_plain(rows, num_users=3, num_items=6))
    with pytest.raises(DataError) as caught:
        evaluation_candidates(split, part="test", negatives=5, seed=0)
    # Nothing is left of the catalogue, and all users are alike.
    assert "Ways out: bring a larger catalogue." in str(caught.value)


def test_who_is_left_out_trains_nobody_and_is_counted(shop):
    split = split_dataset(DataConfig(max_item_share=0.5), shop)
    till = shop.user_tokens.index("till")
    assert split.heavy_users.tolist() == [till]
    assert not split.includes(till)
    assert len(split.train(till)) == 0
    assert split.excluded_users == 0
    report = split_report(shop, split)
    assert (report.devices, report.excluded_users, report.heavy_users) == (40, 0, 1)
    assert (report.heavy_interactions, report.heavy_examples) == (58, (("till", 58),))


def test_in_the_temporal_split_and_in_a_cloud_job_too(shop, monkeypatch):
    split = without_heavy_users(
        temporal_split(shop, validation_fraction=0.2, test_fraction=0.2), max_item_share=0.5
    )
    assert shop.user_tokens.index("till") not in split.users
    monkeypatch.setattr("cloud.retraining.history.load_dataset", lambda *_, **__: shop)
    history = load_history(JobConfig(history="all"), known=None, progress=False)
    with pytest.raises(DataError, match=r"validation\.negatives=20 asks for: user 'till' touched"):
        hold_out(history.view, negatives=20, gate=4, seed=0, user_tokens=history.vocabulary.users)
    for history in ("older", "all"):
        config = JobConfig(history=history, data=DataConfig(max_item_share=0.5))
        view = load_history(config, known=None, progress=False).view
        assert len(view.older.of(shop.user_tokens.index("till"))) == 0


def test_the_border_itself_is_allowed_and_nobody_left_is_an_error(shop):
    split = leave_one_out(shop)
    assert len(without_heavy_users(split, max_item_share=58 / 60).users) == 41
    assert without_heavy_users(split, max_item_share=1.0) is split
    with pytest.raises(DataError, match=r"each of the 41 users touched more than 0\.1 of the 60"):
        without_heavy_users(split, max_item_share=0.1)
    for share in (0, 1.5):
        with pytest.raises(ConfigError, match=r"data\.max_item_share"):
            DataConfig(max_item_share=share)
