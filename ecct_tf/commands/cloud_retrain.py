"""`ecct cloud retrain`."""

from pathlib import Path

import click

from ecct_tf.commands.options import quiet_tensorflow, set_option

__all__ = ["retrain"]


@click.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="YAML file of the job."
)
@set_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the job; with that of a stopped job it goes on where it was.",
)
@click.option(
    "--promote-anyway", is_flag=True, help="Promote even if the new version is not better."
)
def retrain(
    config_path: Path | None, overrides: tuple[str, ...], out: Path, promote_anyway: bool
) -> None:
    """Train the next version of the cloud from history and uplinks, and promote it if it is better.

    Run again with the same --out after a kill, it goes on and ends with the same weights.
    """
    quiet_tensorflow()
    from cloud.retraining import load_job_config
    from cloud.retraining import retrain as run

    config = load_job_config(config_path, overrides=overrides)
    result = run(config, out, promote_anyway=promote_anyway)
    if result is None:
        click.echo("This worker has done its part; the first one writes the version.")
        return
    before = "none" if result.before is None else f"{result.before:.4f}"
    click.echo(
        f"Version {result.version} in {config.registry}: validation {result.metric} "
        f"{result.quality:.4f}, promoted version before: {before}."
    )
    click.echo(f"{'Promoted' if result.promoted else 'Stored, not promoted'}: {result.reason}.")
