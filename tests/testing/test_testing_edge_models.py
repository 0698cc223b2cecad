"""The conformance kit finds planted faults, and passes the library's own edge models."""

import re
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from ecct_tf.cli import main
from ecct_tf.config import TIERS
from ecct_tf.edge import architecture
from ecct_tf.edge import layers as kit
from ecct_tf.testing import ConformanceError, check_edge_model, edge_model_findings

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_edge_models"
CALLS = []


def planted(fault, **changes):
    """A builder whose hidden values go through `fault(values)`."""

    def build(spec):
        joined = kit.Inputs(spec)
        hidden = kit.Dense("hidden", joined.width, spec.hidden_dim, **changes)
        embedding = kit.Dense("embedding", spec.hidden_dim, spec.embedding_dim, "tanh")
        head = kit.Head(spec.embedding_dim, joined.width)

        def forward(weights, inputs):
            everything = joined(weights, inputs)
            values = fault(hidden(weights, everything))
            return head(weights, embedding(weights, values), everything)

        layers = [joined, hidden, embedding, head]
        if "unused" in fault.__name__:
            layers.append(kit.Dense("unused", 2, 2))
        return architecture(layers, forward)

    return build


def relu_with_a_flex_gradient(values):
    return tf.nn.relu(values)


@tf.custom_gradient
def wrong_gradient(values):
    return values * values, lambda upstream: upstream * values


hidden_function = tf.function(kit.tanh)


def hidden_tf_function(values):
    return hidden_function(values)


def random(values):
    return kit.add(values, 0.1 * tf.random.normal(tf.shape(values)))


def broadcast(values):
    return values * kit.split(values, [1] * values.shape[-1])[0][..., 0]


def dynamic_shape(values):
    return kit.add(
        values, tf.zeros_like(values) * tf.cast(tf.size(tf.where(values > 0)), tf.float32)
    )


@tf.custom_gradient
def nan_at_zero(values):
    size = tf.abs(values)
    return values / size, lambda upstream: tf.zeros_like(upstream)


def float64(values):
    return tf.cast(tf.cast(values, tf.float64) * 2.0, tf.float32)


def python_side_effect(values):
    CALLS.append(1)
    return kit.multiply(values, tf.zeros_like(values) + float(len(CALLS)))


def unused_weight(values):
    return values


@tf.custom_gradient
def rows_mixed(values):
    mean = tf.reduce_mean(values, axis=-2, keepdims=True)
    return values - mean, lambda up: up - tf.reduce_mean(up, axis=-2, keepdims=True)


@tf.custom_gradient
def loose_sum(values):
    total = tf.reduce_sum(values, axis=-1, keepdims=True)
    return values + total, lambda up: up + tf.reduce_sum(up, axis=-1, keepdims=True)


@tf.custom_gradient
def no_builtin_operator(values):
    return tf.math.lgamma(1.0 + values * values), lambda upstream: upstream * 0.0


FAULTS = {
    relu_with_a_flex_gradient: ("operators", r"ReluGrad at test_testing_edge_models\.py, line \d+"),
    wrong_gradient: ("gradient", r"of '[a-z_0/]+.*50% from finite differences|expected at most 5%"),
    hidden_tf_function: ("operators", r"PartitionedCall.*leave tf\.function away"),
    random: ("repeatable", "traced again it answers"),
    broadcast: (
        "operators",
        r"Mul at test_testing.*the axis of devices or rows would meet another",
    ),
    dynamic_shape: ("operators", "operator Where at test_testing"),
    nan_at_zero: ("finite", "embedding is not finite for .*weights of zero"),
    float64: ("operators", "yields float64"),
    python_side_effect: ("repeatable", "something outside of weights and inputs decides"),
    unused_weight: ("layout", "'unused/kernel' of the layout reaches no answer"),
    # Kin of these.
    rows_mixed: ("rows apart", "a row alone and among others differ by"),
    loose_sum: ("fixed order", r"operator Sum at test_testing_edge_models\.py, line \d+"),
    no_builtin_operator: ("conversion", "Lgamma|failed"),
}


def test_no_file_is_made_with_operators_that_were_refused():
    fault = planted(relu_with_a_flex_gradient)
    *_, operators, conversion = edge_model_findings(fault, only=["operators", "conversion"])
    assert (operators.passed, conversion.passed) == (False, None)


def test_a_forward_function_that_fails_is_told_once():
    def build(spec):
        inputs, head = kit.Inputs(spec), kit.Head(spec.embedding_dim, 1, spec.targets)
        return architecture([inputs, head], lambda weights, _: weights["none"])

    _, operators, layout = edge_model_findings(build, only=["operators", "layout"])
    assert "KeyError" in operators.told
    assert (layout.passed, layout.told) == (None, "the forward function fails, see operators")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: getattr(fault, "__name__", "wrong"))
