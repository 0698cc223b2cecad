"""Each section refuses what it cannot mean, and names the section and the field."""

import dataclasses
import functools
import math
import subprocess
import sys
from pathlib import Path

import pytest

from cloud.retraining import load_job_config
from cloud.retraining.edge_config import EdgeModelsConfig
from ecct_tf.config import RunConfig, TargetConfig, load_config
from ecct_tf.cycle.config import load_cycle_config
from ecct_tf.errors import ConfigError

DEFAULT = RunConfig()
REFUSED = {
    "start.inner_fraction": (0.0, 1.5),
    "start.epochs": (0,),
    "start.min_steps": (-1,),
    "start.loss": ("b c e",),
    "start.max_samples": (0,),
    "start.learning_rate": (0.0,),
    "start.weight_decay": (-1e-3,),
    "edge.start": ("warm",),
    "cloud.downlink_rate": (-0.1, 1.1),
    "cloud.guard_room": [-0.1, 1.1, math.nan],
    "cloud.guard_share": [-0.1, 1.1, math.nan],
    "cloud.model": ("own cloud", "my_pkg.cloud:", "a:b:c"),
    "cloud.answer_ridge": (-1.0,),
    "cloud.answers_kept": (0,),
    "data.dataset": ["netflix"],
    "data.schema": ["shop.yaml"],
    "data.split": ["random"],
    "data.validation_fraction": [0.0, math.nan],
    "data.test_fraction": [0.0, 0.9, math.nan],
    "data.recent_fraction": [-0.01, 1.01, math.nan],
    "data.nodes": [0],
    "data.alpha": [0.0, math.nan],
    "data.synthetic_users": [3],
    "data.synthetic_items": [0],
    "exchange.items": ["rows"],
    "exchange.candidates.best": [0],
    "exchange.candidates.popular": [0],
    "exchange.candidates.touched": [-1],
    "exchange.candidates.uniform": [-1],
    "exchange.item_increments.positions": [-1],
    "exchange.item_increments.rows": [0],
    "exchange.item_increments.width": [0, 1, 100],
    "exchange.item_increments.bits": [1, 25],
    "exchange.item_increments.clip_norm": [0.0, math.nan],
    "exchange.item_increments.noise_multiplier": [-0.1],
    "exchange.recent_popularity.positions": [-1],
    "exchange.recent_popularity.noise_multiplier": [-0.1, math.nan],
    "exchange.recent_popularity.max_growth": [0.0, -1.0, math.inf],
    "exchange.rows": ["device"],
    "exchange.answer_by": ["name"],
    "exchange.item_sums.width": [0],
    "exchange.item_sums.bits": [1, 25],
    "exchange.item_sums.clip_embeddings": [0.0, math.nan],
    "exchange.item_sums.clip_logits": [0.0, math.inf],
    "exchange.item_sums.noise_multiplier": [-0.1, math.nan],
    "features.history_length": [0, 256],
    "features.decays": [(), (0.0,), (1.0, 1.1), (math.nan,)],
    "features.last_items": [-1, 31],
    "features.clock_hours": [(0.0,), (1.0, -1.0), (math.inf,), (math.nan,)],
    "features.clock_pauses": [(0,), (1, -3)],
    "exchange.speak_above": [-0.1, math.nan],
    "samples.negatives": [0],
    "samples.max_positions": [0],
    "samples.half_life": [-1],
    "samples.grade.unknown": [-0.1, 1.1, math.nan],
    "samples.grade.negatives": [-0.1, 1.1, math.nan],
    "samples.weight.unknown": [-0.1, 1.1, math.nan],
    "edge.tiers": [
        {},
        {"mlp": 0.9},
        {"forest fire": 1.0},
        {"mlp": 2.0, "linear": -1.0},
        {"mlp": math.nan},
    ],
    "edge.shared": ["some"],
    "edge.share_every": [0],
    "edge.embedding_dim": [0],
    "edge.hidden_dim": [0],
    "edge.profile_dim": [0],
    "edge.heads": [0],
    "training.epochs": [0],
    "training.batch_size": [-1],
    "training.optimizer": ["newton"],
    "training.learning_rate": [0.0, -1.0, math.nan],
    "training.private_learning_rate": [-0.1],
    "training.distillation_weight": [-0.1, math.nan],
    "training.temperature": [0.0],
    "server.optimizer": ["sgd"],
    "server.learning_rate": [0.0],
    "server.momentum": [-0.1, 1.0, math.nan],
    "features.context": [{"network": []}, {"network": ["a", "a"]}, {"network": [""]}],
    "server.stages": ["robust", "my stages", "a:b:c"],
    "server.aggregator": ["my mean", "my_pkg.privacy:", "a:b:c"],
    "exchange.codec": ["int4", "my_pkg.codecs:", "a:b:c"],
    "exchange.item_table": ["my table", "my_pkg.tables:", "a:b:c"],
    "exchange.weights_codec": ["int8", "int4", "a:b:c"],
    "exchange.stage_1_rounds": [-1],
    "exchange.queries": [0],
    "exchange.clip_norm": [0.0],
    "exchange.clip_logit": [-1.0],
    "exchange.noise_multiplier": [-0.1],
    "participation.devices_per_round": [0],
    "participation.dropout": [-0.1, 1.1, math.nan],
    "participation.share": [0.0, 1.1, math.nan],
    "participation.delay.max_rounds": [-1],
    "participation.delay.mean_rounds": [-0.1, math.nan],
    "participation.availability.rounds_per_day": [-1],
    "participation.availability.awake_share": [-0.1, 1.1],
    "participation.membership.late_share": [-0.1, 1.1],
    "participation.membership.late_rounds": [0],
    "participation.membership.leave_share": [-0.1, 1.1],
    "participation.membership.leave_rounds": [0],
    "server.buffer": [-1],
    "server.staleness_exponent": [-0.1, math.nan],
    "cloud.buffer": [-1],
    "cloud.answer_trim": [-0.1, 0.6],
    "cloud.max_item_share": [0.0, 1.1],
    "attack.share": [-0.1, 1.1],
    "privacy.delta": [0.0, 1.0, math.nan],
    "privacy.max_epsilon": [0.0, -1.0, math.nan],
    "cloud.rank": [0],
    "cloud.update_epochs": [-1],
    "cloud.update_users": [0],
    "cloud.next_item.max_positions": [0],
    "cloud.next_item.min_steps": [-1],
    "cloud.next_item.full_items": [-1],
    "cloud.next_item.sampled_items": [0],
    "cloud.learning_rate": [0.0],
    "cloud.tail": [0.0, 1.5],
    "cloud.label_visibility": ["cloud_only"],
    "cloud.staleness_half_life": [0.0],
    "cloud.popular_rows": [-0.1],
    "cloud.query_top_share": [-0.1],
    "evaluation.negatives": [0],
    "evaluation.k": [0, 100, 101],
    "evaluation.every": [0],
    "evaluation.devices": [0],
    "evaluation.catalog": ["some", "true"],
    "evaluation.cold_interactions": [0],
    "runtime.engine": ["TFF", ""],
    "runtime.shard_size": [-1],
    "runtime.threads": [0],
    "runtime.concurrent_calls": [0],
    "runtime.round_deadline_seconds": [0.0, -1.0, math.nan, math.inf],
    "runtime.workers": [
        *(("8470",), (":1",), ("a:0",), ("a:65536",), ("::1:8470",), ("a b:1",)),
        *(("127.0.0.1:1", "127.0.0.1:1"), ("10.0.0.1:8470",), ("remote",)),
    ],
    "checkpoint.every": [0],
    "checkpoint.keep": [0],
    "federated_baseline.rounds": [0],
    "federated_baseline.positions": ["older"],
    "federated_baseline.proximal": [-0.1],
    "federated_baseline.fedrecon.reconstruction_epochs": [0],
    "federated_baseline.fedrecon.learning_rate": [0.0, math.nan],
    "federated_baseline.fedmd.public_items": [0],
    "federated_baseline.fedmd.digest_rate": [0.0, 1.1, math.nan],
    "federated_baseline.fedmd.learning_rate": [0.0],
    "centralized.learning_rate": [0.0],
    "centralized.loss": ["b c e"],
    "federated_baseline.loss": ["b c e"],
    "federated_baseline.fedmd.loss": ["b c e"],
    "edge_only.rounds": [0],
    "dccl.rounds": [0],
    "dccl.private_learning_rate": [0.0, -0.1],
    "edge_only.learning_rate": [0.0],
    "edge_only.private_learning_rate": [-0.1],
}
ALLOWED = {
    "data.nodes": [None, 1],
    "features.history_length": [3, 255],
    "features.last_items": [0, 30],
    "features.decays": [(1.0,)],
    "edge.tiers": [{"linear": 0.5, "mlp": 0.3, "attention": 0.2}],
    "training.private_learning_rate": [0.0],
    "server.momentum": [0.0],
    "exchange.item_increments.positions": [0],
    "exchange.item_increments.width": [2],
    "exchange.recent_popularity.positions": [0, None],
    "exchange.recent_popularity.max_growth": [0.1, None],
    "exchange.stage_1_rounds": [0, None],
    "exchange.item_table": [None, "float32", "pq4", "my_pkg.tables:ternary"],
    "evaluation.k": [99],
    "participation.dropout": [0.0, 1.0],
    "runtime.engine": [None, "tff", "local"],
    "runtime.shard_size": [0],
    "runtime.workers": [(), ("local", "local"), ("127.0.0.1:8470", "[::1]:8470", "localhost:1")],
}


