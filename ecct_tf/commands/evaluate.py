"""`ecct evaluate`."""

import sys
from pathlib import Path

import click

from ecct_tf.commands.options import examples, existing_run, prepare, require_exported_file

__all__ = ["evaluate"]


@click.command(epilog=examples("ecct evaluate edge-mlp.tflite --run runs/mine --tensorflow"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--run", required=True, type=existing_run, help="The run that FILE came from.")
@click.option(
    "--litert-python",
    metavar="PATH",
    help="Python of an environment with ai-edge-litert; by default this one.",
)
@click.option("--tensorflow", is_flag=True, help="Use TensorFlow's interpreter, not LiteRT.")
@click.option("--rows", type=int, help="Only the first test rows; all by default.")
def evaluate(
    file: Path, run: Path, litert_python: str | None, tensorflow: bool, rows: int | None
) -> None:
    """Rank the test candidates of RUN with FILE: the cost of the exported form in HR and NDCG.

    Every user's candidates are scored through the file, with the weights of the user's own
    device if the file can take them, and by the float model of the run for comparison.
    """
    prepare("cloud")
    from ecct_tf.plain_text import fold
    from ecct_tf.runs.opening import open_models
    from ecct_tf.runs.quality import measure_quality
    from mobile_export.making.card import note_measured
    from mobile_export.runtime.interpreter import Interpreter, Runtime

    require_exported_file(file)
    runtime: Runtime = "tensorflow" if tensorflow else "litert"
    with Interpreter(runtime, python=None if tensorflow else litert_python) as interpreter:
        quality = measure_quality(file, open_models(run), interpreter, rows=rows)
    click.echo(fold(quality.told(), sys.stdout))
    if rows is None:
        note_measured(file, {"hr": quality.file.hr, "ndcg": quality.file.ndcg})
