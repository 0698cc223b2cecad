"""`ecct new`."""

from pathlib import Path

import click

from ecct_tf.commands.options import examples

__all__ = ["new"]


@click.command(epilog=examples("ecct new my_project"))
@click.argument("project", type=click.Path(path_type=Path))
def new(project: Path) -> None:
    """Make a starter project: sample data, schema, configuration, script and notebook."""
    from ecct_tf.starter import create_project

    for path in create_project(project):
        click.echo(f"  {path}")
    click.echo(
        f"Next:\n"
        f"  cd {project}\n"
        f"  ecct data check schema.yaml            # what is read, and who will see it\n"
        f"  ecct simulate --config config.yaml     # train, and compare with baselines\n"
        f"Then put your own files into data/ and describe them in schema.yaml."
    )
