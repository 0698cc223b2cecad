"""`ecct inspect`."""

from pathlib import Path

import click

from ecct_tf.commands.options import examples, prepare, require_exported_file

__all__ = ["inspect"]


@click.command(
    epilog=examples(
        "ecct inspect edge-mlp.tflite",
        "ecct inspect edge-mlp.tflite --metadata",
        "ecct inspect runs/mine",
    )
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--tensors",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="How many of the largest tensors.",
)
@click.option("--metadata", is_flag=True, help="Print the whole metadata as JSON, nothing else.")
def inspect(file: Path, tensors: int, metadata: bool) -> None:
    """Show the signatures, operators, sizes and metadata of an exported FILE.

    The first lines say what FILE is, of which run or version, and what to do next; of a run
    folder or a registry they are all.
    """
    from ecct_tf.commands.inspect_summaries import file_summary, folder_summary

    summary = folder_summary(file) if file.is_dir() and not metadata else None
    if summary is not None:
        for line in summary:
            click.echo(line)
        return
    prepare("export")
    import json

    from ecct_tf.terminal import open_console, print_table, prose
    from mobile_export.checking.inspection import inspection_tables
    from mobile_export.flatbuffer.packing import read_metadata

    require_exported_file(file)
    content = file.read_bytes()
    told = _hash(file, content)
    if metadata:
        click.echo(json.dumps(read_metadata(content), indent=2))
        return
    console = open_console()
    first, following = file_summary(file, len(content), read_metadata(content))
    prose(first, console)
    prose(told, console)
    click.echo(following)
    for table in inspection_tables(file, tensors=tensors):
        print_table(table, console)


def _hash(file: Path, content: bytes) -> str:
    """The file's SHA-256, and whether a manifest or the file itself vouches for it.

    Raises:
      ExportError: when the manifest beside the file has another one: it is of other files.
    """
    from mobile_export.flatbuffer.origin import known_files
    from mobile_export.flatbuffer.packing import (
        MANIFEST,
        check_digest,
        digest,
        proves_itself,
    )

    entry = known_files(file.parent).get(file.name)
    if entry is not None:
        check_digest(content, str(entry.get("sha256")), name=str(file))
        return f"SHA-256 {digest(content)}, as its {MANIFEST} says"
    whole = (
        "whole, as its own checksum says"
        if proves_itself(content)
        else "not checked: an earlier release wrote it without a checksum of its own"
    )
    return f"SHA-256 {digest(content)}; no {MANIFEST} beside it lists the file; {whole}"
