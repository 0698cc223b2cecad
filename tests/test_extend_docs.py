"""The scripts in the docs pages of the group Extend run as they are printed."""

import dataclasses
import json
import re
import sys
import types
from pathlib import Path

import pandas as pd
import pytest

from cloud import CloudRecommender
from ecct_tf.config import CloudConfig, FeatureConfig, load_config
from ecct_tf.config.cloud import NextItemConfig
from ecct_tf.data import cloud_view, from_frames, undivided
from ecct_tf.edge import EdgeSpec, model_of
from ecct_tf.edge.loss_registry import check_loss_operators, loss_of
from ecct_tf.edge.operators import check_operators
from ecct_tf.federated import chosen_engine
from ecct_tf.simulation.simulate import simulate
from ecct_tf.testing import check_codec, edge_model_findings

DOCS = Path(__file__).parents[1] / "docs"


def _scripts(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


# Of two towers items have embeddings in the table; of a ranker they have none there.
@pytest.mark.parametrize(("place", "width"), [(0, 16), (1, 0)])
def test_the_clouds_of_the_page_are_some(place, width, monkeypatch):
    name = f"page_{place}"
    page = types.ModuleType(name)
    exec(_scripts("extend_cloud.md")[place], vars(page))
    monkeypatch.setitem(sys.modules, name, page)
    clicks = {"user": list("aaabbbccc"), "item": list("xyzyzwzwx"), "timestamp": list(range(9))}
    goods = {"item": list("wxyz"), "price": [1.0, 2, 3, 4], "text": [[0.5] * 4] * 4}
    data = from_frames(clicks, items=goods)
    features = FeatureConfig(history_length=3, decays=(1.0,), last_items=1, clock=False)
    cloud = CloudRecommender(
        cloud_view(data, undivided(data)),
        CloudConfig(
            model=f"{name}:build", fit_epochs=1, rank=2, next_item=NextItemConfig(epochs=0)
        ),
        features=features,
        edge_dim=2,
        num_queries=2,
        seed=0,
    )
    cloud.fit()
    assert cloud.publish().cloud.shape == (5, width)


def test_the_losses_of_the_page_are_some():
    found = {}
    for script in _scripts("extend_loss.md"):
        if "ecct.simulate" not in script:
            exec(script, found)
    for name, given in (("hinge", ()), ("squared", ()), ("matched", (2.0,))):
        check_loss_operators(loss_of(found[name], *given, name=name), what=name)


def test_the_codec_of_the_page_is_one():
    found = {"__name__": "page_codecs"}
    script, *_ = _scripts("extend_codec.md")
    exec(script, found)
    assert check_codec(found["brief"])


def test_the_values_of_the_page_reach_a_phone(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (script,) = [each for each in _scripts("own_data.md") if "interests" in each]
    exec(script, {})
    assert len(capsys.readouterr().out.splitlines()) >= 1
    assert (tmp_path / "phone.state").exists()


def test_the_grades_of_the_page_reach_a_phone(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (script,) = [each for each in _scripts("extend_loss.md") if "samples.grade" in each]
    exec(script, {})
    assert len(capsys.readouterr().out.splitlines()) >= 1
    assert (tmp_path / "graded.state").exists()


def test_the_two_heads_of_the_page_reach_a_phone(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (script,) = [each for each in _scripts("extend_loss.md") if "samples.targets" in each]
    exec(script, {})
    assert "'like'" in capsys.readouterr().out
    assert (tmp_path / "likes.state").exists()


def test_the_edge_model_of_the_page_is_one():
    found = {}
    for script in _scripts("extend_edge_model.md"):
        exec(script, found)
    spec = EdgeSpec(5, 3, 2, (3,), 4, embedding_dim=4)
    model = model_of("page:crossed", spec, found["crossed"](spec))
    check_operators(model)
    checks = edge_model_findings(found["numbered"], only=["operators", "rows apart"])
    assert all(finding.passed for finding in checks), checks
    assert {"cross/0/down/kernel", "cross/1/up/kernel"} <= {
        weight.name for weight in model.layout.weights
    }


@pytest.mark.slow
@pytest.mark.skipif(chosen_engine() != "tff", reason="TFF is not installed")
def test_the_aggregators_of_the_page_run_as_configuration(monkeypatch, tmp_path):
    page = types.ModuleType("page")
    for script in _scripts("extend_aggregation.md"):
        if "tff.aggregators" in script:
            exec(script, vars(page))
    monkeypatch.setitem(sys.modules, "page", page)
    small = (
        "data.dataset=synthetic",
        "data.synthetic_users=12",
        "data.synthetic_items=120",
        "evaluation.negatives=20",
        "evaluation.catalog=none",
        "cloud.rank=4",
        "cloud.next_item.epochs=0",
        "baselines=false",
        "edge.start=random",
        "edge.tiers={linear: 1.0}",
        "runtime.shard_size=0",
        "rounds=1",
        "federated_baseline.rounds=1",
    )

    def run(*more):
        return simulate(load_config(overrides=[*small, *more]), out=tmp_path / more[0])

    state = run("method=ecct", "server.aggregator=page:private").state.edge
    # The bound, the deviation of the noise on the sum, and the devices that answer.
    assert [float(leaf) for leaf in state.cohorts[0].aggregator[:3]] == [1.0, 0.5, 12.0]
    run("method=fedavg", "federated_baseline.server.aggregator=page:secure")
    metrics = pd.read_csv(tmp_path / "method=fedavg" / "metrics.csv")
    assert metrics["aggregator_mean_value_secure_upper_threshold"].tolist() == [4.0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ecct", "fedavg"])
def test_the_stages_of_the_page_run_as_configuration(method, monkeypatch, tmp_path):
    page = types.ModuleType("page")
    exec(next(each for each in _scripts("extend_aggregation.md") if "Stages(" in each), vars(page))
    page.weights = lambda: dataclasses.replace(page.robust(), aggregate=None)
    monkeypatch.setitem(sys.modules, "page", page)
    stages = {
        "ecct": "server.stages=page:robust",
        "fedavg": "federated_baseline.server.stages=page:weights",
    }
    config = load_config(
        overrides=[
            "data.dataset=synthetic",
            "data.synthetic_users=12",
            "data.synthetic_items=120",
            "evaluation.negatives=20",
            "evaluation.catalog=none",
            "cloud.rank=4",
            "cloud.next_item.epochs=0",
            "baselines=false",
            "edge.start=random",
            "edge.tiers={mlp: 1.0}",
            "edge.shared=backbone",
            "runtime.engine=local",
            "runtime.shard_size=0",
            "rounds=2",
            "federated_baseline.rounds=2",
            f"method={method}",
            stages[method],
        ]
    )
    out = tmp_path / "run"
    simulate(config, out=out)
    metrics = pd.read_csv(out / "metrics.csv")
    assert (metrics["aggregator_finalize_norm"] > 0).all()
    if method == "ecct":
        assert metrics["aggregator_aggregate_users_so_far"].tolist() == [12.0, 24.0]
    environment = json.loads((out / "environment.json").read_text())
    assert environment["stages"][stages[method].partition("=")[0]]["target"].startswith("page:")
