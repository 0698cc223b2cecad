"""Nothing that a caller passes poisons the state, and what was saved comes back bit by bit."""

import numpy as np
import pytest

from ecct_tf.config import TIERS
from mobile_export.making.examples import DeviceExample, example_inputs

UNUSED = {"unused": np.zeros(1, np.float32)}


@pytest.fixture(scope="module")
def example(works):
    spec = works["mlp"].model.spec
    return DeviceExample(
        history=np.array([0, 0, 3, 9, 4, 11], np.int32),
        candidates=np.array([5, 1, 40, 7], np.int32),
        profile=np.ones(len(spec.profile_sizes), np.int32),
        user_embedding=np.arange(spec.cloud_dim).astype(np.int8),
        user_embedding_scale=2.0**-7,
    )


@pytest.fixture
def inputs(exported, example):
    """Good inputs of a signature of the mlp file."""
    contract = exported("mlp")[0].contract
    return lambda name: example_inputs(example, contract[name])


@pytest.mark.parametrize("tier", TIERS)
def test_signatures_are_those_of_the_contract(graph_of, tier):
    graph = graph_of(tier)
    contract = graph.contract
    assert list(graph.functions) == list(contract)
    assert list(contract) == [
        "infer", "score", "uplink", "train", "get_weights", "set_weights", "save", "restore",
        "reset_optimizer",
    ]  # fmt: skip
    assert all(signature.inputs for signature in contract.values())


def test_a_restored_state_goes_on_bit_by_bit(interpreter, inputs):
    optimizer = {"optimizer": "adam"}
    run = interpreter("mlp", **optimizer)
    for _ in range(2):
        run("train", **inputs("train"))
    state = run("save", **UNUSED)["state"]
    run("train", **inputs("train"))
    expected = run("save", **UNUSED)["state"]
    other = interpreter("mlp", **optimizer)
    assert other("restore", state=state)["accepted"] == 1
    assert other("save", **UNUSED)["state"].tobytes() == state.tobytes()
    other("train", **inputs("train"))
    assert other("save", **UNUSED)["state"].tobytes() == expected.tobytes()
    assert expected.tobytes() != state.tobytes()


def test_reset_optimizer_keeps_weights_and_clears_the_rest(interpreter, inputs):
    run = interpreter("mlp", optimizer="adam")
    run("train", **inputs("train"))
    weights = run("get_weights", **UNUSED)["weights"]
    assert run("reset_optimizer", **UNUSED)["step"] == 0
    state = run("save", **UNUSED)["state"]
    np.testing.assert_array_equal(state[: len(weights)], weights)
    assert not state[len(weights) :].any()


def test_reset_optimizer_of_any_length_leaves_a_sound_state(interpreter, inputs):
    run = interpreter("mlp", optimizer="adam")
    size = len(run("save", **UNUSED)["state"])
    run("reset_optimizer", unused=np.zeros(3, np.float32))
    assert len(run("save", **UNUSED)["state"]) == size
    assert run("train", **inputs("train"))["step"] == 1


@pytest.mark.parametrize(
    ("port", "value"),
    [
        ("learning_rate", np.nan),
        ("private_learning_rate", np.inf),
        ("user_embedding_scale", np.nan),
        ("labels", np.nan),
        ("mask", np.inf),
        ("history", 10**6),
        ("candidates", -(2**31)),
        ("profile", -1),
    ],
)
def test_training_on_bad_values_leaves_finite_weights(interpreter, inputs, port, value):
    run = interpreter("mlp")
    good = inputs("train")
    out = run("train", **{**good, port: np.full_like(good[port], value)})
    assert all(np.isfinite(found).all() for found in out.values())
    weights = run("get_weights", **UNUSED)["weights"]
    assert np.isfinite(weights).all()
    assert run("train", **good)["applied"] == 1


def test_ids_outside_the_table_count_as_padding(interpreter, inputs):
    run = interpreter("mlp")
    good = inputs("score")
    padded = {**good, "history": np.array([0, 0, 0, 9, 4, 11], np.int32)}
    outside = {**good, "history": np.array([0, -5, 41, 9, 4, 11], np.int32)}
    np.testing.assert_array_equal(run("score", **outside)["logit"], run("score", **padded)["logit"])
    assert np.abs(run("score", **good)["logit"] - run("score", **padded)["logit"]).max() > 0


def test_a_batch_of_padding_changes_nothing(interpreter, inputs):
    run = interpreter("mlp", optimizer="adam")
    run("train", **inputs("train"))
    before = run("save", **UNUSED)["state"]
    good = inputs("train")
    out = run("train", **{**good, "mask": np.zeros_like(good["mask"])})
    assert out["applied"] == 0
    assert run("save", **UNUSED)["state"].tobytes() == before.tobytes()


def test_a_step_that_would_spoil_the_weights_is_refused_whole(interpreter, inputs):
    run = interpreter("mlp", optimizer="adam")
    state = run("save", **UNUSED)["state"]
    size = len(run("get_weights", **UNUSED)["weights"])
    state[size] = 2e38  # The mean gradient of the first weight: finite, but absurd.
    assert run("restore", state=state)["accepted"] == 1
    out = run("train", **inputs("train"))
    assert out["applied"] == 0
    assert run("save", **UNUSED)["state"].tobytes() == state.tobytes()


@pytest.mark.parametrize("spoil", [np.nan, np.inf, 1e9])
def test_weights_that_are_not_plausible_are_refused_whole(interpreter, spoil):
    run = interpreter("mlp")
    before = run("get_weights", **UNUSED)["weights"]
    spoilt = before + np.float32(1)
    spoilt[3] = spoil
    assert run("set_weights", weights=spoilt)["accepted"] == 0
    np.testing.assert_array_equal(run("get_weights", **UNUSED)["weights"], before)
    assert run("set_weights", weights=before + np.float32(1))["accepted"] == 1
    np.testing.assert_array_equal(run("get_weights", **UNUSED)["weights"], before + np.float32(1))


@pytest.mark.parametrize("static", [None, (6, 4)])
@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_weights_of_another_length_are_refused_with_an_error(interpreter, static, change):
    only = ("get_weights", "set_weights") if static else None
    run = interpreter("mlp", static=static, only=only)
    before = run("get_weights", **UNUSED)["weights"]
    with pytest.raises((RuntimeError, ValueError)):
        run("set_weights", weights=np.resize(before, len(before) + change))
    np.testing.assert_array_equal(run("get_weights", **UNUSED)["weights"], before)


def test_a_state_with_a_negative_step_is_refused(interpreter):
    run = interpreter("mlp", optimizer="adam")
    state = run("save", **UNUSED)["state"]
    spoilt = state.copy()
    spoilt[-1] = -1
    assert run("restore", state=spoilt)["accepted"] == 0
    assert run("save", **UNUSED)["state"].tobytes() == state.tobytes()


def test_an_empty_batch_is_refused_with_an_error(interpreter, inputs):
    run = interpreter("attention", only=("score",))
    good = inputs("score")
    with pytest.raises(RuntimeError, match="num_input_elements"):
        run("score", **{**good, "candidates": good["candidates"][:0]})
    assert np.isfinite(run("score", **good)["logit"]).all()
