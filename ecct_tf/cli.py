"""The entry point of the command line: Ctrl-C is answered first, then the commands are imported."""

# Until `stopping.install` has run, Ctrl-C ends in a traceback: nothing else is imported here.
import errno
import os
import sys

from ecct_tf import stopping

# As `typing` has it, which is not imported either.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import click

__all__ = ["main"]


def __getattr__(name: str) -> object:
    """`cli`, the group of all commands, is imported when it is first asked for."""
    if name != "cli":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ecct_tf.commands.root import cli

    return cli


def main() -> None:
    """Entry point of the `ecct` command."""
    stopping.install()
    try:
        code = _run()
    except KeyboardInterrupt:
        sys.stderr.write(f"{stopping.last_words()}\n")
        code = stopping.exit_code()
    if code:
        sys.exit(code)


def _run() -> int:
    """Runs the command that was typed, and reports its errors in one line.

    Returns:
      The exit code.

    Raises:
      KeyboardInterrupt: it was stopped.
    """
    from pathlib import Path

    import click

    from ecct_tf import plain_text
    from ecct_tf.commands.root import cli
    from ecct_tf.errors import EcctError

    plain_text.tolerate()
    # What a configuration names as `module:name` may lie where the command is given. Last, so that
    # no file there takes the place of a package.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        # Not raised but returned: the code of a command that told on its own what failed.
        return cli(standalone_mode=False) or 0
    except ModuleNotFoundError as error:
        message = _missing_package(error)
        if message is None:
            raise
        _report(message)
        return 2
    except EcctError as error:
        _report(str(error))
        return error.exit_code
    except click.ClickException as error:
        _report_usage(error)
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        # The reader has gone (`| head`); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        import logging

        logging.getLogger("ecct_tf").debug("the system's error", exc_info=True)
        _report(_told(error))
        return 2


def _report(message: str) -> None:
    """Prints an error, at a terminal folded between words."""
    import click

    from ecct_tf.plain_text import fold

    click.echo(fold(f"Error: {message}", sys.stderr), err=True)


def _report_usage(error: "click.ClickException") -> None:
    """Prints an error of the command line, with the usage of its command above it."""
    import click

    # A command without arguments shows its help in its own way.
    if type(error).show not in (click.ClickException.show, click.UsageError.show):
        error.show()
        return
    context = getattr(error, "ctx", None)
    if context is not None:
        hint = f"Try '{context.command_path} --help' for help."
        click.echo(f"{context.get_usage()}\n{hint}\n", err=True)
    _report(error.format_message())


def _missing_package(error: ModuleNotFoundError) -> str | None:
    """Names the package and the command that adds it; None for a module that is no package's."""
    from ecct_tf.installation import install_packages
    from ecct_tf.parts import distribution_of, is_installed, requirement_text

    name = distribution_of(error.name or "")
    if name is None or is_installed(name):
        return None
    return f"{name} is not installed. To add it:\n  {install_packages([requirement_text(name)])}"


def _told(error: OSError) -> str:
    """A file or folder that the system does not give."""
    where = error.filename if error.filename is not None else "the command's output"
    return (
        f"{where}: expected to read or write here, the system says: {error.strerror}. Fix the "
        "path, its permissions or the free space on the disk, and run the command again."
    )


if __name__ == "__main__":
    main()
