"""Options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from ecct_tf.parts import Part

__all__ = [
    "config_option",
    "counted",
    "existing_run",
    "prepare",
    "quiet_tensorflow",
    "set_option",
    "wide_console",
]

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


def prepare(part: "Part") -> None:
    """Makes ready what a command works with, before it imports TensorFlow.

    Raises:
      MissingPartError: the part of the distribution that the command needs is not installed.
    """
    from ecct_tf.installation import require

    _, _, name = click.get_current_context().command_path.partition(" ")
    require(part, by=f"`ecct {name}`")
    quiet_tensorflow()


def quiet_tensorflow() -> None:
    """Silences TensorFlow's start-up messages, unless the environment asks for them.

    And chooses Keras 2, which the cloud needs, before TensorFlow is imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    import logging

    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def counted(number: int, word: str) -> str:
    """A number of things in words.

    >>> counted(1, "file"), counted(2000, "file")
    ('1 file', '2,000 files')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def wide_console() -> "Console":
    """The terminal, or 120 columns in a pipe: a table folded at 80 is of no use in a log."""
    from rich.console import Console

    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, emoji=False, width=120)
    return console
