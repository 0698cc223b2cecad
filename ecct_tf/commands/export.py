"""`ecct export`."""

from pathlib import Path

import click

from ecct_tf.commands.file_options import VARIANTS, static_option, variant_option
from ecct_tf.commands.options import examples, existing_run, prepare, shown_command
from ecct_tf.config.edge_names import target_of

__all__ = ["export"]


def _tier(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuses a name that no edge model has."""
    del context, parameter
    if value is not None:
        target_of(value, setting="--tier")
    return value


@click.command(
    epilog=examples(
        "ecct export runs/mine --out files",
        "ecct export runs/mine --out files --new-device",
        "ecct export runs/mine --out files --tier mlp --variant all --static 30,100",
    )
)
@click.argument("run", type=existing_run)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option(
    "--tier",
    metavar="NAME",
    callback=_tier,
    help="Tier to export, by default every one of the run, with --device that of the device.",
)
@click.option(
    "--device",
    "user",
    metavar="USER",
    help="User whose device's own weights to export, by default the mean of all: the id in the "
    "data, or the number in devices.csv where that is no other user's id; id:42 and number:42 say "
    "which.",
)
@click.option(
    "--new-device",
    is_flag=True,
    help="Export the start of a device that has not trained: the newest shared weights, and "
    "private ones as the run's devices started with them.",
)
@variant_option("the run's")
@static_option
@click.option(
    "--overwrite", is_flag=True, help="Replace files of another run in --out; refused by default."
)
def export(
    run: Path,
    out: Path,
    tier: str | None,
    user: str | None,
    new_device: bool,
    variants: tuple[str, ...],
    static: tuple[int, int] | None,
    overwrite: bool,
) -> None:
    """Write the edge models of RUN as .tflite files that infer and train on a phone.

    The folder also gets a manifest with SHA-256 and a model card.
    """
    if new_device and user is not None:
        raise click.UsageError(
            f"--new-device has no weights of a user: give it, or --device {user}, not both"
        )
    prepare("cloud")
    names = list(VARIANTS) if "all" in variants else (list(variants) or None)
    from ecct_tf.runs.exporting import export_models
    from ecct_tf.runs.opening import open_models
    from ecct_tf.runs.users import typed_user

    models = open_models(run)
    number = None if user is None else typed_user(models.experiment, user)
    if number is not None:
        click.echo(
            f"User {models.experiment.dataset.user_tokens[number]!r}, number {number} in "
            f"devices.csv: the weights of their device, of tier {models.tier_of(number)}."
        )
    for file in export_models(
        models,
        out,
        variants=names,
        tier=tier,
        user=number,
        new_device=new_device,
        static=static,
        overwrite=overwrite,
    ):
        click.echo(f"{file.path}: {file.num_bytes:,} bytes, SHA-256 {file.sha256[:16]}…")
    click.echo(f"Check each with: {shown_command()} verify FILE --run {run}")
