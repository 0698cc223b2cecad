"""`ecct baselines`."""

from pathlib import Path

import click

from ecct_tf.commands.options import config_option, prepare, set_option

__all__ = ["baselines"]


@click.command()
@config_option
@set_option
@click.option(
    "--methods",
    default="all",
    show_default=True,
    help="Comma-separated: all, ablations, ecct, fedavg, no-exchange, …",
)
@click.option("--seeds", default="0,1,2", show_default=True, help="Comma-separated.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/baselines"),
    show_default=True,
    help="Folder of the run folders.",
)
def baselines(
    config_path: Path | None, overrides: tuple[str, ...], methods: str, seeds: str, out: Path
) -> None:
    """Run ECCT, its ablations and all baselines over several seeds.

    Each goes into a run folder of its own below --out. What is complete there already is
    left as it is, and what was interrupted is gone on with.
    """
    from ecct_tf.config import load_config

    config = load_config(config_path, overrides=overrides)
    prepare("simulation")
    from ecct_tf.simulation.campaign import parse_seeds, plan_runs, run_all

    planned = plan_runs(config, methods=methods.split(","), seeds=parse_seeds(seeds))
    folders = run_all(planned, out=out, say=lambda text: click.echo(text, err=True))
    click.echo("Compare them with:")
    click.echo(f"  ecct compare {' '.join(str(folder) for folder in folders)}")
