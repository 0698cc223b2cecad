"""What needs rows of users is refused where only sums over devices leave them."""

import pytest

from ecct_tf.config import load_config
from ecct_tf.errors import ConfigError

ITEM = "exchange.rows=item"
LATE = "participation.delay.max_rounds=2"


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["exchange.uplink_log=run:uplinks"], r"exchange\.uplink_log: got run:uplinks"),
        (["exchange.noise_multiplier=1"], r"exchange\.item_sums\.noise_multiplier; expected 0"),
        (["runtime.real_devices=2"], r"runtime\.real_devices: got 2 .* send rows"),
        ([LATE], r"participation\.delay\.max_rounds: got 2"),
        (["attack.share=0.1", "attack.kind=push"], r"attack\.kind: got push"),
        (["exchange.stage_1_rounds=2"], r"the first 2 of 10 rounds .* nothing would cross"),
        (["exchange.logits=false"], r"item_sums\.embeddings: got false"),
    ],
)
def test_what_needs_rows_is_refused_by_name(overrides, named):
    load_config(overrides=overrides)
    with pytest.raises(ConfigError, match=named):
        load_config(overrides=[ITEM, *overrides])
    # Where nothing goes up, or nothing is exchanged, there are no rows to miss.
    if "attack.kind=push" not in overrides:
        load_config(overrides=[ITEM, *overrides, "exchange.up=false"])


@pytest.mark.parametrize(
    "overrides",
    [
        ["attack.share=0.1", "attack.kind=flip"],
        ["exchange.item_sums.embeddings=true", "exchange.logits=false"],
        ["method=fedavg", LATE],
    ],
)
def test_what_does_not_is_taken(overrides):
    load_config(overrides=[ITEM, *overrides])
