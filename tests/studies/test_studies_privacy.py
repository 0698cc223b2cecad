"""The study of privacy: every run audited once, and what its table says."""

import json
from types import SimpleNamespace

import pytest

from ecct_tf.studies import find_study, plan_study, read_study, run_study
from ecct_tf.studies.privacy import _guesses, audit_once, epsilon, learned
from ecct_tf.studies.study import slug_of

TINY = (
    "data.synthetic_users=24",
    "cloud.rank=4",
    "cloud.next_item.epochs=0",
    "edge.start=random",
    "rounds=1",
)


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    plan = plan_study(
        find_study("privacy"), seeds=(0,), overrides=[*small, *TINY], labels=["noise 4"]
    )
    out = tmp_path_factory.mktemp("study") / "privacy"
    run_study(plan, name="privacy", out=out, command="", say=[].append)
    return plan, out


def test_each_run_is_audited_by_all_that_its_cloud_received(folder):
    plan, out = folder
    path = out / "noise-4" / "ecct-seed0"
    values = json.loads((path / "audit.json").read_text())
    assert values["source"] == "uplink log"
    result = read_study(plan, out, command="")
    # One round of 24 embeddings and 24 logits with noise 4: mu = sqrt(48) / 2.
    assert epsilon(result.points[0].comparison.runs[0], "edge") == pytest.approx(values["epsilon"])
    table = learned(result)
    assert {row[1] for row in table.rows} >= {"recent item", "newest items"}
    assert all(len(row) == len(table.headings) for row in table.rows)


def test_points_of_sums_keep_the_sums_in_place_of_a_log(small):
    plan = plan_study(find_study("privacy"), seeds=(0,), overrides=[*small, *TINY])
    exchanges = {path: config.exchange for path, config in plan.runs.items()}
    for label, noise in (("sums", 0.0), ("sums with noise 3.8", 3.8)):
        exchange = exchanges[f"{slug_of(label)}/ecct-seed0"]
        assert (exchange.rows, exchange.uplink_log) == ("item", None)
        assert exchange.item_sums.keep
        assert exchange.item_sums.noise_multiplier == noise
    assert exchanges["whole/ecct-seed0"].uplink_log == "run:uplinks"


def test_an_audit_is_made_again_only_where_it_is_stale_or_damaged(folder, monkeypatch):
    _, out = folder
    path, made = out / "noise-4" / "ecct-seed0", []
    monkeypatch.setattr("ecct_tf.studies.privacy.audit_run", lambda path: made.append(path))
    monkeypatch.setattr("ecct_tf.studies.privacy.write_audit", lambda *_: None)
    file = path / "audit.json"
    text = file.read_text()
    audit_once(path)
    assert not made
    file.write_text(text.replace('"rounds": 1', '"rounds": 0'))
    audit_once(path)
    file.write_text(text[:-20])
    audit_once(path)
    file.write_text(text)
    assert made == [path, path]


def test_several_seeds_are_joined_cautiously():
    def audit(added, low, high):
        figure = {"value": 0.5, "low": 0.4, "high": 0.6}
        finding = {
            **{"target": "gender", "measure": "AUC", "method": "logistic regression"},
            **{"known": figure, "both": figure, "leaks": low > 0},
            "added": {"value": added, "low": low, "high": high},
        }
        return SimpleNamespace(values={"findings": [finding]})

    rows = _guesses([audit(0.02, -0.01, 0.03), audit(0.04, 0.01, 0.07)])
    assert rows == [
        ("gender", "AUC", "0.500", "0.500", "+0.030", "−0.010 to +0.070", "1 of 2"),
    ]
