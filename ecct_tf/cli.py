"""The command line. Commands import what they need when they run: help stays instant."""

import datetime
import os
import sys
from pathlib import Path

import click

from ecct_tf import __version__
from ecct_tf.errors import EcctError

__all__ = ["main"]

_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ecct")
@click.option("-v", "--verbose", count=True, help="Log more; twice for debugging.")
def cli(verbose: int) -> None:
    """ECCT-TF: recommenders that learn on phones and in the cloud at once."""
    import logging

    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for name in ("ecct_tf", "cloud"):
        logging.getLogger(name).setLevel(level)


@cli.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="YAML file of the run."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one setting, e.g. training.epochs=2; repeatable.",
)
@click.option("--dataset", help="movielens-100k or synthetic; short for data.dataset.")
@click.option("--rounds", type=int, help="Rounds of the exchange.")
@click.option("--seed", type=int, help="Seed of all randomness.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Run folder to make; by default one below runs/ with the time in its name.",
)
def simulate(
    config_path: Path | None,
    overrides: tuple[str, ...],
    dataset: str | None,
    rounds: int | None,
    seed: int | None,
    out: Path | None,
) -> None:
    """Train ECCT on simulated devices and compare it with its baselines."""
    from ecct_tf.config import load_config

    given = {"data.dataset": dataset, "rounds": rounds, "seed": seed}
    short = [f"{key}={value}" for key, value in given.items() if value is not None]
    config = load_config(config_path, overrides=[*overrides, *short])
    if out is None:
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        out = Path("runs") / f"{config.data.dataset}-seed{config.seed}-{now}"

    from ecct_tf.simulation.run_folder import RunFolder

    RunFolder.check(out)
    click.echo(
        f"ECCT on {config.data.dataset}: {config.rounds} rounds, seed {config.seed}, "
        f"run folder {out}",
        err=True,
    )
    _quiet_tensorflow()
    from ecct_tf.simulation.simulate import simulate as run
    from ecct_tf.simulation.table import print_results

    result = run(config, out=out)
    print_results(result, out=out)


@cli.command()
def doctor() -> None:
    """Check the installation: versions, what is missing or wrong, and the mend."""
    from rich.console import Console
    from rich.table import Table

    from ecct_tf.doctor import diagnose

    checks = diagnose()
    styles = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table("check", "status", "found", "mend", title="ecct doctor")
    for check in checks:
        status = f"[{styles[check.status]}]{check.status}[/]"
        table.add_row(check.name, status, check.found, check.remedy)
    Console().print(table)
    if any(check.status == "error" for check in checks):
        sys.exit(1)


def main() -> None:
    """Entry point of the `ecct` command."""
    try:
        cli(standalone_mode=False)
    except EcctError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted; the run folder holds all rounds that were finished.", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`| head`); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _quiet_tensorflow() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