def changed(key, value):
    *sections, name = key.split(".")
    owner = functools.reduce(getattr, sections, DEFAULT)
    return dataclasses.replace(owner, **{name: value})


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in REFUSED.items() for value in values]
)
def test_refused(key, value):
    with pytest.raises(ConfigError, match=rf"^{key}\b"):
        changed(key, value)


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in ALLOWED.items() for value in values]
)
def test_allowed(key, value):
    assert getattr(changed(key, value), key.split(".")[-1]) == value


def test_files_need_a_schema():
    with pytest.raises(ConfigError, match=r"data\.schema: expected the path .* got null"):
        changed("data.dataset", "files")
    data = dataclasses.replace(DEFAULT.data, dataset="files", schema="shop.yaml")
    assert data.schema == "shop.yaml"


def test_run():
    with pytest.raises(ConfigError, match=r"run\.rounds: expected at least 1, got 0"):
        RunConfig(rounds=0)
    with pytest.raises(ConfigError, match=r"run\.seed"):
        RunConfig(seed=-1)


def test_every_section_is_covered():
    sections = {
        field.name
        for field in dataclasses.fields(RunConfig)
        if dataclasses.is_dataclass(getattr(DEFAULT, field.name))
    }
    assert sections == {key.split(".")[0] for key in REFUSED}


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.training.epochs = 2


