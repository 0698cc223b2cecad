"""`ecct data check` and a run say yes and no alike; nothing is trained here."""

import logging

import numpy as np
import pandas as pd
import pytest

from ecct_tf.cli import main
from ecct_tf.config import load_config
from ecct_tf.data import Column, FeatureSchema, Kind, Side, build_dataset
from ecct_tf.errors import ConfigError, DataError
from ecct_tf.simulation.experiment import build_experiment

# What was met, each as its generator: name, settings, and what both say; None for yes.
FOUR_EACH = [(f"u{u}", f"i{(u * 3 + n) % 60}") for u in range(20) for n in range(4)]
FIVE_EACH = [(f"u{u}", f"i{(u * 3 + n) % 60}") for u in range(20) for n in range(5)]
POWER_USER = FIVE_EACH + [("bot", f"i{n}") for n in range(60)]
SMALL = [(f"u{u}", f"i{(u + n) % 10}") for u in range(20) for n in range(5)]
CASES = [
    (FOUR_EACH, ["evaluation.negatives=20"], "at most 1 older interaction of each user"),
    (FIVE_EACH, ["evaluation.negatives=20"], "Bring a user with 3 or more older ones"),
    (FIVE_EACH, ["evaluation.negatives=20", "method=dccl"], "lower data.recent_fraction."),
    (FIVE_EACH, ["evaluation.negatives=20", "edge.start=random"], None),
    (FIVE_EACH, ["evaluation.negatives=20", "method=fedavg"], None),
    (
        FIVE_EACH,
        ["evaluation.negatives=20", "data.recent_fraction=0.9"],
        "Lower data.recent_fraction to 0.33 or less",
    ),
    (FOUR_EACH, ["evaluation.negatives=20", "method=popularity", "baselines=false"], None),
    (POWER_USER, ["evaluation.negatives=20"], "user 'bot' touched 60 (leaves 0)"),
    (POWER_USER, ["evaluation.negatives=20", "data.max_item_share=0.5", "edge.start=random"], None),
    (SMALL, ["evaluation.negatives=5", "cloud.rank=4"], "evaluation.k: expected less than the 6"),
    (SMALL, ["evaluation.negatives=5", "evaluation.k=3"], "cloud.rank: expected at most the numb"),
    (
        SMALL,
        ["evaluation.negatives=5", "evaluation.k=3", "cloud.rank=4", "edge.start=random"],
        None,
    ),
    (FIVE_EACH, ["evaluation.negatives=20", "data.recent_fraction=1"], "edge.start=random"),
    (
        FIVE_EACH,
        ["evaluation.negatives=20", "data.recent_fraction=1", "edge.start=random"],
        "item_increments.positions",
    ),
    (
        FOUR_EACH,
        [
            "evaluation.negatives=20",
            "data.recent_fraction=1",
            "edge.start=random",
            "exchange.item_increments.positions=8",
        ],
        None,
    ),
    (
        FIVE_EACH,
        ["evaluation.negatives=20", "edge.start=random", "data.nodes=21"],
        "nodes must be in 1..20",
    ),
]


@pytest.fixture
def write(tmp_path):
    def write(rows):
        lines = [f"{user},{item},{time}" for time, (user, item) in enumerate(rows)]
        (tmp_path / "r.csv").write_text("\n".join(["user,item,timestamp", *lines]))
        (tmp_path / "schema.yaml").write_text("name: x\ninteractions: {path: r.csv}\n")
        return tmp_path / "schema.yaml"

    return write


@pytest.mark.parametrize(("rows", "settings", "expected"), CASES)
def test_the_check_and_the_run_agree(write, monkeypatch, capsys, rows, settings, expected):
    schema = write(rows)
    monkeypatch.setenv("COLUMNS", "200")
    options = [part for setting in settings for part in ("--set", setting)]
    monkeypatch.setattr("sys.argv", ["ecct", "data", "check", str(schema), *options])
    code = 0
    try:
        main()
    except SystemExit as left:
        code = left.code or 0
    printed = capsys.readouterr()

    def run():
        given = ["data.dataset=files", f"data.schema={schema}", *settings]
        build_experiment(load_config(overrides=given))

    if expected is None:
        assert (code, printed.err) == (0, "")
        assert " ".join(options) in printed.out
        run()
        return
    assert code == 2
    assert expected in " ".join(printed.err.split())
    with pytest.raises((ConfigError, DataError)) as caught:
        run()
    assert expected in str(caught.value)


