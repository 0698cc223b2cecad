"""`ecct cloud forget`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from ecct_tf.commands.options import counted, examples, prepare, set_option

__all__ = ["forget"]


@click.command(
    epilog=examples(
        "ecct cloud forget --config job.yaml --user u17",
        "ecct cloud forget --config job.yaml --since 2026-11-25",
    )
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    required=True,
    help="YAML file of the reading job.",
)
@set_option
@click.option(
    "--user",
    "users",
    multiple=True,
    help="Id of a user as in the data, repeatable; by default none.",
)
@click.option(
    "--file", "files", multiple=True, help="Name of a file in the log, repeatable; by default none."
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="Answers whose own time is then or later, UTC; by default none.",
)
def forget(
    config_path: Path,
    overrides: tuple[str, ...],
    users: tuple[str, ...],
    files: tuple[str, ...],
    since: datetime | None,
) -> None:
    """Forget what was learned from the uplinks of users, of files, or since a time.

    The next job drops them from what the cloud knows and from what counts as seen, and no job reads
    them again, even after a rollback. Uplinks sent from now on count.

    Weights that were trained with them stay in the existing versions, and a warm job continues from
    them: retrain with start=scratch, or roll back to an earlier version.
    """
    prepare("cloud")
    from cloud.retraining import load_job_config
    from cloud.retraining.forget_request import request

    config = load_job_config(config_path, overrides=overrides)
    seconds = None if since is None else int(since.replace(tzinfo=UTC).timestamp())
    done = request(config, users=users, files=files, since_seconds=seconds)
    where = "" if done.version is None else f" in version {done.version}, which is in force"
    click.echo(
        f"Noted: {counted(done.answers, 'answer')} to be forgotten, of which "
        f"{counted(done.held, 'user')} had the newest{where}"
    )
    click.echo("The next `ecct cloud retrain` drops them; for weights see `--help`.")