def test_feature_width():
    features = changed("features.decays", (1.0, 0.5))
    assert features.per_block == 2 + 3
    # By elapsed time: four means a block, and three pauses with the place in the session.
    assert features.width(num_blocks=3, num_attributes=2) == 3 * 5 + 4 + 3 * 4 + 4
    silent = dataclasses.replace(features, clock=False)
    assert silent.width(num_blocks=3, num_attributes=2) == 3 * 5 + 4


def test_no_tensorflow_is_imported():
    code = "import sys, ecct_tf.config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_list_that_holds_all_candidates_is_refused_with_the_numbers():
    """Ten items, of which a user has five: the list of ten held all six candidates."""
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=["evaluation.negatives=5"])
    message = str(caught.value)
    assert "evaluation.k: expected less than the 6 candidates" in message
    assert "got 10" in message
    assert "Set evaluation.k to 5 or less, or raise evaluation.negatives" in message
    assert load_config(overrides=["evaluation.negatives=5", "evaluation.k=5"]).evaluation.k == 5


def test_a_job_and_a_cycle_refuse_such_a_list_too():
    for load in (load_job_config, load_cycle_config):
        with pytest.raises(ConfigError, match=r"validation\.k: expected less than the 10 cand"):
            load(None, overrides=["validation.negatives=9"])


