"""The library's studies: their tables by hand, and each as a command on generated data."""

import pytest
from click.testing import CliRunner

from ecct_tf.cli import cli
from ecct_tf.reporting.theme import PAPER, SCREEN, drawing
from ecct_tf.studies import find_study, plan_study, read_study, write_study
from ecct_tf.studies.ablation import ablation
from ecct_tf.studies.communication import communication, uplinks_table
from ecct_tf.studies.heterogeneity import heterogeneity, losses_table
from ecct_tf.studies.models import mixes_table, models, tiers_table
from ecct_tf.studies.personalization import groups_table, personalization
from ecct_tf.studies.table import as_csv

ECCT, FEDAVG = ("ECCT edge", "edge"), ("FedAvg", "edge")
NOTHING = ("no exchange edge", "edge")
SYNTHETIC = {"data.dataset": "synthetic", "data.synthetic_users": 8, "exchange.stage_1_rounds": 1}


@pytest.fixture
def make_study(make_run, result, tmp_path):
    """Makes the run folders of a study by hand, from the ranks of four users at each point."""

    def make(study, ranks, *, settings=None, metrics=None, **more):
        methods = {"ECCT edge": "ecct", "FedAvg": "fedavg", "no exchange edge": "no-exchange"}
        for point, models_here in ranks.items():
            for model, places in models_here.items():
                name = methods[model[0]]
                own = {**SYNTHETIC, **(settings or {}).get(point, {})}
                if name == "no-exchange":
                    own |= {"exchange.down": False, "exchange.up": False}
                method = "fedavg" if name == "fedavg" else "ecct"
                hr = sum(place <= 10 for place in places) / len(places)
                slug = point.replace(" ", "-")
                make_run(
                    f"study/{slug}/{name}-seed0",
                    method=method,
                    settings=own,
                    results=[result(*model, hr, method=method)],
                    ranks={model: places},
                    metrics=(metrics or {}).get(point),
                    **more,
                )
        labels = list(ranks)
        names = [methods[model[0]] for model in ranks[labels[0]]]
        plan = plan_study(study, seeds=(0,), labels=labels, methods=names)
        return read_study(plan, tmp_path / "study", command="ecct study")

    return make


def test_losses_are_set_against_half_of_fedavgs_by_hand(make_study) -> None:
    found = make_study(
        heterogeneity(),
        {
            "1000": {ECCT: (1, 2, 11, 4), FEDAVG: (2, 2, 3, 20)},
            # One hit of four lost by ECCT, two by FedAvg.
            "0.1": {ECCT: (1, 11, 11, 4), FEDAVG: (20, 20, 3, 20)},
        },
    )
    rows = {row[0]: row[1:] for row in losses_table(found).rows}
    assert rows["ECCT edge"][0].startswith("−0.250 (")
    # 0.25 - 0.5 * 0.5
    assert rows["ECCT edge"][1].startswith("0.000 (")
    assert rows["FedAvg"][0].startswith("−0.500 (")
    assert rows["FedAvg"][1] == "–"


def test_a_mix_stands_against_the_best_single_tier(make_study) -> None:
    tiers = {
        "linear": {"edge.tiers": {"linear": 1.0}},
        "mlp": {"edge.tiers": {"mlp": 1.0}},
        "thirds": {"edge.tiers": {"linear": 0.5, "mlp": 0.5}},
    }
    found = make_study(
        models(),
        {
            "linear": {ECCT: (1, 1, 1, 1), NOTHING: (1, 1, 11, 11)},
            "mlp": {ECCT: (1, 11, 1, 11), NOTHING: (11, 11, 1, 11)},
            "thirds": {ECCT: (1, 1, 11, 1), NOTHING: (11, 11, 11, 11)},
        },
        settings=tiers,
    )
    (row,) = mixes_table(found).rows
    assert row[:3] == ("thirds", "0.750", "linear, 1.000")
    assert row[3].startswith("−0.250 (")
    each = {(row[0], row[1]): row[2:] for row in tiers_table(found).rows}
    assert each["linear", "linear"][:3] == ("4", "1.000", "0.500")
    assert each["linear", "linear"][3].startswith("+0.500")
    # The devices of each tier are drawn by the seed, two of four.
    mixed = [each["thirds", tier] for tier in ("linear", "mlp")]
    assert [row[0] for row in mixed] == ["2", "2"]
    assert sorted(row[1] for row in mixed) == ["0.500", "1.000"]


