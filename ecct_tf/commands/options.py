"""Options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["config_option", "existing_run", "quiet_tensorflow", "set_option"]

existing_run = click.Path(path_type=Path)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config FILE`, as `config_path`."""
    return click.option(
        "--config", "config_path", type=click.Path(path_type=Path), help="YAML file of the run."
    )(command)


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--set KEY=VALUE`, repeatable, as `overrides`."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one setting, e.g. training.epochs=2; repeatable.",
    )(command)


def quiet_tensorflow() -> None:
    """Silences TensorFlow's start-up messages, unless the environment asks for them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
