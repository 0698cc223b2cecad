"""`ecct simulate` and `ecct resume`."""

import datetime
from pathlib import Path

import click

from ecct_tf.commands.options import config_option, existing_run, prepare, set_option

__all__ = ["resume", "simulate"]


@click.command()
@config_option
@set_option
@click.option(
    "--dataset", help="movielens-100k, movielens-1m, synthetic or files; short for data.dataset."
)
@click.option("--method", help="ecct or a baseline, e.g. fedavg; short for method.")
@click.option("--rounds", type=int, help="Rounds of the exchange.")
@click.option("--seed", type=int, help="Seed of all randomness.")
@click.option(
    "--real-devices",
    type=int,
    help="Devices of each tier that an exported file does too; short for runtime.real_devices.",
)
@click.option(
    "--uplink-log",
    metavar="DIR",
    help="Append each round's uplinks to this log; short for exchange.uplink_log.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder to make; by default one below runs/ with the time in its name.",
)
def simulate(
    config_path: Path | None,
    overrides: tuple[str, ...],
    dataset: str | None,
    method: str | None,
    rounds: int | None,
    seed: int | None,
    real_devices: int | None,
    uplink_log: str | None,
    out: Path | None,
) -> None:
    """Train ECCT on simulated devices and compare it with its baselines."""
    from ecct_tf.config import load_config

    given = {
        "data.dataset": dataset,
        "method": method,
        "rounds": rounds,
        "seed": seed,
        "runtime.real_devices": real_devices,
        "exchange.uplink_log": uplink_log,
    }
    short = [f"{key}={value}" for key, value in given.items() if value is not None]
    config = load_config(config_path, overrides=[*overrides, *short])
    if out is None:
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        out = Path("runs") / f"{config.method}-{config.data.dataset}-seed{config.seed}-{now}"
    prepare("simulation")
    from ecct_tf.simulation.run_folder import RunFolder

    RunFolder.check(out)
    click.echo(
        f"{config.method} on {config.data.dataset}: seed {config.seed}, run folder {out}", err=True
    )
    if config.runtime.real_devices:
        interpreter = {"tensorflow": "TensorFlow's interpreter", "litert": "LiteRT"}
        click.echo(
            f"In each round {config.runtime.real_devices} devices of each tier also run their "
            f"exported file in {interpreter[config.runtime.real_devices_runtime]}.",
            err=True,
        )
    from ecct_tf.simulation.simulate import simulate as run
    from ecct_tf.simulation.table import print_results

    print_results(run(config, out=out), out=out)


@click.command()
@click.argument("run", type=existing_run)
def resume(run: Path) -> None:
    """Go on with a run that was interrupted or killed, to the same result."""
    prepare("simulation")
    from ecct_tf.simulation.simulate import resume as go_on
    from ecct_tf.simulation.table import print_results

    print_results(go_on(run), out=run)