def test_uplinks_are_compared_as_encoded(make_study, course) -> None:
    sizes = {"float32": 1600, "int8": 400}
    found = make_study(
        communication(),
        {"float32": {ECCT: (1, 2, 3, 4)}, "int8": {ECCT: (1, 2, 3, 11)}},
        metrics={
            point: [
                {**row, "weights_up_bytes": 1000}
                for row in course(0.5, 0.6, uplink_bytes=size, weights_bytes=4000)
            ]
            for point, size in sizes.items()
        },
        settings={"float32": {"exchange.codec": "float32"}},
    )
    (row,) = uplinks_table(found).rows
    # Four devices: 100 bytes each; in all 2 * (400 + 1000) against 2 * (100 + 1000).
    assert row[:4] == ("int8", "100", "4.00", "1.27")
    assert row[4].startswith("−0.250")
    # 750 of the 1000 bytes of weights of a device go down.
    line = as_csv(found).splitlines()[1].split(",")
    assert line[-4:-2] == ["750.0", "250.0"]


def test_the_direction_of_weights_is_open_where_an_earlier_run_does_not_tell(make_study) -> None:
    found = make_study(communication(), {"int8": {ECCT: (1, 2, 3, 4)}})
    line = as_csv(found).splitlines()[1].split(",")
    assert line[-4:-2] == ["", ""]
    assert float(line[-1]) > 0


def test_gains_are_told_by_group_over_each_rival_and_the_start(make_study) -> None:
    found = make_study(
        personalization(),
        {"as it is": {ECCT: (1, 1, 11, 4), FEDAVG: (1, 2, 3, 11)}},
        start_ranks={ECCT: (2, 1, 1, 4), FEDAVG: (1, 1, 1, 1)},
    )
    rows = {(row[0], row[1]): row[2:] for row in groups_table(found).rows}
    over = rows["FedAvg", "all"]
    assert (over[0], over[2], over[3]) == ("4", "50%", "25%")
    # NDCG of ranks 1, 1, none, 4 less 1, 2, 3, none.
    assert over[1].startswith("+0.075 (")
    assert rows["its own start", "all"][2:] == ("25%", "25%")
    assert rows["FedAvg", "cold: at most 10 interactions"][0] == "1"
    assert {name for _, name in rows if name.startswith("gender: ")}
    counts = [int(row[0]) for (over, name), row in rows.items() if name.startswith("gender: ")]
    assert sum(counts) == 2 * 4


def test_a_part_left_out_is_paired_with_the_whole(make_study) -> None:
    found = make_study(
        ablation(), {"whole": {ECCT: (1, 2, 3, 4)}, "random start": {ECCT: (1, 2, 11, 11)}}
    )
    change = found.change(found.points[1], found.points[1].models[0])
    assert (change.mean, change.num_users) == (-0.5, 4)


def test_all_figures_are_drawn_for_paper_and_phone(make_study, tmp_path) -> None:
    found = make_study(
        communication(),
        {"float32": {ECCT: (1, 2, 3, 4)}, "int8": {ECCT: (1, 2, 3, 11)}},
    )
    (figure,) = [make(found) for make in found.study.drawings]
    for theme in (PAPER, SCREEN.for_phone()):
        with drawing():
            axes = figure.draw(theme).axes[0]
        assert axes.get_xscale() == "log"
        assert len([line for line in axes.lines if len(line.get_xdata()) == 1]) == 2
    names = {path.name for path in write_study(found, tmp_path)}
    assert {"study.csv", "uplinks.csv", "study.html", "quality_by_bytes.png"} <= names


# Methods that train nothing where the axis is in the data; ECCT once, FedAvg once.
COMMANDS = {
    "heterogeneity": ("1000,0.1", "popularity,ease"),
    "quantity_skew": ("0,2", "popularity"),
    "missing_profiles": ("0.3", "ease-recency"),
    "models": ("thirds", "popularity"),
    "communication": ("averaging float16", "popularity"),
    "personalization": ("as it is", "popularity"),
    "ablation": ("random start", "ecct"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_study_is_one_command(name, small, tmp_path) -> None:
    points, methods = COMMANDS[name]
    settings = [*small, "cloud.rank=4"]
    done = CliRunner().invoke(
        cli,
        [
            *("study", name, "--seeds=1", "--rounds=1", f"--points={points}"),
            *(f"--methods={methods}", f"--out={tmp_path / 'study'}"),
            *(part for setting in settings for part in ("--set", setting)),
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    written = {path.name for path in (tmp_path / "study").iterdir()}
    assert {"study.csv", "study.md", "study.html", "study.json"} <= written
    if name == "heterogeneity":
        assert "devices.csv" in written
        text = (tmp_path / "study" / "study.md").read_text()
        assert "distance of tastes" in text
    assert find_study(name).question in done.output
