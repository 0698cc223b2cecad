"""`ecct verify`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.commands.options import examples, existing_run, prepare, require_exported_file

if TYPE_CHECKING:
    from mobile_export.checking.verification import Check

__all__ = ["verify"]


@click.command(
    epilog=examples(
        "ecct verify edge-mlp.tflite --run runs/mine",
        "ecct verify edge-mlp.tflite --litert-python litert-env/bin/python",
    )
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--run",
    type=existing_run,
    help="The run that FILE came from, for parity; by default none, and parity is not checked.",
)
@click.option(
    "--litert-python",
    metavar="PATH",
    help="Python of an environment with ai-edge-litert; by default this one.",
)
@click.option(
    "--compiled-model",
    is_flag=True,
    help="Check in LiteRT's CompiledModel too, which needs ai-edge-litert 2.3 or newer.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Training steps of the parity check.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that one call of an interpreter may take.",
)
@click.option(
    "--calls",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Hostile calls and damaged copies.",
)
def verify(
    file: Path,
    run: Path | None,
    litert_python: str | None,
    compiled_model: bool,
    steps: int,
    timeout_seconds: float,
    calls: int,
) -> None:
    """Check that FILE is what it claims to be, in LiteRT and in TensorFlow's interpreter.

    Checks its hash, operators, signatures and associated files; then runs it: outputs and
    training against the source model of RUN, save and restore, hostile inputs.
    """
    prepare("export" if run is None else "cloud")
    from contextlib import ExitStack

    from ecct_tf.errors import ExportError
    from mobile_export.checking.synthetic import synthetic_examples
    from mobile_export.checking.verification import Check, check_hash, verify_file
    from mobile_export.flatbuffer.packing import read_metadata
    from mobile_export.runtime.interpreter import Interpreter

    require_exported_file(file)
    hashed = check_hash(file)
    if not hashed.passed:
        _conclude(file, [hashed])
        return
    checks: list[Check] = []
    reference, remedy = None, ""
    if run is not None:
        from ecct_tf.runs.opening import open_models

        metadata, models = read_metadata(file.read_bytes()), open_models(run)
        try:
            models.check_origin(file, metadata)
        except ExportError as error:
            # Against another model every figure would be noise.
            _conclude(file, [hashed, Check("origin", "file", False, str(error))])
            return
        origin = metadata["provenance"]
        reference = models.reference(
            metadata["tier"],
            user=origin.get("user"),
            steps=steps,
            new_device=origin.get("new_device", False),
        )
        checks.append(Check("origin", "file", True, f"of the run {run} as it stands"))
    with ExitStack() as stack:
        tensorflow = Interpreter("tensorflow", timeout_seconds=timeout_seconds)
        interpreters = [stack.enter_context(tensorflow)]
        try:
            litert = Interpreter("litert", python=litert_python, timeout_seconds=timeout_seconds)
            interpreters.insert(0, stack.enter_context(litert))
        except ExportError as error:
            if litert_python is not None:
                raise
            found, remedy = _apart(str(error))
            checks.append(Check("runtime", "ai-edge-litert", None, found))
        if compiled_model:
            compiled = Interpreter(
                "litert-compiled", python=litert_python, timeout_seconds=timeout_seconds
            )
            interpreters.insert(0, stack.enter_context(compiled))
        checks += verify_file(
            file,
            interpreters,
            examples=reference.examples if reference else synthetic_examples(file),
            reference=reference,
            damaged=calls,
            hostile=calls,
        )
    _conclude(file, checks, remedy=remedy)


def _apart(told: str) -> tuple[str, str]:
    """What a missing LiteRT told, and the command in it that adds it, which no table may fold."""
    from ecct_tf.installation import install_command

    remedy = install_command("litert")
    if remedy not in told:
        return told, ""
    return told.replace(f"To add it: {remedy}", "The way to add it stands below"), remedy


def _conclude(file: Path, checks: "Sequence[Check]", *, remedy: str = "") -> None:
    """Prints the table, and below it the command `remedy` that adds LiteRT, in a line of its own.

    Ends the command with code 1 when a check failed.
    """
    _print(file, checks)
    if remedy:
        command, _, after = remedy.partition(", ")
        click.echo(f"\nTo add LiteRT:\n\n    {command}\n")
        if after:
            click.echo(f"{after[0].upper()}{after[1:]}.\n")
    failed = sum(check.passed is False for check in checks)
    if failed:
        click.echo(f"{failed} of {len(checks)} checks failed", err=True)
        raise click.exceptions.Exit(1)


def _print(file: Path, checks: "Sequence[Check]") -> None:
    from rich.table import Table

    from ecct_tf.terminal import open_console, print_table

    table = Table("check", "in", "result", "found", title=file.name)
    told = {True: "passed", False: "FAILED", None: "not run"}
    for check in checks:
        table.add_row(check.name, check.where, told[check.passed], check.found)
    print_table(table, open_console())
