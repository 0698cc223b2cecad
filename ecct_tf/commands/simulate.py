"""`ecct simulate` and `ecct resume`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ecct_tf.collection import importing
from ecct_tf.commands.options import (
    config_option,
    dataset_option,
    examples,
    existing_run,
    method_option,
    prepare_engine,
    set_option,
    setting_option,
    shown_command,
    typed_options,
)
from ecct_tf.stopping import going_on

if TYPE_CHECKING:
    from ecct_tf.config import EngineName
    from ecct_tf.simulation.simulate import SimulationResult

__all__ = ["resume", "simulate"]


@click.command(
    epilog=examples(
        "ecct simulate --dataset synthetic --rounds 3",
        "ecct simulate --rounds 20 --seed 1 --out runs/mine",
        "ecct simulate --config runs/mine/config.yaml --set edge.shared=none",
    )
)
@config_option
@set_option
@dataset_option
@method_option
@setting_option("--rounds", "rounds", "Rounds of the run, with any method", kind=int)
@setting_option("--seed", "seed", "Seed of all randomness", kind=int)
@setting_option(
    "--real-devices",
    "runtime.real_devices",
    "Devices of each tier that run their exported file too",
    kind=int,
)
@setting_option(
    "--uplink-log",
    "exchange.uplink_log",
    "Log to append each round's uplinks to",
    kind=click.Path(),
    metavar="DIR",
)
@click.option(
    "--workers",
    metavar="N|HOST:PORT,...",
    show_default="one",
    help="TFF's workers that share the devices of each round: so many on this machine, or where "
    "`ecct worker` runs. Short for runtime.workers.",
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
    workers: str | None,
    out: Path | None,
) -> None:
    """Train ECCT on simulated devices and compare it with its baselines."""
    from ecct_tf.config import check_tier_names, data_title, listed_workers, load_config, rounds_key

    options: dict[tuple[str, str], object] = {
        ("--dataset", "data.dataset"): dataset,
        ("--method", "method"): method,
        ("--seed", "seed"): seed,
        ("--real-devices", "runtime.real_devices"): real_devices,
        ("--uplink-log", "exchange.uplink_log"): uplink_log,
        ("--workers", "runtime.workers"): None if workers is None else listed_workers(workers),
    }

    def typed(key: str) -> list[str]:
        return typed_options({**options, ("--rounds", key): rounds})

    config = load_config(config_path, overrides=[*overrides, *typed("rounds")])
    if rounds is not None and config.method != "ecct":
        key = rounds_key(config.method, option=f"--rounds {rounds}")
        config = load_config(config_path, overrides=[*overrides, *typed(key)])
    check_tier_names(config.edge.tiers)
    prepare_engine(config.runtime.engine)
    from ecct_tf.runs.starting import default_folder
    from ecct_tf.simulation.run_folder import RunFolder

    out = default_folder(config) if out is None else out
    RunFolder.check(out)
    click.echo(
        f"{config.method} on {data_title(config.data)}: seed {config.seed}, run folder {out}",
        err=True,
    )
    if config.runtime.real_devices:
        interpreter = {"tensorflow": "TensorFlow's interpreter", "litert": "LiteRT"}
        click.echo(
            f"In each round {config.runtime.real_devices} devices of each tier also run their "
            f"exported file in {interpreter[config.runtime.real_devices_runtime]}.",
            err=True,
        )
    _import_all(config.runtime.engine)
    from ecct_tf.simulation.simulate import simulate as run
    from ecct_tf.simulation.table import print_results

    with going_on(lambda: _stopped(out)):
        result = run(config, out=out)
        print_results(result, out=out)
    _say_next(out, user=_tested_user(result), exports=_exports(result), own_data=_own_data(result))


def _import_all(engine: "EngineName | None") -> None:
    """Imports what a run works with, most of all its engine."""
    with importing():
        from ecct_tf.federated import chosen_engine

        if chosen_engine(engine) == "tff":
            import ecct_tf.federated.compat
        import ecct_tf.simulation.simulate  # noqa: F401 - what is imported here comes cheaper


def _tested_user(result: "SimulationResult") -> str:
    """The id of a user who can be recommended something: the first who was tested."""
    experiment = result.experiment
    return experiment.dataset.user_tokens[int(experiment.test.users[0])]


def _exports(result: "SimulationResult") -> bool:
    """Whether `ecct export` makes files of the run: ECCT's, unless they read rows or no `h_c`."""
    from ecct_tf.simulation.ecct import EcctAlgorithm

    algorithm, config = result.algorithm, result.experiment.config
    if config.method != "ecct" or not isinstance(algorithm, EcctAlgorithm):
        return False
    return config.exchange.embeddings and not algorithm.table.row_dim


def _own_data(result: "SimulationResult") -> bool:
    """Whether the data are a user's own files."""
    return result.experiment.config.data.schema is not None


def _say_next(out: Path, *, user: str, exports: bool, own_data: bool) -> None:
    """What to type after a run, as it was typed: `make demo` leaves no `ecct` on the path."""
    name, run = shown_command(), shlex.quote(str(out))
    steps = {
        f"report {run}": "the run as one page for a browser",
        f"recommend {run} --user {shlex.quote(user)}": "what it recommends to a user",
    }
    if exports:
        steps[f"export {run} --out files"] = "its models for phones"
    if not own_data:
        steps["new my_project"] = "a project for your own data"
    click.echo("Next:")
    for step, comment in steps.items():
        line = f"  {name} {step}    # {comment}"
        # Beside a long path there is no room for it: a command to copy must not be broken up.
        click.echo(line if len(line) <= 80 else f"  # {comment}\n  {name} {step}")


@click.command(epilog=examples("ecct resume runs/mine"))
@click.argument("run", type=existing_run)
@click.option(
    "--engine",
    type=click.Choice(["tff", "local"]),
    help="What computes the rest of the rounds, by default the run's runtime.engine.",
)
def resume(run: Path, engine: "EngineName | None") -> None:
    """Resume a run that was interrupted or killed, with the same result."""
    from ecct_tf.simulation.run_folder import RunFolder

    computes = engine or RunFolder.open(run).config.runtime.engine
    prepare_engine(computes)
    _import_all(computes)
    from ecct_tf.simulation.simulate import resume as go_on
    from ecct_tf.simulation.table import print_results

    with going_on(lambda: f"Stopped. Resume with: {resume_command(run)}"):
        result = go_on(run, engine=engine)
        print_results(result, out=run)
    _say_next(run, user=_tested_user(result), exports=_exports(result), own_data=_own_data(result))


def resume_command(run: Path) -> str:
    """How a shell resumes `run`."""
    return f"{shown_command()} resume {shlex.quote(str(run))}"


def _stopped(out: Path) -> str:
    """What is left of a run that was stopped, and how to go on with it."""
    from ecct_tf.simulation.unstarted import discard_unstarted

    if not out.exists() or discard_unstarted(out):
        return (
            "Stopped before the first round was finished: there is no run to resume, and no run "
            "folder is left. Give the same command again."
        )
    return f"Stopped. Resume with: {resume_command(out)}"
