"""`ecct cloud export`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ecct_tf.commands.cloud_versions import registry_argument
from ecct_tf.commands.file_options import VARIANTS, static_option, variant_option
from ecct_tf.commands.options import examples, prepare, set_option, shown_command

__all__ = ["export"]

_path = click.Path(path_type=Path)


@click.command(
    epilog=examples(
        "ecct cloud export registry --out files",
        "ecct cloud export registry --out files --version 3 --config devices.yaml",
    )
)
@registry_argument
@click.option("--out", required=True, type=_path, help="Folder for the files.")
@click.option("--version", type=int, help="Version to export, by default the one in force.")
@click.option(
    "--config",
    "config_path",
    type=_path,
    help="YAML file of a run that says how devices train (samples, training, edge.shared); by "
    "default as the job that made the version was told.",
)
@set_option
@click.option("--tier", metavar="NAME", help="Tier to export, by default every one.")
@variant_option("the job's")
@static_option
@click.option(
    "--profile",
    type=_path,
    help="JSON file of the private columns' values, by column in their order; by default none.",
)
@click.option(
    "--start-codec",
    "start_codec",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float16",
    show_default=True,
    help="How starting weights are written, if the version has some.",
)
@click.option("--overwrite", is_flag=True, help="Replace files of another version in --out.")
def export(
    registry: Path,
    out: Path,
    version: int | None,
    config_path: Path | None,
    overrides: tuple[str, ...],
    tier: str | None,
    variants: tuple[str, ...],
    static: tuple[int, int] | None,
    profile: Path | None,
    start_codec: str,
    overwrite: bool,
) -> None:
    """Write the edge models of a version in REGISTRY as .tflite files for phones.

    They begin with the version's starting weights, if it has some. The folder also gets the item
    table, starting weights, a manifest with SHA-256 and a model card. No data set is read.
    """
    prepare("cloud")

    from ecct_tf.commands.cloud_versions import open_registry
    from ecct_tf.config import load_config
    from ecct_tf.runs.version_export import export_version, open_version

    models = open_version(
        open_registry(registry),
        number=version,
        settings=None if config_path is None else load_config(config_path, overrides=overrides),
        overrides=overrides,
        start_codec=start_codec,
    )
    chosen = list(VARIANTS) if "all" in variants else (list(variants) or None)
    for file in export_version(
        models,
        out,
        variants=chosen,
        tier=tier,
        static=static,
        profile=None if profile is None else _values(profile),
        overwrite=overwrite,
    ):
        click.echo(f"{file.path}: {file.num_bytes:,} bytes, SHA-256 {file.sha256[:16]}…")
    click.echo(f"Check each with: {shown_command()} verify FILE")


def _values(path: Path) -> dict[str, list[str]]:
    from ecct_tf.errors import ExportError

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not all(
            isinstance(values, list) and all(isinstance(value, str) for value in values)
            for values in found.values()
        ):
            raise ValueError("expected lists of texts")
    except (OSError, ValueError) as error:
        raise ExportError(
            f'{path}: expected the values of private columns, as {{"gender": ["F", "M"]}}: {error}'
        ) from error
    return found