def test_a_column_that_no_model_reads_is_refused():
    column = Column("income", "user", Side.CENTRALIZED, Kind.NUMERIC)
    interactions = pd.DataFrame(FIVE_EACH, columns=["user", "item"])
    interactions["timestamp"] = np.arange(len(interactions))
    users = pd.DataFrame({"user": interactions["user"].unique()})
    users[column.name] = [1.5] * len(users)
    dataset = build_dataset(
        name="mine",
        schema=FeatureSchema("mine", (column,)),
        interactions=interactions,
        users=users,
    )
    config = load_config(overrides=["evaluation.negatives=20"])
    with pytest.raises(DataError, match="data set 'mine': user column 'income' is numeric"):
        build_experiment(config, dataset=dataset)


def test_a_user_who_trains_on_everything_is_named(write):
    """Under one clock for all a user may train and never be tested."""
    rows = [("early", f"i{n}") for n in range(30)]
    rows += [(f"u{u}", f"i{(5 * u + n) % 30}") for n in range(8) for u in range(10)]
    given = ["data.dataset=files", f"data.schema={write(rows)}", "data.split=temporal"]
    given += ["evaluation.negatives=11", "baselines=false", "cloud.rank=4"]
    with pytest.raises(DataError, match=r"fewer than the 1 .* training asks for: user 'early'"):
        build_experiment(load_config(overrides=given))


@pytest.mark.parametrize("time", [0, 1_700_000_000])
def test_data_of_one_moment_has_no_newest_interaction(write, time):
    schema = write(FIVE_EACH)
    rows = (schema.parent / "r.csv").read_text().splitlines()
    fixed = [rows[0], *(f"{row.rpartition(',')[0]},{time}" for row in rows[1:])]
    (schema.parent / "r.csv").write_text("\n".join(fixed))
    for split in ("leave_one_out", "temporal"):
        given = ["data.dataset=files", f"data.schema={schema}", f"data.split={split}"]
        with pytest.raises(DataError, match=rf"all 100 interactions have the time {time}|temporal"):
            build_experiment(load_config(overrides=[*given, "evaluation.negatives=20"]))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # Each trains on three of the ten items, which leaves seven.
        ([], {"samples.negatives=9"}),
        (["edge.start=cloud"], {"samples.negatives=9", "start.negatives=19"}),
        (["method=dccl", "samples.negatives=7"], {"start.negatives=19"}),
        # Which trains no starting weights.
        (["edge.start=cloud", "method=edge-only"], {"samples.negatives=9"}),
        (["method=centralized"], {"centralized.negatives=19"}),
        (["method=pfedrec"], {"federated_baseline.pfedrec.negatives=8"}),
        (["method=fedrecon"], {"federated_baseline.fedrecon.negatives=8"}),
        (["method=fedavg"], set()),
        (["method=fedmd"], set()),
        (["method=popularity"], set()),
    ],
)
def test_negatives_that_a_small_catalogue_repeats_are_counted(write, caplog, settings, expected):
    overrides = ["data.dataset=files", f"data.schema={write(SMALL)}", "cloud.rank=4"]
    overrides += ["evaluation.negatives=5", "evaluation.k=3", "edge.start=random"]
    overrides += ["data.recent_fraction=0", *settings]
    build_experiment(load_config(None, overrides=overrides), progress=False)
    told = [r.getMessage() for r in caplog.records if "fewer items untouched" in r.getMessage()]
    assert {text.partition(" than ")[2].partition(" ")[0] for text in told} == expected
    assert all(text.startswith("20 of 20 users leave fewer items") for text in told)
    assert all("negatives=7 none is repeated" in text for text in told)


@pytest.mark.parametrize("opened", [False, True])
def test_only_the_making_of_a_run_warns_of_what_its_data_lack(write, caplog, opened):
    """Of 10 items each user keeps 5 and trains on 3: 7 are left to draw 9 from."""
    six_each = [(f"u{u}", f"i{(u + n) % 10}") for u in range(20) for n in range(6)]
    schema = write([*six_each, ("u0", "i0")])
    small = ["data.keep_last=5", "evaluation.negatives=5", "evaluation.k=3", "cloud.rank=4"]
    given = ["data.dataset=files", f"data.schema={schema}", "edge.start=random", *small]
    with caplog.at_level(logging.INFO, logger="ecct_tf"):
        build_experiment(load_config(overrides=given), opened=opened)
    for words in (
        "repeated item of a user (keep_first): 1 interaction left out",
        "all but the last 5 of each user (data.keep_last): 20 interactions left out",
        "20 of 20 users leave fewer items untouched than samples.negatives=9 asks for",
    ):
        levels = [each.levelname for each in caplog.records if words in each.getMessage()]
        assert levels == ["INFO" if opened else "WARNING"], words
