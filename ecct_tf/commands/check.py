"""`ecct check`: whether a part of one's own does what the library relies on."""

import click

from ecct_tf.commands.options import examples, prepare

__all__ = ["check"]


@click.group()
def check() -> None:
    """Check a part of your own against what the library relies on."""


@check.command(
    epilog=examples("ecct check edge my_pkg.gru:gru4rec", "ecct check edge mlp"),
)
@click.argument("name")
@click.option("--seed", default=0, show_default=True, help="Seed of the weights and inputs.")
def edge(name: str, seed: int) -> None:
    """Check the edge model NAME: one of the library, of a package, or module:name.

    Only builtin operators, forward and in the gradient; the gradient against finite differences; a
    stack of devices as each alone; the same bits in every runtime; a step of training in a file.
    The exit code is 1 when a check failed.
    """
    prepare("export")
    from rich.table import Table

    from ecct_tf.config.edge_names import target_of
    from ecct_tf.terminal import open_console, print_table
    from ecct_tf.testing import edge_model_findings

    target_of(name, setting="NAME")
    findings = edge_model_findings(name, seed=seed)
    table = Table("check", "result", "found", title=name)
    told = {True: "passed", False: "FAILED", None: "not run"}
    for finding in findings:
        table.add_row(finding.check, told[finding.passed], finding.told)
    print_table(table, open_console())
    failed = sum(finding.passed is False for finding in findings)
    if failed:
        click.echo(f"{failed} of {len(findings)} checks failed", err=True)
        raise click.exceptions.Exit(1)