def test_a_planted_fault_is_found(fault):
    check, message = FAULTS[fault]
    *_, finding = edge_model_findings(planted(fault), only=[check])
    assert (finding.check, finding.passed) == (check, False)
    assert re.search(message, finding.told), finding.told


def test_a_weight_of_the_head_that_decides_the_embedding_is_found():
    *_, finding = edge_model_findings(planted(kit.tanh, part="head"), only=["layout"])
    assert "a weight of the part 'head' decides the embedding" in finding.told


def test_a_layout_of_another_shape_is_found():
    def build(spec):
        joined = kit.Inputs(spec)
        embedding = kit.Dense("embedding", joined.width + 1, spec.embedding_dim)
        head = kit.Head(spec.embedding_dim, joined.width)

        def forward(weights, inputs):
            everything = joined(weights, inputs)
            return head(weights, embedding(weights, everything), everything)

        return architecture([joined, embedding, head], forward)

    *_, finding = edge_model_findings(build, only=["operators"])
    assert finding.passed is False
    assert "tracing its forward function or gradient failed at test_testing" in finding.told


def reading_numbers(read):
    """A builder whose hidden layer reads the private numbers beside everything else."""

    def build(spec):
        inputs = kit.Inputs(spec)
        numbers = kit.Dense("numbers", 2 * spec.profile_numbers, 3, "tanh")
        hidden = kit.Dense("hidden", inputs.width + 3, spec.embedding_dim, "tanh")
        head = kit.Head(spec.embedding_dim, inputs.width)

        def forward(weights, given):
            everything = inputs(weights, given)
            values = read(numbers(weights, given.numbers), given)
            joined = kit.concat([everything, values])
            return head(weights, hidden(weights, joined), everything)

        return architecture([inputs, numbers, hidden, head], forward)

    return build


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            lambda values, _: values,
            r"^test_testing_edge_models\.py, line \d+: concat: expected tensors of equally many "
            r"rows.* per_row\(tensor, inputs\.interactions\)$",
        ),
        (
            kit.per_row,
            r"^test_testing_edge_models\.py, line \d+: per_row: .*got EdgeInputs; such as inputs\.",
        ),
        (lambda values, given: kit.per_row(values, given.interactions), "5 rows alone and"),
    ],
)
def test_numbers_that_all_rows_share_are_repeated_or_told_how(read, message):
    _, finding = edge_model_findings(reading_numbers(read), only=["rows apart"])
    assert re.search(message, finding.told), finding.told


def test_an_error_of_tensorflow_is_told_with_the_line_of_the_model():
    def two_rows(values):
        return tf.concat([values, tf.zeros([2, 3])], axis=-1)

    *_, finding = edge_model_findings(planted(two_rows), only=["rows apart"])
    place, _, told = finding.told.partition(": ")
    assert re.fullmatch(r"test_testing_edge_models\.py, line \d+", place)
    assert "ConcatOp" in told
    assert not re.search("function_node|Op:", told)


def test_all_failures_are_told_at_once():
    with pytest.raises(ConformanceError, match=r"'planted.*' failed \d of 10 .*operators: .*Relu"):
        check_edge_model(planted(relu_with_a_flex_gradient))
    with pytest.raises(ConformanceError, match=r"1 of 10 .*build: \w+\.py, line \d+: ValueError"):
        check_edge_model(raising)


def raising(spec):
    del spec
    raise ValueError("no model today")


@pytest.mark.parametrize("tier", TIERS)
def test_the_librarys_tiers_pass(tier):
    assert all(finding.passed for finding in check_edge_model(tier))


def test_the_command_finds_a_module_where_it_is_given_and_names_a_failure(
    monkeypatch, capsys, tmp_path
):
    (tmp_path / "failing_model.py").write_text("def raising(spec):\n    raise ValueError('x')\n")
    # As the installed command begins, which has no folder of its user's on the path.
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    monkeypatch.chdir(tmp_path)
    for name, code, words in (
        ("failing_model:raising", 1, "build FAILED failing_model.py, line 2: ValueError: x"),
        ("mpl", 2, "did you mean mlp?"),
        ("failing_modle:raising", 2, "failing_modle; did you mean failing_model?"),
    ):
        monkeypatch.setattr(sys, "argv", ["ecct", "check", "edge", name])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == code
        printed = capsys.readouterr()
        assert words in " ".join(f"{printed.out} {printed.err}".replace("│", " ").split())


def test_the_command_checks_an_example(monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["ecct", "check", "edge", "own_edge_models.dcn:dcn"])
    main()
    printed = capsys.readouterr().out
    assert printed.count("passed") == 10
