"""Cycles whose devices train by grades and a second head: labels reach devices, never the cloud."""

import dataclasses

import numpy as np
import pytest
from module_files import load_file

from cloud.registry import Registry
from cloud.version_files import StoredCloud
from ecct_tf.commands import cloud_cycle
from ecct_tf.cycle import load_cycle_config, loop, run_cycles
from ecct_tf.cycle.folder import CycleFolder
from ecct_tf.cycle.measures import target_aucs
from ecct_tf.data import Column, EncodedColumn, FeatureSchema, Kind, Side, load_dataset
from ecct_tf.simulation.experiment import build_experiment
from mobile_export.device.state import read_state
from mobile_export.flatbuffer.packing import read_metadata

pieces = load_file("tests/cycle/cycle_pieces.py")

WORDS = ("qzbad", "qzgood")
OVERRIDES = (
    *pieces.SMALL,
    "data.synthetic_users=6",
    "edge.tiers={linear: 1.0}",
    "edge.shared=none",
    "rounds_per_cycle=1",
    "training.loss=bce",
    "samples.grade.column=stars",
    "samples.grade.values={qzbad: 0.25, qzgood: 1.0}",
    "samples.targets={like: {column: stars, values: {qzbad: 0.0, qzgood: 1.0}}}",
)


@pytest.fixture
def rated(monkeypatch):
    """Gives the devices stars of their interactions; the jobs' data have none."""

    def build(config, **given):
        plain = load_dataset(config.data, seed=config.seed, progress=False)
        stars = Column("stars", "interaction", Side.FEDERATED, Kind.CATEGORICAL)
        codes = np.random.default_rng(1).integers(0, 3, plain.num_interactions).astype(np.int32)
        dataset = dataclasses.replace(
            plain,
            schema=FeatureSchema(plain.schema.name, (*plain.schema.columns, stars)),
            interaction_columns=(EncodedColumn(stars, codes, WORDS),),
        )
        return build_experiment(config, dataset=dataset, **given)

    monkeypatch.setattr(loop, "build_experiment", build)
    return build


def test_devices_of_a_cycle_train_by_what_the_cloud_never_sees(rated, tmp_path):
    config = load_cycle_config(None, overrides=OVERRIDES)
    chain = run_cycles(config, tmp_path / "chain", cycles=1, show=False)
    folder = CycleFolder(chain.path)
    views = {view.user: view for (view,) in rated(config.run(), progress=False).groups}
    states = [read_state(path) for path in (folder.edge("linear", 1) / "states").glob("*.state")]
    assert {state.user for state in states} == set(views)
    for state in states:
        assert state.context_values == {"stars": WORDS}
        np.testing.assert_array_equal(state.context, views[state.user].context)
    # Its AUC is measured where the ranking is, and each device's own file answers.
    assert len(chain.rows) == 2
    for row in chain.rows:
        assert 0.0 <= float(row["edge_test_like_auc"]) <= 1.0
        assert 0.0 <= float(row["edge_test_like_ranking_auc"]) <= 1.0
    assert chain.rows[0]["edge_test_like_auc"] != chain.rows[1]["edge_test_like_auc"]
    # As the command prints it.
    (line,) = cloud_cycle._targets(chain)
    before, after = (target_aucs(row)["like"] for row in chain.rows)
    assert line == (
        f"Target like: AUC {after[0]:.4f} by its own head, {after[1]:.4f} by the ranking logit, on "
        f"the devices after cycle 1; {before[0]:.4f} and {before[1]:.4f} after cycle 0."
    )
    # The further head was trained.
    (path,) = folder.export.glob("*/*.tflite")
    layout = read_metadata(path.read_bytes())["weights"]["layout"]
    sizes = [int(np.prod(shape)) for _, shape in layout]
    ends = np.cumsum(sizes)
    heads = [place for place, (name, _) in enumerate(layout) if "targets" in name]
    assert heads
    for place in heads:
        part = slice(ends[place] - sizes[place], ends[place])
        assert any(not np.array_equal(each.values[part], each.start[part]) for each in states)
    # The cloud knows that there is a head, and no value of the column.
    version = Registry(folder.registry).version(1)
    assert StoredCloud.of(version).devices.specs["linear"].targets == ("like",)
    for part in (folder.registry, folder.uplinks, folder.public, folder.job(1)):
        for file in part.rglob("*"):
            content = file.read_bytes() if file.is_file() else b""
            assert not any(word.encode() in content for word in WORDS), file


def row(*aucs, hr="0.5"):
    names = ("like", "kept_ranking")
    own = [f"edge_test_{name}_auc" for name in names]
    ranking = [f"edge_test_{name}_ranking_auc" for name in names]
    columns = [column for pair in zip(own, ranking, strict=True) for column in pair]
    return {"cycle": "7", "edge_test_hr": hr, **dict(zip(columns, aucs, strict=True))}


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([], []),
        ([{"cycle": "0", "edge_test_hr": "0.5"}], []),
        ([row("0.7", "0.6", "0.5", "0.4", hr="")], []),
        (
            [row("0.7", "0.6", "", "")],
            [
                "Target like: AUC 0.7000 by its own head, 0.6000 by the ranking logit, on the "
                "devices after cycle 7.",
                "Target kept_ranking: no AUC, its labels at the tested interactions are alike.",
            ],
        ),
        (
            [
                row("", "", "0.5", "0.4"),
                row("0.7", "0.6", "0.8", "0.3"),
                row("", "", "", "", hr=""),
            ],
            [
                "Target like: AUC 0.7000 by its own head, 0.6000 by the ranking logit, on the "
                "devices after cycle 7.",
                "Target kept_ranking: AUC 0.8000 by its own head, 0.3000 by the ranking logit, on "
                "the devices after cycle 7; 0.5000 and 0.4000 after cycle 7.",
            ],
        ),
    ],
)
def test_targets_are_told_where_they_were_measured(rows, lines, tmp_path):
    assert cloud_cycle._targets(loop.CycleResult(tmp_path, 10, "files", rows)) == lines


@pytest.mark.slow
@pytest.mark.usefixtures("rated")
def test_devices_over_http_train_by_the_same(tmp_path):
    rows = []
    for transport in ("files", "http"):
        config = load_cycle_config(None, overrides=[*OVERRIDES, f"transport={transport}"])
        rows.append(run_cycles(config, tmp_path / transport, cycles=1, show=False).rows)
    assert rows[0] == rows[1]
    home = next(CycleFolder(tmp_path / "http").devices.iterdir())
    assert read_state(home / "device.state").context.any()
