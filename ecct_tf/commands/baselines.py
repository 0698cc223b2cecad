"""`ecct baselines`."""

from pathlib import Path

import click

from ecct_tf.commands.options import (
    config_option,
    dataset_option,
    examples,
    prepare_engine,
    set_option,
    setting_option,
    shown_command,
    typed_options,
)
from ecct_tf.config import METHODS
from ecct_tf.stopping import going_on, same_command

__all__ = ["baselines"]


@click.command(
    epilog=examples(
        "ecct baselines --dataset synthetic --method ecct --method fedavg --seeds 0",
        "ecct baselines --methods ablations --seeds 0,1,2 --out runs/ablations",
    )
)
@config_option
@set_option
@dataset_option
@click.option(
    "--methods",
    metavar="NAMES",
    show_default="all",
    help="Methods to run, comma-separated: all, ablations (no-exchange, down-only, up-only, "
    f"embeddings-only, logits-only), {', '.join(METHODS)}.",
)
@click.option(
    "--method",
    "single_methods",
    multiple=True,
    metavar="NAME",
    help="One of them; repeatable, by default those of --methods.",
    shell_complete=lambda _context, _option, typed: [
        name for name in METHODS if name.startswith(typed)
    ],
)
@setting_option("--rounds", "rounds", "Rounds of each run that has any", kind=int)
@click.option("--seeds", default="0,1,2", show_default=True, help="Comma-separated.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/baselines"),
    show_default=True,
    help="Folder of the run folders.",
)
def baselines(
    config_path: Path | None,
    overrides: tuple[str, ...],
    dataset: str | None,
    methods: str | None,
    single_methods: tuple[str, ...],
    rounds: int | None,
    seeds: str,
    out: Path,
) -> None:
    """Run ECCT, its ablations and all baselines over several seeds.

    Each has its own run folder in --out. Complete runs are kept, and interrupted ones
    resumed.
    """
    from ecct_tf.config import ROUNDS_KEYS, load_config

    each = {("--rounds", key): rounds for key in dict.fromkeys(ROUNDS_KEYS.values())}
    short = typed_options({("--dataset", "data.dataset"): dataset, **each})
    config = load_config(config_path, overrides=[*overrides, *short])
    names, option = [*single_methods], "--method" if single_methods else "--methods"
    if methods is not None or not names:
        names += (methods or "all").split(",")
        option = "--method, --methods" if single_methods else option
    prepare_engine(config.runtime.engine)
    from ecct_tf.simulation.campaign import parse_seeds, plan_runs, run_all

    planned = plan_runs(config, methods=names, seeds=parse_seeds(seeds), option=option)
    with going_on(lambda: f"Stopped. What is complete is kept; resume with: {same_command()}"):
        folders = run_all(planned, out=out, say=lambda text: click.echo(text, err=True))
    click.echo("Compare them with:")
    click.echo(f"  {shown_command()} compare {' '.join(str(folder) for folder in folders)}")
