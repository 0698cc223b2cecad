"""`ecct check`: whether a custom part does what the library relies on."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.groups import Group
from ecct_tf.commands.options import examples, prepare

if TYPE_CHECKING:
    from ecct_tf.testing import Finding

__all__ = ["check"]


@click.group(cls=Group)
def check() -> None:
    """Check your own part against what the library relies on."""


@check.command(
    epilog=examples(
        "ecct check edge my_pkg.gru:gru4rec",
        "ecct check edge mlp",
        "ecct check edge mlp --target like",
    ),
)
@click.argument("name")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="TARGET",
    help="Name of a further target that the model must have a head for; may be repeated, by "
    "default none.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the weights and inputs.")
def edge(name: str, targets: tuple[str, ...], seed: int) -> None:
    """Check the edge model NAME: one of the library, of a package, or module:name.

    Only builtin operators, forward and in the gradient; the gradient against finite differences; a
    stack of devices as each alone; the same bits in every runtime; a step of training in a file.
    The exit code is 1 if a check fails.
    """
    prepare("export")
    from ecct_tf.config.edge_names import target_of
    from ecct_tf.testing import edge_model_findings
    from ecct_tf.testing.edge_models import SMALL_SPEC

    _import(target_of(name, setting="NAME"), f"edge model {name!r}")
    spec = dataclasses.replace(SMALL_SPEC, targets=tuple(sorted(set(targets))))
    findings = edge_model_findings(name, spec, seed=seed)
    _print(findings, title=name)


@check.command(
    epilog=examples(
        "ecct check loss my_pkg.losses:hinge",
        "ecct check loss listwise --distillation",
    ),
)
@click.argument("name")
@click.option(
    "--distillation",
    is_flag=True,
    help="NAME is a loss for training.distillation_loss, against the cloud's logits.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the logits.")
def loss(name: str, distillation: bool, seed: int) -> None:
    """Check the loss NAME of devices: one of the library, of a package, or module:name.

    Only builtin operators, forward and in the gradient; the gradient against finite differences; a
    stack of devices as each alone; padding that counts for nothing; the same numbers in a file.
    The exit code is 1 if a check fails.
    """
    prepare("export")
    from ecct_tf.config.loss_names import TEMPERED, distillation_target, loss_target
    from ecct_tf.errors import ConfigError
    from ecct_tf.testing import loss_findings

    target = (distillation_target if distillation else loss_target)(name, setting="NAME")
    if distillation and name == TEMPERED:
        raise ConfigError(f"NAME: {name} is part of the library's loss and not a separate function")
    _import(target, f"loss {name!r}")
    _print(loss_findings(name, distillation=distillation, seed=seed), title=name)


@check.command(
    epilog=examples("ecct check cloud my_pkg.cloud:build", "ecct check cloud ecct"),
)
@click.argument("name")
@click.option(
    "--schema",
    type=click.Path(path_type=Path),
    help="Schema file of a small data set with the columns that the towers read; by default one "
    "whose items have price, brand, tags and text, a vector of 64.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the weights.")
def cloud(name: str, schema: Path | None, seed: int) -> None:
    """Check the cloud model NAME: the library's, of a package, or module:name.

    What it publishes and sends, what it learns, that downlinks stay readable, that another build
    restores it and continues bit for bit, and that new users and items get rows. The exit code is 1
    if a check fails.
    """
    prepare("cloud")
    from ecct_tf.config.cloud_names import BUILT_IN_CLOUD, cloud_target
    from ecct_tf.data import load_files
    from ecct_tf.testing import SMALL_SHOP, cloud_findings

    target = cloud_target(name, setting="NAME")
    if name != BUILT_IN_CLOUD:
        _import(target, f"cloud model {name!r}")
    data = SMALL_SHOP if schema is None else load_files(schema)[0]
    _print(cloud_findings(name, data, seed=seed), title=name)


@check.command(
    epilog=examples("ecct check method my_pkg.methods:trending", "ecct check method fedavg"),
)
@click.argument("name")
@click.option("--seed", default=0, show_default=True, help="Seed of the run.")
def method(name: str, seed: int) -> None:
    """Check the method NAME: one of the library, of a package, or module:name.

    That start, rounds and scores depend on nothing but seed and state, that a round without answers
    does no harm, and that another build continues from a checkpoint bit for bit. The exit code is 1
    if a check fails.
    """
    from ecct_tf.config import check_method_name, is_own_method
    from ecct_tf.config.method_names import method_target

    check_method_name(name, setting="NAME")
    prepare("local")
    from ecct_tf.testing import method_findings

    if not is_own_method(name):
        _import(method_target(name, setting="NAME"), f"method {name!r}")
    _print(method_findings(name, seed=seed), title=name)


@check.command(
    epilog=examples("ecct check codec my_pkg.codecs:int4", "ecct check codec int8"),
)
@click.argument("name")
@click.option("--seed", default=0, show_default=True, help="Seed of the numbers.")
def codec(name: str, seed: int) -> None:
    """Check the codec NAME of what crosses: one of the library, of a package, or module:name.

    The bytes that it declares; numbers that come back within its error; the same bytes for the same
    row, alone, among others and in a graph; what becomes of NaN and of damaged bytes; the same form
    without TensorFlow, if it has one. The exit code is 1 if a check fails.
    """
    from ecct_tf.config import check_codec_name, is_own_codec
    from ecct_tf.config.codec_names import codec_target

    check_codec_name(name, setting="NAME")
    prepare("cloud")
    from ecct_tf.testing import codec_findings

    if not is_own_codec(name):
        _import(codec_target(name, setting="NAME"), f"codec {name!r}")
    _print(codec_findings(name, seed=seed), title=name)


def _import(target: str, part: str) -> None:
    """Refuses a part that cannot be imported in one message: no check of it could be run."""
    from ecct_tf.plugins import find_function

    find_function(target, what=f"NAME: {part}")


def _print(findings: "Sequence[Finding]", *, title: str) -> None:
    """Prints the table of findings; ends the command with 1 when one failed."""
    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table

    table = Table("check", "result", "found", title=title)
    told = {True: "passed", False: "FAILED", None: "not run"}
    for finding in findings:
        table.add_row(finding.check, told[finding.passed], finding.told)
    print_table(table, open_console())
    failed = sum(finding.passed is False for finding in findings)
    if failed:
        click.echo(f"{failed} of {len(findings)} checks failed", err=True)
        raise click.exceptions.Exit(1)
