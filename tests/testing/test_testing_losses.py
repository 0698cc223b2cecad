"""The kit for losses passes the library's own and finds planted faults."""

import sys
import types
from pathlib import Path

import pytest
import tensorflow as tf

from ecct_tf.cli import main
from ecct_tf.edge import EdgeLoss, layers
from ecct_tf.testing import ConformanceError, check_loss, loss_findings

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_losses"


@pytest.mark.parametrize(
    "name", ["bce", "bpr", "huber", "sampled_softmax", "own_losses.losses:hinge"]
)
def test_the_librarys_losses_and_the_example_pass(name, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    findings = check_loss(name)
    assert len(findings) == 7
    assert all(finding.passed for finding in findings)


@pytest.mark.parametrize("name", ["listwise", "own_losses.losses:matched"])
def test_distillation_losses_pass(name, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    assert all(finding.passed for finding in check_loss(name, distillation=True))


@tf.custom_gradient
def _wrong(logits):
    return logits * logits, lambda upstream: upstream * logits


@tf.custom_gradient
def _across(logits):
    mean = tf.reduce_mean(logits, axis=-1, keepdims=True)
    return logits * logits - mean, lambda upstream: upstream * (2.0 * logits - 1.0)


@tf.custom_gradient
def _overflows(logits):
    return tf.exp(logits), lambda upstream: upstream * tf.exp(logits)


FAULTS = {
    "operators": lambda logits, labels: tf.nn.softplus(logits) * labels,
    "gradient": lambda logits, _: _wrong(logits),
    "parts and padding": lambda logits, _: _across(logits),
    "finite": lambda logits, _: _overflows(logits),
    "build": None,
}


@pytest.mark.parametrize("check", FAULTS)
def test_a_planted_fault_is_found(check):
    findings = loss_findings(lambda: FAULTS[check] and EdgeLoss(FAULTS[check]))
    assert check in {finding.check for finding in findings if finding.passed is False}


def test_the_command_ends_with_1_for_a_fault_and_names_it(monkeypatch, capsys):
    page = types.ModuleType("my_losses")
    page.square = lambda: EdgeLoss(lambda logits, _: layers.multiply(logits, logits))
    page.wrong = lambda: EdgeLoss(FAULTS["gradient"])
    monkeypatch.setitem(sys.modules, "my_losses", page)
    with pytest.raises(ConformanceError, match="loss 'my_losses:wrong' failed 1 of 7"):
        check_loss("my_losses:wrong")
    monkeypatch.setattr(sys, "argv", ["ecct", "check", "loss", "my_losses:square"])
    main()
    assert capsys.readouterr().out.count("passed") == 7
    monkeypatch.setattr(sys, "argv", ["ecct", "check", "loss", "my_losses:wrong"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert "FAILED" in capsys.readouterr().out