def test_a_cycle_has_the_librarys_mean_alone():
    with pytest.raises(ConfigError, match=r"server\.aggregator: devices of a cycle run exported"):
        load_cycle_config(None, overrides=["server.aggregator=my_pkg.privacy:clipped"])
    with pytest.raises(ConfigError, match=r"features\.context: devices of a cycle are given no"):
        load_cycle_config(None, overrides=["features.context={network: [wifi]}"])
    for name in ("grade", "weight"):
        given = [f"samples.{name}.column=stars", f"samples.{name}.values={{good: 1.0}}"]
        with pytest.raises(ConfigError, match=rf"samples\.{name}\.column: got 'stars', which"):
            load_config(None, overrides=[*given, "features.context={stars: [good]}"])
    given = ["samples.targets={like: {column: stars, values: {good: 1.0}}}"]
    job = load_cycle_config(None, overrides=given).job(registry=Path("r"), uplinks=None)
    assert job.edge.targets == ("like",)
    for names in (["Like"], ["like", "like"]):
        with pytest.raises(ConfigError, match=r"edge\.targets: expected different names"):
            EdgeModelsConfig(targets=tuple(names))
    with pytest.raises(ConfigError, match=r"samples\.targets\.like\.column: got 'stars', which"):
        load_config(None, overrides=[*given, "features.context={stars: [good]}"])
    with pytest.raises(ConfigError, match=r"server\.stages: devices of a cycle run exported"):
        load_cycle_config(None, overrides=["server.stages=my_pkg.stages:robust"])


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
def test_grades_that_no_loss_reads_are_refused(loss):
    given = ["samples.grade.column=stars", "samples.grade.values={good: 1.0}"]
    with pytest.raises(ConfigError, match=rf"samples\.grade\.column: got 'stars' with .*{loss}"):
        load_config(None, overrides=[*given, f"training.loss={loss}"])
    assert load_config(None, overrides=[*given, "training.loss=bce"]).samples.grade.values


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{Like: {column: stars, values: {good: 1.0}}}", r"Like: expected a name of lower-case"),
        ("{like: {column: stars, values: {}}}", r"like\.values: missing"),
        ("{like: {column: stars}}", r"like\.values: missing"),
        ("{like: {values: {good: 1.0}}}", r"like\.column: missing"),
        (
            "{like: {column: stars, values: {good: 4}}}",
            r"like\.values\.good: expected a number in 0",
        ),
        ("{like: {column: a, values: {b: 1}, negatives: -1}}", r"like\.negatives: expected a num"),
        (
            "{like: {column: a, values: {b: 1}, weight: 0}}",
            r"like\.weight: expected a number above",
        ),
        ("{like: {column: a, values: {b: 1}, loss: 'a b'}}", r"like\.loss: expected"),
        (
            "{like: {column: a, values: {b: 1}, lose: bce}}",
            r"unknown key samples\.targets\.like\.los",
        ),
    ],
)
def test_targets_that_no_device_could_train_by_are_refused(given, told):
    with pytest.raises(ConfigError, match=told):
        load_config(None, overrides=[f"samples.targets={given}"])


def test_targets_come_back_from_yaml_and_by_dotted_keys():
    overrides = [
        "samples.targets.like.column=stars",
        "samples.targets.like.values={5: 1, 1: 0}",
        "samples.targets.like.weight=2",
    ]
    config = load_config(None, overrides=overrides)
    like = TargetConfig("stars", {"5": 1.0, "1": 0.0}, weight=2.0)
    assert config.samples.targets == {"like": like}
    again = load_config(None, default=config, overrides=["rounds=3"])
    assert again.samples.targets == config.samples.targets
    assert hash(config.samples) == hash(again.samples)


@pytest.mark.parametrize(
    ("rounds", "stage_1"), [(1, 0), (2, 1), (3, 1), (9, 4), (10, 5), (11, 5), (30, 5)]
)
def test_stage_1_leaves_rounds_for_stage_2(rounds, stage_1):
    random = load_config(overrides=[f"rounds={rounds}", "edge.start=random"])
    assert random.stage_1_rounds == stage_1
    assert RunConfig(rounds=rounds).stage_1_rounds == 0


def test_a_stage_1_that_takes_the_whole_run_is_refused():
    for rounds in (3, 5):
        overrides = [f"rounds={rounds}", "exchange.stage_1_rounds=5"]
        with pytest.raises(ConfigError) as caught:
            load_config(overrides=overrides)
        assert f"expected fewer than the {rounds} rounds of the run, got 5" in str(caught.value)
        assert "exchange.logits=false" in str(caught.value)
    assert load_config(overrides=["rounds=6", "exchange.stage_1_rounds=5"]).stage_1_rounds == 5
    # Where nothing crosses, no stage is cut away.
    nothing = ["rounds=3", "exchange.down=false", "exchange.up=false"]
    assert load_config(overrides=[*nothing, "exchange.stage_1_rounds=5"]).rounds == 3


def test_a_run_without_logits_has_no_second_stage():
    assert load_config(overrides=["rounds=3", "exchange.logits=false"]).stage_1_rounds == 3
    with pytest.raises(ConfigError, match=r"exchange\.stage_1_rounds: got 1 with .*logits=false"):
        load_config(overrides=["exchange.logits=false", "exchange.stage_1_rounds=1"])
