"""Options that several commands share."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ecct_tf.config import DATASETS, METHODS, RunConfig, TypedOption

if TYPE_CHECKING:
    from ecct_tf.config import EngineName
    from ecct_tf.parts import Part

__all__ = [
    "config_option",
    "counted",
    "dataset_option",
    "examples",
    "existing_run",
    "method_option",
    "prepare",
    "prepare_engine",
    "require_exported_file",
    "set_option",
    "setting_option",
    "shown_command",
    "typed_options",
]

existing_run = click.Path(path_type=Path)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config FILE`, as `config_path`."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        help="YAML file of the run; by default none, each setting has its own default.",
    )(command)


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--set KEY=VALUE`, repeatable, as `overrides`."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one setting, e.g. training.epochs=2; repeatable, by default none.",
    )(command)


def setting_option(
    option: str,
    key: str,
    description: str,
    *,
    kind: Any = None,
    default: Any = None,
    choices: tuple[str, ...] = (),
    metavar: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that is short for a setting, with the setting's default in its help.

    Values are checked where the setting is, which takes a file's word for it too; choices here
    are for the help and for the shell's completion.

    Args:
      option: such as `--rounds`.
      key: dotted key of the setting.
      description: for the help.
      kind: type of the value, for click.
      default: what holds the settings; by default those of a run.
      choices: the values that the setting accepts.
      metavar: how the help shows the value; by default its type.
    """
    value = RunConfig() if default is None else default
    for name in key.split("."):
        value = getattr(value, name)
    listed = f": {', '.join(choices)}" if choices else ""
    return click.option(
        option,
        type=kind,
        metavar=metavar or ("NAME" if choices else None),
        show_default="none" if value is None else str(value),
        help=f"{description}{listed}. Short for {key}.",
        shell_complete=lambda _context, _option, typed: [
            choice for choice in choices if choice.startswith(typed)
        ],
    )


dataset_option = setting_option("--dataset", "data.dataset", "Data of the run", choices=DATASETS)
method_option = setting_option("--method", "method", "What is trained", choices=METHODS)


def typed_options(given: Mapping[tuple[str, str], object]) -> list[str]:
    """Overrides for the options that were typed, by option and key; None is one that was not.

    >>> typed_options({("--rounds", "rounds"): 3, ("--seed", "seed"): None})
    ['rounds=3']
    """
    return [
        TypedOption.of(option, key, value)
        for (option, key), value in given.items()
        if value is not None
    ]


def examples(*lines: str) -> str:
    """What a command's help ends with: lines to copy, which are not folded."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def prepare(part: "Part") -> None:
    """Refuses to go on without what a command works with, before it imports TensorFlow.

    Raises:
      MissingPartError: the part of the distribution that the command needs is not installed.
    """
    from ecct_tf.installation import require

    _, _, name = click.get_current_context().command_path.partition(" ")
    require(part, by=f"`ecct {name}`")


def prepare_engine(engine: "EngineName | None") -> None:
    """As `prepare`, for what a run's engine works with.

    Args:
      engine: as `runtime.engine` names it.

    Raises:
      MissingPartError: the part of the distribution that the engine needs is not installed.
    """
    from ecct_tf.installation import require_engine

    _, _, name = click.get_current_context().command_path.partition(" ")
    require_engine(engine, by=f"`ecct {name}`")


def require_exported_file(file: Path) -> None:
    """Refuses what is no file; of a folder its exported files are named.

    Raises:
      ExportError: there is no such file.
    """
    from ecct_tf.config.parsing import near_sibling
    from ecct_tf.errors import ExportError

    if file.is_file():
        return
    expected = f"{file}: expected a file that `ecct export` wrote"
    if not file.is_dir():
        raise ExportError(f"{expected}, there is none{near_sibling(file)}")
    inside = sorted(file.glob("*.tflite"))
    names = ", ".join(map(str, inside[:3])) + (", …" if len(inside) > 3 else "")
    raise ExportError(f"{expected}, this is a folder; name a file in it: {names or 'it has none'}")


def shown_command(*, inside: Path | None = None) -> str:
    """How `ecct` was called, for commands to copy: its path where the shell would not find it.

    Args:
      inside: the folder that they are typed in; by default the one that this command was typed in.
    """
    typed = Path(sys.argv[0])
    if typed.name != "ecct" or shutil.which("ecct") == str(typed.absolute()):
        return "ecct"
    if inside is not None:
        return shlex.quote(str(typed if typed.is_absolute() else os.path.relpath(typed, inside)))
    relative = os.path.relpath(typed)
    return shlex.quote(str(typed) if relative.startswith("..") else relative)


def counted(number: int, word: str) -> str:
    """A number of things in words.

    >>> counted(1, "file"), counted(2000, "file")
    ('1 file', '2,000 files')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"
