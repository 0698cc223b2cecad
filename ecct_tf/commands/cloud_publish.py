"""`ecct cloud publish`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.cloud_versions import registry_argument
from ecct_tf.commands.options import counted, examples, prepare

if TYPE_CHECKING:
    from cloud.publishing import Published
    from ecct_tf.config import CodecName

__all__ = ["publish"]

# What tells the folders of other commands, by a file or folder in them.
_OTHER_FOLDERS = {
    "status.json": "a run folder",
    "inputs.json": "the folder of a job",
    "versions": "a registry",
}


@click.command(
    epilog=examples(
        "ecct cloud publish registry --out published",
        "ecct cloud publish registry --out published --version 3 --delta-from 1",
        "ecct cloud publish registry --out published --sign publisher.pem",
        "ecct cloud publish registry --out published --engine beam",
    )
)
@registry_argument
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to fill.")
@click.option("--version", type=int, help="Version to publish, by default the one in force.")
@click.option(
    "--delta-from",
    "delta_from",
    type=int,
    multiple=True,
    help="Version whose item table devices have, repeatable; by default the one before.",
)
@click.option(
    "--codec",
    type=click.Choice(["float32", "float16", "int8"]),
    help="How embeddings are written; by default as in the version's job.",
)
@click.option(
    "--item-table",
    "item_form",
    metavar="NAME",
    help="Format of the item table: auto, float32, float16, int8, int4, compact, pq2, pq4, pq8, "
    "fine, lean, or your own; by default as in the version's job.",
)
@click.option(
    "--start-codec",
    "start_codec",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float16",
    show_default=True,
    help="How starting weights of edge models are written, if the version has some.",
)
@click.option(
    "--round",
    "round_number",
    type=click.IntRange(min=0, max=2**31 - 1),
    help="Round that devices answer; by default the next one.",
)
@click.option(
    "--far-round",
    is_flag=True,
    help="Accept a --round more than 1,000 beyond the newest; later rounds count from it.",
)
@click.option(
    "--older-round",
    is_flag=True,
    help="Accept a --round before the newest, which devices that fetched the newest refuse.",
)
@click.option("--one-file-each", is_flag=True, help="Also write one file for each user.")
@click.option(
    "--users-in-file",
    type=click.IntRange(min=1),
    default=250_000,
    show_default=True,
    help="Of more users, downlinks are in several files of so many each.",
)
@click.option(
    "--sign",
    "key",
    type=click.Path(path_type=Path),
    help="Key of `ecct cloud keys new` that signs current.json; by default none.",
)
@click.option(
    "--valid-days",
    "valid_days",
    type=click.IntRange(min=1, max=36_500),
    help="How long devices accept what --sign signs; by default 90 days.",
)
@click.option(
    "--engine",
    default="local",
    show_default=True,
    metavar="NAME",
    help="What makes the downlinks: local, this process; beam, a pipeline of Apache Beam; or your "
    "own, module:name. All make the same files.",
)
@click.option(
    "--beam",
    "engine_options",
    metavar="OPTION",
    multiple=True,
    help="Option of the pipeline as Beam has it, such as --runner=FlinkRunner, repeatable; by "
    "default none.",
)
def publish(
    registry: Path,
    out: Path,
    version: int | None,
    delta_from: tuple[int, ...],
    codec: CodecName | None,
    item_form: str | None,
    start_codec: CodecName,
    round_number: int | None,
    far_round: bool,
    older_round: bool,
    one_file_each: bool,
    users_in_file: int,
    key: Path | None,
    valid_days: int | None,
    engine: str,
    engine_options: tuple[str, ...],
) -> None:
    """Write what devices fetch of a version in REGISTRY: downlinks, item table and its delta.

    Starting weights of edge models are included if the version has some. The folder's
    current.json names the files; devices read it first.
    """
    prepare("cloud")
    from cloud.publishing import publish as write
    from ecct_tf.commands.cloud_versions import open_registry
    from ecct_tf.wire.signing import VALID_DAYS, SigningKey

    if key is None and valid_days is not None:
        raise click.UsageError("--valid-days: expected --sign KEYFILE, too")
    if engine_options and engine == "local":
        raise click.UsageError("--beam: expected --engine beam, too")
    _refuse_other_folder(out)
    _print(
        write(
            open_registry(registry),
            out,
            version=version,
            delta_from=delta_from or None,
            codec=codec,
            item_form=item_form,
            start_codec=start_codec,
            round_number=round_number,
            far_round=far_round,
            older_round=older_round,
            one_file_each=one_file_each,
            users_in_file=users_in_file,
            key=None if key is None else SigningKey.read(key),
            valid_days=valid_days or VALID_DAYS,
            engine=engine,
            engine_options=engine_options,
        ),
        out=out,
    )


def _refuse_other_folder(out: Path) -> None:
    """A publication is not mixed with what other commands keep in a folder.

    Raises:
      ConfigError: the folder is a run's, a job's or a registry.
    """
    from ecct_tf.errors import ConfigError

    for inside, what in _OTHER_FOLDERS.items():
        if (out / inside).exists() and not (out / "current.json").exists():
            raise ConfigError(
                f"--out {out}: expected the folder of a publication or a new one, this is {what}. "
                "Give another, such as --out public."
            )


def _print(published: Published, *, out: Path) -> None:
    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table

    found = published.publication
    table = Table("a device fetches", "bytes", "file")
    table.title = f"Version {found.cloud_version}, round {found.round_number}, {found.codec}"
    parts = len(found.downlink_files)
    single = f"cut out of {found.downlinks.path}"
    if parts > 1:
        single += f" and {counted(parts - 1, 'more file')}, by user"
    if found.devices:
        single = f"{found.devices}/USER.ecdn"
    table.add_row("its downlink", f"{found.device_bytes:,}", single)
    segments = f"for a new user: segments {', '.join(found.segment_names)}"
    table.add_row(segments, f"{found.segments.num_bytes:,}", found.segments.path)
    for number in published.unchanged:
        table.add_row(f"item table from version {number}: it is the same", "0", "–")
    for delta in found.deltas:
        rows = f"{delta.rows:,} of {counted(published.num_items, 'item')}"
        label = f"item table from version {delta.from_version}: {rows}"
        table.add_row(label, f"{delta.file.num_bytes:,}", delta.file.path)
    whole = f"item table, whole: {counted(published.num_items, 'item')}"
    table.add_row(whole, f"{found.item_table.num_bytes:,}", found.item_table.path)
    for start in found.starts:
        label = f"starting weights of tier {start.tier}: {start.weights:,}, {start.codec}"
        error = f", off by {start.largest_error:.1g} at most" if start.largest_error else ""
        table.add_row(label + error, f"{start.file.num_bytes:,}", start.file.path)
    print_table(table, open_console())
    for number in published.without_delta:
        click.echo(
            f"No delta from version {number}: its table has another layout or differs too much, "
            "so devices that have it fetch the whole one."
        )
    total = f"{sum(file.num_bytes for file in found.downlink_files):,}"
    click.echo(f"{out}: downlinks of {counted(published.num_users, 'user')}, {total} bytes in all")
