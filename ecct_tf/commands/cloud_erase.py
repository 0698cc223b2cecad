"""`ecct cloud erase`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.options import counted, examples, prepare, set_option
from ecct_tf.plain_text import fold

if TYPE_CHECKING:
    from cloud.erasing import Erasure

__all__ = ["erase"]

_path = click.Path(path_type=Path)


@click.command(
    epilog=examples(
        "ecct cloud erase --config job.yaml --user u17 --dry-run",
        "ecct cloud erase --config job.yaml --user u17 --jobs jobs --public public",
    )
)
@click.option(
    "--config",
    "config_path",
    type=_path,
    required=True,
    help="YAML file of the job, for its registry and its log.",
)
@set_option
@click.option(
    "--user",
    "users",
    multiple=True,
    help="Id of a user as in the data, repeatable; by default none.",
)
@click.option(
    "--number",
    "numbers",
    type=click.IntRange(min=0, max=2**31 - 1),
    multiple=True,
    help="Number of a user as in uplinks, repeatable; by default none.",
)
@click.option(
    "--jobs",
    type=_path,
    multiple=True,
    help="Folder of jobs, or of one job, repeatable; by default none.",
)
@click.option(
    "--public",
    "publications",
    type=_path,
    multiple=True,
    help="Folder that `ecct cloud publish` fills, repeatable; by default none.",
)
@click.option(
    "--tokens",
    type=_path,
    multiple=True,
    help="File of `ecct cloud token`, repeatable; by default none.",
)
@click.option(
    "--log",
    "logs",
    type=_path,
    multiple=True,
    help="Another uplink log than the job's, repeatable; by default none.",
)
@click.option(
    "--quarantine",
    "quarantines",
    type=_path,
    multiple=True,
    help="Another folder of refused records, repeatable; by default none.",
)
@click.option(
    "--sign",
    "key",
    type=_path,
    help="Key of `ecct cloud keys new`, if publications are signed; by default none.",
)
@click.option("--dry-run", is_flag=True, help="List what would be done, without changing anything.")
def erase(
    config_path: Path,
    overrides: tuple[str, ...],
    users: tuple[str, ...],
    numbers: tuple[int, ...],
    jobs: tuple[Path, ...],
    publications: tuple[Path, ...],
    tokens: tuple[Path, ...],
    logs: tuple[Path, ...],
    quarantines: tuple[Path, ...],
    key: Path | None,
    dry_run: bool,
) -> None:
    """Erase users from all that the cloud keeps: log, registry, jobs, publication and tokens.

    Their rows are removed from every file; other users' rows, numbers and places stay. The same
    command resumes an interrupted erasure. Exit code 1 means that something could not be searched.

    Weights that were trained with them stay until `ecct cloud retrain --set start=scratch`; you
    must change the data that jobs read, copies and exports yourself.
    """
    if not users and not numbers:
        raise click.UsageError("expected --user or --number, once or more")
    prepare("cloud")
    from cloud.erasing import Places, find_users, plan
    from cloud.erasing import erase as run
    from cloud.retraining import load_job_config
    from ecct_tf.wire.signing import SigningKey

    config = load_job_config(config_path, overrides=overrides)
    own = () if config.uplinks is None else (Path(config.uplinks),)
    places = Places(
        registry=Path(config.registry),
        logs=(*own, *logs),
        jobs=jobs,
        publications=publications,
        tokens=tokens,
        quarantines=quarantines,
        key=None if key is None else SigningKey.read(key),
    )
    named = {
        "--jobs": jobs,
        "--public": publications,
        "--tokens": tokens,
        "--log": logs,
        "--quarantine": quarantines,
    }
    for option, paths in named.items():
        for path in paths:
            if not path.exists():
                raise click.UsageError(
                    f"{option} {path}: expected a file or a folder, there is none; leave the "
                    "option out if there never was one"
                )
    found = find_users(places.registry, tokens=users, numbers=numbers)
    _print(plan(places, found) if dry_run else run(places, found), places=places, dry_run=dry_run)


def _print(done: Erasure, *, places: object, dry_run: bool) -> None:
    for step in done.steps:
        click.echo(fold(f"{step.how}: {step.where}: {step.what}", sys.stdout, indent="  "))
    kinds = {"jobs": "--jobs", "publications": "--public", "tokens": "--tokens"}
    missing = [option for name, option in kinds.items() if not getattr(places, name)]
    if missing:
        click.echo(f"Not looked at, since not named: {', '.join(missing)}")
    for name in done.unknown:
        click.echo(f"{name}: could not be looked into; remove it where it may hold their rows")
    if dry_run:
        click.echo(f"{counted(len(done.steps), 'step')} to take; nothing was changed")
    elif done.steps:
        click.echo(
            fold(
                "Erased. Weights that learned from them stay until a job trains from scratch: "
                "`ecct cloud retrain --set start=scratch`, then `ecct cloud gc`. A running service "
                "has them in memory until it is restarted.",
                sys.stdout,
            )
        )
    else:
        click.echo("Nothing of them is left.")
    if done.unknown:
        raise SystemExit(1)
