"""`ecct new`."""

import shlex
from pathlib import Path

import click

from ecct_tf.commands.options import examples, shown_command

__all__ = ["new"]


@click.command(epilog=examples("ecct new my_project"))
@click.argument("project", type=click.Path(path_type=Path))
def new(project: Path) -> None:
    """Make a starter project: sample data, schema, configuration, script and notebook."""
    from ecct_tf.starter import create_project

    for path in create_project(project):
        click.echo(f"  {path}")
    name = shown_command(inside=project)
    click.echo(
        f"Next:\n"
        f"  cd {shlex.quote(str(project))}\n"
        f"  {name} data check schema.yaml    # what is read, and who sees it\n"
        f"  {name} simulate --config config.yaml    # train and compare\n"
        f"Then put your own files into data/ and describe them in schema.yaml."
    )
