"""`ecct study`."""

from pathlib import Path

import click

from ecct_tf.commands.options import (
    config_option,
    counted,
    dataset_option,
    examples,
    prepare_engine,
    set_option,
    setting_option,
    typed_options,
)
from ecct_tf.stopping import going_on, same_command

__all__ = ["study"]


@click.command(
    epilog=examples(
        "ecct study",
        "ecct study ablation --dataset movielens-100k --seeds 3",
        "ecct study ablation --dataset synthetic --points 'whole,up only' --seeds 1",
    )
)
@click.argument("name", required=False)
@config_option
@set_option
@dataset_option
@click.option(
    "--seeds", default="3", show_default=True, help="How many, from 0 on; or a list such as 4,7."
)
@setting_option("--rounds", "rounds", "Rounds of each run that has any", kind=int)
@click.option(
    "--points",
    metavar="LABELS",
    show_default="all",
    help="Points that are run, comma-separated: labels or folders.",
)
@click.option(
    "--methods",
    metavar="NAMES",
    show_default="the study's",
    help="Methods at each point that names none itself, as ecct baselines takes them.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="runs/study-NAME-DATASET",
    help="Folder of the study.",
)
@click.option("--plan", is_flag=True, help="Print the runs, and run nothing.")
def study(
    name: str | None,
    config_path: Path | None,
    overrides: tuple[str, ...],
    dataset: str | None,
    seeds: str,
    rounds: int | None,
    points: str | None,
    methods: str | None,
    out: Path | None,
    plan: bool,
) -> None:
    """Answer a question with a grid of runs: the study NAME; without NAME, list all studies.

    NAME is a study of the library, of a package, or module:name. Each point, method and seed has
    its own run folder. The same command resumes interrupted runs and keeps complete ones; the
    study ends with study.csv, figures and a page.
    """
    if name is None:
        _list()
        return
    from ecct_tf.config import ROUNDS_KEYS
    from ecct_tf.studies.plan import parse_study_seeds, plan_study
    from ecct_tf.studies.registry import find_study

    each = {("--rounds", key): rounds for key in dict.fromkeys(ROUNDS_KEYS.values())}
    short = typed_options({("--dataset", "data.dataset"): dataset, **each})
    planned = plan_study(
        find_study(name),
        seeds=parse_study_seeds(seeds),
        config_path=config_path,
        overrides=[*overrides, *short],
        labels=None if points is None else points.split(","),
        methods=None if methods is None else methods.split(","),
    )
    first = next(iter(planned.runs.values()))
    out = out or Path("runs") / f"study-{planned.study.name}-{first.data.dataset}"
    click.echo(planned.study.question, err=True)
    click.echo(
        f"{counted(len(planned.points), 'point')}, seeds {', '.join(map(str, planned.seeds))}: "
        f"{counted(len(planned.runs), 'run')} below {out}",
        err=True,
    )
    if plan:
        for below in planned.runs:
            click.echo(out / below)
        return
    prepare_engine(first.runtime.engine)
    from ecct_tf.studies.page import write_study
    from ecct_tf.studies.result import read_study
    from ecct_tf.studies.run import run_study
    from ecct_tf.studies.terminal import print_grid

    command = same_command()
    with going_on(lambda: f"Stopped. What is complete is kept; resume with: {command}"):
        run_study(
            planned,
            name=name,
            out=out,
            command=command,
            say=lambda text: click.echo(text, err=True),
        )
    result = read_study(planned, out, command=command)
    print_grid(result)
    for path in write_study(result, out):
        click.echo(path)


def _list() -> None:
    """Every study with its question."""
    from ecct_tf.config.study_names import study_names
    from ecct_tf.studies.registry import find_study

    for known in study_names():
        found = find_study(known)
        labels = ", ".join(point.label for point in found.points)
        click.echo(f"{known}: {found.question}\n    {found.axis}: {labels}")
